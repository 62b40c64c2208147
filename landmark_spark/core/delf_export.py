"""Finds the files of an official DELF export: which it is made of, whether they are all there, what they hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

__all__ = ["MEAN", "MODEL", "PROJECTION", "DelfExportError", "digest_export", "find_export"]

MODEL = "model"
"""Folder of the SavedModel within an export."""

MEAN = "pca/mean.datum"
PROJECTION = "pca/pca_proj_mat.datum"

_GRAPHS = ("saved_model.pb", "saved_model.pbtxt")


class DelfExportError(ValueError):
    """A folder is no DELF export, or lacks files; the message says which."""


def find_export(folder: str | Path) -> dict[str, Path]:
    """Return the files of an export that extraction needs, by their path in the official layout.

    The official layout has the SavedModel in ``model/`` and the PCA in ``pca/``. A SavedModel itself is taken too: with
    the ``pca/`` in it, or, where it is called ``model``, the one beside it.

    Raises:
        DelfExportError: there is no SavedModel, its variables are incomplete, or the PCA lacks one of its two files.
    """
    try:
        top = Path(folder).expanduser()
        is_folder = bool(str(folder)) and top.is_dir()
    except (OSError, RuntimeError):  # a name too long, a home that nobody has
        is_folder = False
    if not is_folder:
        raise DelfExportError(f"a DELF export should be a folder. Received: {folder}")
    inner = top / MODEL
    model = inner if any((inner / name).is_file() for name in _GRAPHS) else top
    found = _model_files(model)
    beside = model.parent if model.resolve().name == MODEL else model
    pca = {name: beside / name for name in (MEAN, PROJECTION) if (beside / name).is_file()}
    if not pca and beside != model:
        pca = {name: model / name for name in (MEAN, PROJECTION) if (model / name).is_file()}
    if len(pca) == 1:
        missing = ({MEAN, PROJECTION} - set(pca)).pop()
        raise DelfExportError(f"the PCA of a DELF export should be {MEAN} and {PROJECTION}. Missing: {missing}")
    return dict(sorted((found | pca).items()))


def digest_export(files: Mapping[str, Path]) -> str:
    """Return the SHA-256 over the names and the bytes of an export's files, in hex."""
    total = hashlib.sha256()
    for name, path in sorted(files.items()):
        with path.open("rb") as file:
            total.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _model_files(model: Path) -> dict[str, Path]:
    graphs = [name for name in _GRAPHS if (model / name).is_file()]
    if not graphs:
        listed = ", ".join(sorted(each.name for each in model.iterdir())[:8]) or "nothing"
        raise DelfExportError(
            f"a DELF export should have saved_model.pb in it or in {MODEL}/. Received: {model} with {listed}"
        )
    parts = {name: model / name for name in graphs[:1]}
    for inside in ("variables", "assets"):
        parts |= {
            each.relative_to(model).as_posix(): each
            for each in sorted((model / inside).rglob("*"))
            if each.is_file() and not each.name.startswith(".")
        }
    index = "variables/variables.index"
    if index in parts and not any(name.startswith("variables/variables.data-") for name in parts):
        raise DelfExportError(f"{model} should have variables/variables.data-... beside {index}. Received: none")
    return {f"{MODEL}/{name}": path for name, path in parts.items()}
