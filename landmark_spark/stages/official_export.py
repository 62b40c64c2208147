"""Kind delf of local features: checks an official export, ships it through the store, and loads it in a task."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from landmark_spark.core.delf_export import DelfExportError, digest_export, find_export
from landmark_spark.core.local_features import ExtractMany, one_by_one
from landmark_spark.core.official_delf import load_official_delf
from landmark_spark.core.own_process import OwnProcessError, run_python
from landmark_spark.settings import ConfigError, LocalFeatureSettings
from landmark_spark.store import Store

__all__ = ["check_export", "export_also", "load_export", "ship_export"]

_SHIPPED = "_weights"
_MAX_SCALE = 8.0
_TRIAL = """
import sys, numpy
from landmark_spark.core.official_delf import load_official_delf
try:
    load_official_delf(sys.argv[1], num_dimensions=int(sys.argv[2]))(numpy.full((64, 64, 3), 128, numpy.uint8))
except ValueError as error:
    sys.exit(f"{error}")
"""


def check_export(settings: LocalFeatureSettings) -> None:
    """Raise ConfigError unless the settings are right and the export finds features in a grey picture."""
    _scales(settings)
    _files(settings)
    quiet = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        run_python(_TRIAL, settings.delf_export, str(settings.delf_dimensions), environment=quiet)
    except OwnProcessError as error:
        raise ConfigError(f"local_features.delf_export: {error}") from error


def export_also(settings: LocalFeatureSettings) -> dict[str, Any]:
    """Return what decides the features of kind delf: what the export holds, and the settings of this kind."""
    try:
        digest = digest_export(find_export(settings.delf_export)) if settings.delf_export else "missing"
    except (DelfExportError, OSError):
        digest = "missing"  # an error of the run that needs it
    return {
        "delf_export": digest,
        "local_features.delf_scales": " ".join(settings.delf_scales.split()),
        "local_features.delf_score_threshold": settings.delf_score_threshold,
        "local_features.delf_dimensions": settings.delf_dimensions,
    }


def ship_export(store: Store, settings: LocalFeatureSettings) -> tuple[str, ...]:
    """Put the export where every executor reads: into the store, named by what it holds; return its files there."""
    files = _files(settings)
    folder = f"{_SHIPPED}/delf-{digest_export(files)}"
    for name, path in files.items():
        shipped = store.path(folder, name)
        if not store.file_system.exists(shipped) or store.file_system.size(shipped) != path.stat().st_size:
            store.write_bytes(f"{folder}/{name}", path.read_bytes())
    return tuple(f"{folder}/{name}" for name in files)


def load_export(settings: LocalFeatureSettings, store_url: str, files: Sequence[str]) -> ExtractMany:
    """Load a shipped export, given by its files in the store."""
    store = Store(store_url)
    with tempfile.TemporaryDirectory(prefix="delf-") as folder:  # TensorFlow has file systems of its own
        for relative in files:
            local = Path(folder, *relative.split("/")[2:])  # without _weights/delf-<digest>
            local.parent.mkdir(parents=True, exist_ok=True)
            store.file_system.get_file(store.path(relative), str(local))
        extract = load_official_delf(
            folder,
            max_keypoints=settings.max_keypoints,
            scales=_scales(settings),
            score_threshold=settings.delf_score_threshold,
            num_dimensions=settings.delf_dimensions,
        )
    return one_by_one(extract)


def _files(settings: LocalFeatureSettings) -> dict[str, Path]:
    if not settings.delf_export:
        raise ConfigError(
            "local_features.delf_export should be the folder of an official DELF export for kind delf; docs/delf.md "
            "says where to get one. Received: nothing"
        )
    try:
        return find_export(settings.delf_export)
    except DelfExportError as error:
        raise ConfigError(f"local_features.delf_export: {error}") from error


def _scales(settings: LocalFeatureSettings) -> tuple[float, ...]:
    try:
        scales = tuple(float(word) for word in settings.delf_scales.split())
    except ValueError:
        scales = ()
    if not scales or not all(0 < each <= _MAX_SCALE for each in scales):  # a NaN is in no range
        raise ConfigError(
            f"local_features.delf_scales should be numbers above 0 and at most {_MAX_SCALE:g}, with spaces between. "
            f"Received: {settings.delf_scales!r}"
        )
    return scales
