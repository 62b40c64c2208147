"""Calibrates the verdict on the features of a store: how often would it accept images of other landmarks?

It reads the references' features alone, which show a known landmark: no test image, and no solution.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from landmark_spark.calibration_pairs import Comparing, Sampling, choose_references, make_plan, read_features
from landmark_spark.core.calibration import Rate, images_needed, rate_above, threshold_for
from landmark_spark.core.counted import counted
from landmark_spark.schemas import LOCAL_FEATURES
from landmark_spark.settings import Config
from landmark_spark.store import Store

__all__ = ["Calibration", "Choice", "Suspect", "Threshold", "calibrate"]

_LOWEST = 3  # of verify.min_inliers
_NUM_SUSPECTS = 5

Tell = Callable[[str], None]
Counts = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Threshold:
    """What ``verify.min_inliers`` = min_inliers accepts.

    other_pairs, random_pairs, other_images: false accepts; same_pairs, same_images: true ones. An image counts by its
    best reference of all that are compared.
    """

    min_inliers: int
    other_pairs: Rate
    random_pairs: Rate
    other_images: Rate
    same_pairs: Rate
    same_images: Rate


@dataclass(frozen=True)
class Choice:
    """The smallest min_inliers at which an image is falsely accepted no more often than ``rate``.

    measured: by the share that was measured. shown: by the upper end of its interval; None where too few images were
    compared, images_needed of them at least.
    """

    rate: float
    measured: int
    shown: int | None
    images_needed: int


@dataclass(frozen=True)
class Suspect:
    """Two images of different landmarks with many inliers: a mistake, or landmarks that stand in one picture."""

    image_id: str
    landmark_id: int
    reference_id: str
    reference_landmark_id: int
    num_inliers: int


@dataclass(frozen=True)
class Calibration:
    """What was measured.

    thresholds: every one from 3 to where no false pair is accepted, the current one included. suspects: the false
    pairs with the most inliers, the first of them first; two images stand there once.
    """

    store: str
    kind: str
    verify: Mapping[str, Any]
    num_landmarks: int
    num_references: int
    mean_comparisons: float
    mean_matches: float
    thresholds: tuple[Threshold, ...]
    choices: tuple[Choice, ...]
    suspects: tuple[Suspect, ...]

    def to_json(self) -> str:
        """Write it for machines."""
        return json.dumps(dataclasses.asdict(self), indent=1)


def calibrate(config: Config, sampling: Sampling, tell: Tell) -> Calibration:
    """Measure the verdict of a configuration on the local features of its store; the same store gives the same numbers.

    Raises StoreError where the store has no local features, or too few references of different landmarks.
    """
    store = Store(config.store)
    groups = choose_references(store, config, sampling)
    ids = [each for group in groups.values() for each in group]
    tell(f"calibrate: reading {counted(len(ids), 'reference')} of {counted(len(groups), 'landmark')}")
    features = read_features(store, ids, config.index.num_shards)
    comparing = Comparing(features, config)
    plan = make_plan(groups, sampling)
    tell(f"calibrate: {counted(plan.num_comparisons, 'comparison')} of two images")
    counts = {
        "other_pairs": comparing.pairs(plan.false_pairs),
        "random_pairs": comparing.random_pairs(plan.false_pairs, sampling.seed),
        "other_images": comparing.images(plan.false_images),
        "same_pairs": comparing.pairs(plan.true_pairs),
        "same_images": comparing.images(plan.true_images),
    }
    commit = next(iter(store.commits(LOCAL_FEATURES).values()))
    return Calibration(
        store=store.url,
        kind=str(commit.stamp.settings.get("local_features.kind", config.local_features.kind)),
        verify=dataclasses.asdict(config.verify),
        num_landmarks=len(groups),
        num_references=len(ids),
        mean_comparisons=float(np.mean([len(each) for _, each in plan.false_images])),
        mean_matches=float(np.mean([comparing.num_matches(*each) for each in plan.false_pairs])),
        thresholds=_thresholds(counts, config.verify.min_inliers),
        choices=tuple(_choice(counts["other_images"], rate) for rate in sampling.rates),
        suspects=_suspects(comparing, groups),
    )


def _suspects(comparing: Comparing, groups: Mapping[int, Sequence[str]]) -> tuple[Suspect, ...]:
    landmark_of = {image_id: landmark for landmark, ids in groups.items() for image_id in ids}
    found: dict[frozenset[str], Suspect] = {}
    for one, other, count in comparing.found():
        if landmark_of[one] != landmark_of[other] and len(found) < _NUM_SUSPECTS:
            found.setdefault(frozenset((one, other)), Suspect(one, landmark_of[one], other, landmark_of[other], count))
    return tuple(found.values())


def _thresholds(counts: Counts, current: int) -> tuple[Threshold, ...]:
    largest = max(max(each) for name, each in counts.items() if not name.startswith("same"))
    return tuple(
        Threshold(each, **{name: rate_above(values, each) for name, values in counts.items()})
        for each in range(_LOWEST, max(largest, current) + 1)
    )


def _choice(counts: Sequence[int], rate: float) -> Choice:
    measured = threshold_for(counts, rate)
    shown = threshold_for(counts, rate, by=lambda found: found.high)
    return Choice(
        rate=rate,
        measured=max(measured or 0, _LOWEST),
        shown=None if shown is None else max(shown, _LOWEST),
        images_needed=images_needed(rate),
    )
