"""Draws the pairs that a verdict is calibrated on from the references of a store, and compares them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from landmark_spark.commits import StoreError
from landmark_spark.core.calibration import choose, false_pairs, random_matches, true_pairs
from landmark_spark.core.local_features import LocalFeatures
from landmark_spark.core.verification import match_pair
from landmark_spark.row_lookup import look_up
from landmark_spark.schemas import CANDIDATES, LOCAL_FEATURES, PREDICTIONS
from landmark_spark.settings import Config, ConfigError
from landmark_spark.stages.verify_landmarks import features_of, verification_settings
from landmark_spark.store import Store

__all__ = ["Comparing", "Plan", "Sampling", "choose_references", "make_plan", "read_features"]

_COLUMNS = ("width", "height", "num_keypoints", "keypoints", "descriptors")


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


def choose_references(store: Store, config: Config, sampling: Sampling) -> dict[int, list[str]]:
    """Return the ids of the references of each landmark chosen, in the order they are compared in.

    Raises StoreError where there are no local features, or too few.
    """
    if not store.commits(LOCAL_FEATURES):
        raise StoreError(
            f"calibrate should have local_features. Received: none in {store.url}: "
            "make them by landmark-spark run --to extract_local_features, with the same --config and --set"
        )
    found: dict[int, list[tuple[int, str]]] = {}
    columns = ("id", "split", "landmark_id", "reference_rank")
    rows = store.read_arrow(LOCAL_FEATURES, columns)
    limit = config.verify.max_comparisons
    named = _named_landmarks(store, config)
    for image_id, split, landmark, rank in zip(*(rows.column(each).to_pylist() for each in columns), strict=True):
        if split == "train" and rank < limit and (named is None or landmark in named):
            found.setdefault(landmark, []).append((rank, image_id))
    chosen = choose(found, sampling.num_landmarks, seed=sampling.seed, purpose="landmark")
    groups = {each: [image_id for _, image_id in sorted(found[each])] for each in sorted(chosen)}
    if len(groups) < 2 or max(map(len, groups.values())) < 2:
        raise StoreError(
            "calibrate should have references of two landmarks, and two of one of them. "
            f"Received: {', '.join(f'{len(ids)} of landmark {key}' for key, ids in groups.items()) or 'none'}"
        )
    return groups


def _named_landmarks(store: Store, config: Config) -> set[int] | None:
    """Return the landmarks of which all references have features; None: all that have any with features.

    Of other landmarks only the images that play test images have some.
    """
    if not store.commits(CANDIDATES):
        return None
    found = set(store.read_arrow(CANDIDATES, ["landmark_id"]).column("landmark_id").to_pylist())
    if store.commits(PREDICTIONS):
        rows = store.read_arrow(PREDICTIONS, ["rank", "landmark_id"]).to_pylist()
        found |= {row["landmark_id"] for row in rows if row["rank"] < config.verify.candidates}
    return found


def read_features(store: Store, ids: Sequence[str], num_shards: int) -> dict[str, LocalFeatures]:
    """Return the features by id. Raises StoreError where an id is not in the shard that it should be in."""
    rows = look_up(store, LOCAL_FEATURES, ids, columns=_COLUMNS, num_shards=num_shards)
    missing = [each for each in ids if each not in rows]
    if missing:
        raise StoreError(
            f"local_features should have shards by index.num_shards = {num_shards}. "
            f"Received: {len(missing)} ids in other shards, such as {missing[0]}"
        )
    return {name: features_of(found[0]) for name, found in rows.items()}


@dataclass(frozen=True)
class Plan:
    """What is compared: pairs (query, reference), and images (query, references)."""

    false_pairs: list[tuple[str, str]]
    true_pairs: list[tuple[str, str]]
    false_images: list[tuple[str, list[str]]]
    true_images: list[tuple[str, list[str]]]

    @property
    def num_comparisons(self) -> int:
        """Return how many comparisons of two images that is, those of random matches included."""
        images = [*self.false_images, *self.true_images]
        return 2 * len(self.false_pairs) + len(self.true_pairs) + sum(len(each) for _, each in images)


def make_plan(groups: Mapping[int, Sequence[str]], sampling: Sampling) -> Plan:
    """Draw the pairs and images from the references of each landmark."""
    landmark_of = {image_id: landmark for landmark, ids in groups.items() for image_id in ids}
    seed = sampling.seed
    others = false_pairs(landmark_of, {each: each for each in groups}, sampling.num_images, seed=seed)
    paired = [image_id for image_id, landmark in landmark_of.items() if len(groups[landmark]) > 1]
    own = choose(paired, sampling.num_images, seed=seed, purpose="image")
    return Plan(
        false_pairs=false_pairs(landmark_of, landmark_of, sampling.num_pairs, seed=seed),
        true_pairs=true_pairs(groups, sampling.num_pairs, seed=seed),
        false_images=[(image_id, list(groups[landmark])) for image_id, landmark in others],
        true_images=[(each, [other for other in groups[landmark_of[each]] if other != each]) for each in own],
    )


class Comparing:
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
