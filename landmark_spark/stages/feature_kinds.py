"""The kinds of local features: what each depends on, what it ships to the executors, how a task loads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from landmark_spark.commits import Commit
from landmark_spark.core.delf_vgg16 import DELF_FILE, load_delf_vgg16
from landmark_spark.core.local_features import ExtractMany, load_extractor, one_by_one
from landmark_spark.gpu import claim_device, limit_native_threads
from landmark_spark.messages import teller
from landmark_spark.settings import Config, LocalFeatureSettings
from landmark_spark.stages.official_export import check_export, export_also, load_export, ship_export
from landmark_spark.store import Store

__all__ = [
    "FeatureSource",
    "features_also",
    "features_on_accelerator",
    "find_features",
    "ship_features",
    "takes_delf_model",
]

_EXTRACTION_VERSION = 1  # raised when the same settings give other features of an image


@dataclass(frozen=True)
class FeatureSource:
    """What a task loads its extractor from: small and hashable, so that a Python worker loads it once.

    files: of the store, relative to it, shipped for this kind. delf_model: its commit, for the kind that it is for.
    """

    settings: LocalFeatureSettings
    store_url: str
    files: tuple[str, ...] = ()
    delf_model: str = ""

    def load(self) -> ExtractMany:
        """Return the extractor, in a Spark task."""
        limit_native_threads()
        if _KINDS[self.settings.kind].on_accelerator:
            claim_device(num_threads=self.settings.num_threads)
        return _load(self)


@dataclass(frozen=True)
class _Kind:
    """A kind of local features.

    load: in a worker. check: raises ConfigError where what it needs is not there. also: what its features depend on
    besides ``kind`` and ``max_keypoints``. ship: puts files into the store, and says which. on_accelerator: it runs a
    network. takes_delf_model: that of the stage train_delf.
    """

    load: Callable[[FeatureSource], ExtractMany]
    check: Callable[[LocalFeatureSettings], object] = lambda _: None
    also: Callable[[LocalFeatureSettings], Mapping[str, Any]] = lambda _: {}
    ship: Callable[[Store, LocalFeatureSettings], tuple[str, ...]] = lambda *_: ()
    on_accelerator: bool = False
    takes_delf_model: bool = False


def features_also(config: Config) -> dict[str, Any]:
    """Return what local_features depends on besides its section: which references, and what the kind has of its own."""
    settings = config.local_features
    found = {
        "extraction_version": _EXTRACTION_VERSION,
        "verify.candidates": config.verify.candidates,
        "verify.max_comparisons": config.verify.max_comparisons,
    }
    return found | dict(_KINDS[settings.kind].also(settings))


def features_on_accelerator(config: Config) -> bool:
    """Tell whether the features are found by a network, for which a GPU is."""
    return _KINDS[config.local_features.kind].on_accelerator


def find_features(config: Config) -> None:
    """Raise ConfigError where the kind's settings are wrong, or its weights are not there."""
    _KINDS[config.local_features.kind].check(config.local_features)


def ship_features(store: Store, settings: LocalFeatureSettings, delf_model: Commit) -> FeatureSource:
    """Put what the kind loads where every executor reads: into the store, where delf_model is."""
    kind = _KINDS[settings.kind]
    model = delf_model.to_json() if kind.takes_delf_model else ""
    return FeatureSource(settings, store.url, kind.ship(store, settings), model)


def takes_delf_model(settings: LocalFeatureSettings) -> bool:
    """Tell whether the features depend on what the stage train_delf made."""
    return _KINDS[settings.kind].takes_delf_model


@lru_cache(maxsize=1)
def _load(source: FeatureSource) -> ExtractMany:
    """Load the extractor, once a Python worker."""
    return _KINDS[source.settings.kind].load(source)


def _load_sift(source: FeatureSource) -> ExtractMany:
    return one_by_one(load_extractor("sift", max_keypoints=source.settings.max_keypoints))


def _load_own_delf(source: FeatureSource) -> ExtractMany:
    settings = source.settings
    with Store(source.store_url).local_files(Commit.from_json(source.delf_model)) as files:
        folder = files[DELF_FILE].parent
        tell = teller(source.store_url, "extract_local_features")
        many = settings.max_keypoints
        return load_delf_vgg16(folder, max_keypoints=many, batch_size=settings.batch_size, tell=tell)


_KINDS = {
    "sift": _Kind(_load_sift),
    "delf": _Kind(
        lambda source: load_export(source.settings, source.store_url, source.files),
        check=check_export,
        also=export_also,
        ship=ship_export,
        on_accelerator=True,
    ),
    "delf_vgg16": _Kind(
        _load_own_delf,
        also=lambda _: {"delf_vgg16_version": 2},  # raised when the same model and settings give other features
        on_accelerator=True,
        takes_delf_model=True,
    ),
}
