"""Trains delf_vgg16 for the features benchmark: a model on each half of the landmarks, to be judged on the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landmark_spark.core.calibration import choose
from landmark_spark.core.delf_network import DelfNetworkPlan
from landmark_spark.core.delf_training import DelfTrainingPlan, train_delf
from landmark_spark.core.delf_vgg16 import DelfForm, load_delf_vgg16
from landmark_spark.core.local_features import ExtractMany
from landmark_spark.core.refitting import Training
from landmark_spark.core.training_crops import load_cropping
from landmark_spark.core.training_loop import LoopPlan
from landmark_spark.core.weights import find_weights
from landmark_spark.delf_settings import DelfSettings
from landmark_spark.gpu import prepare_framework
from landmark_spark.settings import DownloadSettings, TrainSettings
from landmark_spark.stages.delf_images import LabelledImages, iterate_groups, training_data
from scripts.benchmarks.feature_pairs import Photos, halves_of
from scripts.benchmarks.report_lines import BenchmarkError, LineWriter, say

__all__ = ["QUICK_SETTINGS", "HalfModels", "TrainingPhotos", "training_photos"]

QUICK_SETTINGS = DelfSettings(
    layer="block3_conv3", scales="0.25", dimensions=8, attention_units=8, epochs=1, crop_size=32, pca_images=4
)
_IMAGES_AT_ONCE = 8
_SEED = 0

ReadLarge = Callable[[Path, int], bytes]


@dataclass(frozen=True)
class TrainingPhotos:
    """What a model is trained on: labels by id. held_out: those of them only measured on."""

    labels: dict[str, int]
    held_out: frozenset[str]

    @property
    def num_landmarks(self) -> int:
        """How many classes there are."""
        return len(set(self.labels.values()))


def training_photos(photos: Photos, half: int) -> TrainingPhotos:
    """Choose what the model that judges a half is trained on: as many photos a landmark as a run keeps large copies of.

    All are of landmarks of the other half. A share is held out as a run holds it out: never a landmark's first.
    """
    halves = halves_of(photos.landmarks.values())
    most, fraction = DownloadSettings().references_per_landmark, TrainSettings().validation_fraction
    others = {each: names for each, names in photos.by_landmark().items() if halves[each] != half}
    chosen = {each: choose(names, most, seed=_SEED, purpose="reference") for each, names in others.items()}
    labels = {name: place for place, each in enumerate(sorted(chosen)) for name in chosen[each]}
    rest = [name for names in chosen.values() for name in names[1:]]
    count = round(fraction * len(rest))
    return TrainingPhotos(labels, frozenset(choose(rest, count, seed=_SEED, purpose="holdout") if count else ()))


class HalfModels:
    """Two trained models, made when they are first asked for; the landmarks of one are those of the other's judging."""

    def __init__(self, photos: Photos, folder: Path, read_large: ReadLarge, write: LineWriter, *, quick: bool) -> None:
        self._photos, self._folder, self._read_large, self._write = photos, folder, read_large, write
        self._settings = QUICK_SETTINGS if quick else DelfSettings()
        self._weights = find_weights()
        if self._weights is None and not quick:
            raise BenchmarkError("VGG16's ImageNet weights should be on this machine: run scripts/fetch_weights")
        if not quick:
            prepare_framework(num_threads=self._settings.num_threads, gpus=None)

    def extractor(self, half: int, *, large_side: int, max_keypoints: int) -> ExtractMany:
        """Return the extractor for photos judged in a half: that of the model trained on the other half's landmarks."""
        folder = self._folder / f"judges-{half}-{large_side}"
        if not folder.is_dir():
            kept = training_photos(self._photos, half)
            if kept.num_landmarks < 2:
                raise BenchmarkError(f"each half should have two landmarks to train on. Received: {kept.num_landmarks}")
            folder.mkdir(parents=True)
            self._train(kept, half, large_side, folder)
        return load_delf_vgg16(folder, max_keypoints=max_keypoints, batch_size=_IMAGES_AT_ONCE)

    def _train(self, kept: TrainingPhotos, half: int, large_side: int, folder: Path) -> None:
        settings, names = self._settings, sorted(kept.labels)
        say(f"features: training delf_vgg16 on {len(names)} photos, to judge the landmarks of half {half}")
        started = time.perf_counter()
        images = LabelledImages(
            [self._read_large(self._photos.paths[name], large_side) for name in names],
            np.array([kept.labels[name] for name in names], np.int32),
            np.array([name in kept.held_out for name in names], np.bool_),
        )
        data = training_data(
            images, load_cropping(settings.crop_size), batch_size=settings.batch_size, seed=settings.seed
        )
        history = train_delf(
            _plan(settings, self._weights),
            Training(LoopPlan(settings.epochs), data),
            iterate_groups(images, num_images=settings.pca_images, size=_IMAGES_AT_ONCE),
            num_classes=kept.num_landmarks,
            folder=folder,
        )
        self._write(
            "features",
            "trained",
            kind="delf_vgg16",
            judges_half=half,
            num_landmarks=kept.num_landmarks,
            num_photos=len(names),
            num_held_out=len(kept.held_out),
            seconds=time.perf_counter() - started,
            last={name: values[-1] for name, values in history.items()},
        )


def _plan(settings: DelfSettings, weights: Path | None) -> DelfTrainingPlan:
    scales: Sequence[float] = [float(each) for each in settings.scales.split()]
    return DelfTrainingPlan(
        network=DelfNetworkPlan(
            weights=weights, layer=settings.layer, attention_units=settings.attention_units, seed=settings.seed
        ),
        form=DelfForm(settings.layer, tuple(scales), settings.radius, settings.whiten),
        learning_rate=settings.learning_rate,
        dimensions=settings.dimensions,
        batch_size=_IMAGES_AT_ONCE,
    )
