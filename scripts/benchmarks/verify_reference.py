"""The reference that verification is measured against: SciPy's k-d tree and scikit-image's RANSAC, as DELF's examples.

Each descriptor of one image is matched with the nearest of the other, within 0.8, one way; RANSAC looks for the affine
map on which most matches agree to 20 pixels. Coordinates are scaled so that the longest side of each image is 800.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from skimage.measure import ransac
from skimage.transform import AffineTransform

from landmark_spark.core.local_features import LocalFeatures

__all__ = [
    "Consensus",
    "ReferenceCounts",
    "consensus_of",
    "count_in_batches",
    "count_reference_inliers",
    "match_reference",
]

MAX_DISTANCE = 0.8
SIDE = 800
RESIDUAL = 20.0
MAX_TRIALS = 1000
NUM_SEEDS = 20
MIN_INLIERS = 35
_FIRST_SEEDS = 3
_CLEARLY_FEW, _CLEARLY_MANY = 20, 60

Consensus = dict[str, object]
Points = NDArray[np.float64]


def match_reference(query: LocalFeatures, reference: LocalFeatures) -> tuple[Points, Points]:
    """Return the matched places, (K, 2) float64 in pixels of images of longest side 800: of the reference, the query.

    As the examples do, the tree is built of the first image (the reference) and asked with the second.
    """
    if not len(query.keypoints) or not len(reference.keypoints):
        return np.zeros((0, 2)), np.zeros((0, 2))
    tree = cKDTree(reference.descriptors.astype(np.float32))
    _, nearest = tree.query(query.descriptors.astype(np.float32), distance_upper_bound=MAX_DISTANCE)
    is_matched = nearest < len(reference.keypoints)
    return _scaled(reference)[nearest[is_matched]], _scaled(query)[is_matched]


def _scaled(features: LocalFeatures) -> Points:
    return features.keypoints.astype(np.float64) * (SIDE / max(features.width, features.height))


def count_reference_inliers(matches: tuple[Points, Points], seed: int) -> int:
    """Return the inliers that scikit-image's RANSAC finds with a seed."""
    if len(matches[0]) < 4:  # below it ransac refuses
        return 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it found no inlier
        _, is_inlier = ransac(
            matches, AffineTransform, min_samples=3, residual_threshold=RESIDUAL, max_trials=MAX_TRIALS, rng=seed
        )
    return 0 if is_inlier is None else int(np.count_nonzero(is_inlier))


def count_in_batches(matches: tuple[Points, Points], seed: int) -> int:
    """Return what count_reference_inliers does, from the same draws, with the maps of all trials computed at once.

    For the consensus over many seeds alone: what is timed is scikit-image itself. Samples that determine no map, for
    which scikit-image takes an arbitrary one, count as failed.
    """
    sources, targets = matches
    if len(sources) < 4:
        return 0
    rng = np.random.default_rng(seed)
    draws = np.array([rng.choice(len(sources), 3, replace=False) for _ in range(MAX_TRIALS)])
    homogeneous = np.column_stack([sources, np.ones(len(sources))])
    corners = homogeneous[draws]  # (T, 3, 3)
    is_sound = np.abs(np.linalg.det(corners)) > 1e-6
    corners[~is_sound] = np.eye(3)
    maps = np.linalg.solve(corners, targets[draws])  # (T, 3, 2)
    squared = sum((homogeneous @ maps[:, :, axis].T - targets[:, axis, None]) ** 2 for axis in (0, 1))  # (K, T)
    counts = np.count_nonzero(squared < RESIDUAL**2, axis=0) * is_sound
    best, last = 0, MAX_TRIALS
    for trial, count in enumerate(counts.tolist()):
        if trial >= last:
            break
        if count > best:
            best = count
            last = min(last, _trials_needed(best / len(sources)))
    return best


def _trials_needed(inlier_share: float) -> float:
    """Return after how many trials scikit-image stops, whose stop_probability is 1 to the precision of float64."""
    smallest = np.spacing(1)
    return float(np.ceil(np.log(smallest) / np.log(max(smallest, 1 - inlier_share**3))))


def consensus_of(num_matches: int, count: Callable[[int], int]) -> Consensus:
    """Return the verdict of the median over 20 seeds: ``above`` 35 or not, and the counts it took.

    Seeds are tried in order, and no more than decide the matter. Exactly: 35 matches or fewer can not be more inliers,
    11 counts on one side of 35 are the median's side. And by a rule: where the first 3 counts are all at most 20, or
    all at least 60, the others are not tried.
    """
    counts: list[int] = []
    if num_matches <= MIN_INLIERS:
        return {"above": False, "counts": counts, "by": "too few matches"}
    while len(counts) < NUM_SEEDS:
        counts.append(count(len(counts)))
        if len(counts) == _FIRST_SEEDS and (max(counts) <= _CLEARLY_FEW or min(counts) >= _CLEARLY_MANY):
            return {"above": counts[0] > MIN_INLIERS, "counts": counts, "by": "three clear counts"}
        num_above = sum(each > MIN_INLIERS for each in counts)
        if max(num_above, len(counts) - num_above) > NUM_SEEDS // 2:
            return {"above": num_above > NUM_SEEDS // 2, "counts": counts, "by": "majority"}
    return {"above": statistics.median(counts) > MIN_INLIERS, "counts": counts, "by": "median"}


class ReferenceCounts:
    """Consensus by pair, kept in a file, where one is given, as it is found: a run that was stopped goes on."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path is not None and path.is_file() else []
        self._found: dict[str, Consensus] = {str(each["pair"]): each for each in map(_parsed, lines) if each}

    def consensus(self, query: LocalFeatures, reference: LocalFeatures) -> Consensus:
        """Return the consensus of a pair: above, counts, by."""
        key = _key((query, reference))
        if key not in self._found:
            matches = match_reference(query, reference)
            found = consensus_of(len(matches[0]), lambda seed: count_in_batches(matches, seed))
            self._found[key] = {"pair": key} | found
            if self._path is not None:
                with self._path.open("a") as file:
                    file.write(json.dumps(self._found[key]) + "\n")
        return self._found[key]


def _parsed(line: str) -> Consensus:
    try:
        found: Consensus = json.loads(line)
    except ValueError:  # cut off by a kill
        return {}
    return found


def _key(pair: Sequence[LocalFeatures]) -> str:
    digest = hashlib.sha256()
    for each in pair:
        digest.update(f"{each.width} {each.height} ".encode())
        digest.update(each.keypoints.tobytes() + each.descriptors.tobytes())
    return digest.hexdigest()[:32]
