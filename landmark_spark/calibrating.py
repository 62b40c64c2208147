"""Calibrates the verdict on the features of a store: how often would it accept images of other landmarks?

It reads the references' features alone, which show a known landmark: no test image, and no solution.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from landmark_spark.commits import StoreError
from landmark_spark.core.calibration import (
    Rate,
    choose,
    false_pairs,
    images_needed,
    random_matches,
    rate_above,
    threshold_for,
    true_pairs,
)
from landmark_spark.core.local_features import LocalFeatures
from landmark_spark.core.verification import match_pair
from landmark_spark.row_lookup import look_up
from landmark_spark.schemas import LOCAL_FEATURES
from landmark_spark.settings import Config, ConfigError
from landmark_spark.stages.verify_landmarks import features_of, verification_settings
from landmark_spark.store import Store

__all__ = ["Calibration", "Choice", "Sampling", "Suspect", "Threshold", "calibrate"]

_COLUMNS = ("width", "height", "num_keypoints", "keypoints", "descriptors")
_LOWEST = 3  # of verify.min_inliers
_NUM_SUSPECTS = 5

Tell = Callable[[str], None]
Counts = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Sampling:
    """How much is measured.

    num_pairs: pairs of each kind: of different landmarks, of random matches, of the same landmark.
    num_images: images compared with the references of another landmark, and of their own.
    num_landmarks: whose references are read: up to verify.max_comparisons each, about 0.26 MB a reference.
    rates: false-accept rates to find thresholds for. seed: of the draws.
    """

    num_pairs: int = 4000
    num_images: int = 1000
    num_landmarks: int = 50
    rates: tuple[float, ...] = (0.01, 0.001)
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what the command line gives."""
        for name, least in (("num_pairs", 1), ("num_images", 1), ("num_landmarks", 2), ("seed", 0)):
            if getattr(self, name) < least:
                option = name.removeprefix("num_")
                raise ConfigError(f"--{option} should be at least {least}. Received: {getattr(self, name)}")
        if not self.rates or not all(0.0 < each < 1.0 for each in self.rates):
            raise ConfigError(f"--rates should be above 0 and below 1. Received: {self.rates}")


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
    groups = _choose_references(store, config, sampling)
    ids = [each for group in groups.values() for each in group]
    tell(f"calibrate: reading {len(ids)} references of {len(groups)} landmarks")
    features = _read_features(store, ids, config.index.num_shards)
    comparing = _Comparing(features, config)
    plan = _plan(groups, sampling)
    tell(f"calibrate: {plan.num_comparisons} comparisons of two images")
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


def _choose_references(store: Store, config: Config, sampling: Sampling) -> dict[int, list[str]]:
    """Return the ids of the references of each landmark chosen, in the order they are compared in."""
    if not store.commits(LOCAL_FEATURES):
        raise StoreError(
            f"calibrate should have local_features. Received: none in {store.url}: "
            "make them by landmark-spark run --to extract_local_features, with the same --config and --set"
        )
    found: dict[int, list[tuple[int, str]]] = {}
    columns = ("id", "split", "landmark_id", "reference_rank")
    rows = store.read_arrow(LOCAL_FEATURES, columns)
    for image_id, split, landmark, rank in zip(*(rows.column(each).to_pylist() for each in columns), strict=True):
        if split == "train":
            found.setdefault(landmark, []).append((rank, image_id))
    chosen = choose(found, sampling.num_landmarks, seed=sampling.seed, purpose="landmark")
    limit = config.verify.max_comparisons
    groups = {each: [image_id for _, image_id in sorted(found[each])[:limit]] for each in sorted(chosen)}
    if len(groups) < 2 or max(map(len, groups.values())) < 2:
        raise StoreError(
            "calibrate should have references of two landmarks, and two of one of them. "
            f"Received: {', '.join(f'{len(ids)} of landmark {key}' for key, ids in groups.items()) or 'none'}"
        )
    return groups


def _read_features(store: Store, ids: Sequence[str], num_shards: int) -> dict[str, LocalFeatures]:
    rows = look_up(store, LOCAL_FEATURES, ids, columns=_COLUMNS, num_shards=num_shards)
    missing = [each for each in ids if each not in rows]
    if missing:
        raise StoreError(
            f"local_features should have shards by index.num_shards = {num_shards}. "
            f"Received: {len(missing)} ids in other shards, such as {missing[0]}"
        )
    return {name: features_of(found[0]) for name, found in rows.items()}


@dataclass(frozen=True)
class _Plan:
    false_pairs: list[tuple[str, str]]
    true_pairs: list[tuple[str, str]]
    false_images: list[tuple[str, list[str]]]
    true_images: list[tuple[str, list[str]]]

    @property
    def num_comparisons(self) -> int:
        images = [*self.false_images, *self.true_images]
        return 2 * len(self.false_pairs) + len(self.true_pairs) + sum(len(each) for _, each in images)


def _plan(groups: Mapping[int, Sequence[str]], sampling: Sampling) -> _Plan:
    landmark_of = {image_id: landmark for landmark, ids in groups.items() for image_id in ids}
    seed = sampling.seed
    others = false_pairs(landmark_of, {each: each for each in groups}, sampling.num_images, seed=seed)
    paired = [image_id for image_id, landmark in landmark_of.items() if len(groups[landmark]) > 1]
    own = choose(paired, sampling.num_images, seed=seed, purpose="image")
    return _Plan(
        false_pairs=false_pairs(landmark_of, landmark_of, sampling.num_pairs, seed=seed),
        true_pairs=true_pairs(groups, sampling.num_pairs, seed=seed),
        false_images=[(image_id, list(groups[landmark])) for image_id, landmark in others],
        true_images=[(each, [other for other in groups[landmark_of[each]] if other != each]) for each in own],
    )


class _Comparing:
    """Compares images of which the features are in memory; a pair is compared once."""

    def __init__(self, features: Mapping[str, LocalFeatures], config: Config) -> None:
        self._features = features
        self._settings = verification_settings(config.verify)
        self._found: dict[tuple[str, str], tuple[int, int]] = {}

    def pairs(self, pairs: Iterable[tuple[str, str]]) -> list[int]:
        """Return the inliers of each pair (query, reference)."""
        return [self._compare(*each)[0] for each in pairs]

    def images(self, images: Iterable[tuple[str, Sequence[str]]]) -> list[int]:
        """Return the largest number of inliers of each image with any of its references, all of which are compared."""
        return [max(self._compare(query, each)[0] for each in references) for query, references in images]

    def random_pairs(self, pairs: Iterable[tuple[str, str]], seed: int) -> list[int]:
        """Return the inliers of as many random matches as each pair has, in images of the same sizes."""
        counts = []
        for number, (query, reference) in enumerate(pairs):
            one, other = self._features[query], self._features[reference]
            made = random_matches(
                (one.width, one.height),
                (other.width, other.height),
                self.num_matches(query, reference),
                seed=seed + number,
            )
            counts.append(int(np.count_nonzero(match_pair(*made, self._settings)[2])))
        return counts

    def num_matches(self, query: str, reference: str) -> int:
        """Return how many keypoints of a pair match, before geometry."""
        return self._compare(query, reference)[1]

    def found(self) -> list[tuple[str, str, int]]:
        """Return (query, reference, inliers) of every pair compared, most inliers first, ties by id."""
        listed = [(*pair, num_inliers) for pair, (num_inliers, _) in self._found.items()]
        return sorted(listed, key=lambda each: (-each[2], each[:2]))

    def _compare(self, query: str, reference: str) -> tuple[int, int]:
        if (query, reference) not in self._found:
            is_inlier = match_pair(self._features[query], self._features[reference], self._settings)[2]
            self._found[query, reference] = int(np.count_nonzero(is_inlier)), len(is_inlier)
        return self._found[query, reference]


def _suspects(comparing: _Comparing, groups: Mapping[int, Sequence[str]]) -> tuple[Suspect, ...]:
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
