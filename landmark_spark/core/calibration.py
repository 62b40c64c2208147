"""Measures a verdict by what it does to pairs whose truth is known: which share of them has more inliers than so many.

A false pair shows two landmarks, a true pair one. The share of false pairs above a threshold is the false-accept rate;
what a verdict risks is the rate of an image, whose number of inliers is the largest over all references compared.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.local_features import LocalFeatures

_MOST_VALUES = 1024  # of a descriptor, as core.matching takes them

__all__ = [
    "Rate",
    "binomial_interval",
    "choose",
    "false_pairs",
    "images_needed",
    "random_matches",
    "rate_above",
    "threshold_for",
    "true_pairs",
]

Item = TypeVar("Item", bound=Hashable)
Pair = tuple[str, str]
Counts = Sequence[int] | NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Rate:
    """A share that was counted, and the interval in which it lies with 95 % confidence.

    num_accepted of num_trials; share: their ratio; low, high: of ``binomial_interval``.
    """

    num_accepted: int
    num_trials: int
    share: float
    low: float
    high: float


def choose(items: Iterable[Item], count: int, *, seed: int, purpose: str) -> list[Item]:
    """Return up to ``count`` of the items, drawn by hash: the same whatever the order they come in."""
    return sorted(items, key=lambda item: (_hash(f"{purpose}:{seed}:{item}"), str(item)))[: _checked(count)]


def true_pairs(groups: Mapping[int, Sequence[str]], count: int, *, seed: int) -> list[Pair]:
    """Draw up to ``count`` different pairs of ids of one group, uniform over all such pairs; the earlier id first."""
    pairs = (pair for _, ids in sorted(groups.items()) for pair in itertools.combinations(ids, 2))
    return choose(pairs, count, seed=seed, purpose="true")


def false_pairs(
    queries: Mapping[str, int], references: Mapping[Item, int], count: int, *, seed: int
) -> list[tuple[str, Item]]:
    """Draw up to ``count`` different pairs (query, reference) of different groups, uniform over all such pairs.

    Args:
        queries: id -> group.
        references: id, or whatever else is compared with, -> group.
        count: pairs wanted; fewer are returned where there are no more.
        seed: of the hash that draws.
    """
    ids, others = sorted(queries), sorted(references, key=str)
    sizes: dict[int, int] = {}
    for group in references.values():
        sizes[group] = sizes.get(group, 0) + 1
    total = sum(len(others) - sizes.get(queries[each], 0) for each in ids)
    if total <= 4 * _checked(count):
        every = ((one, other) for one in ids for other in others if queries[one] != references[other])
        return choose(every, count, seed=seed, purpose="false")
    found: dict[tuple[str, Item], None] = {}
    for number in itertools.count():
        if len(found) == count:
            return list(found)
        place = _hash(f"false:{seed}:{number}") % (len(ids) * len(others))
        one, other = ids[place // len(others)], others[place % len(others)]
        if queries[one] != references[other]:
            found[one, other] = None
    raise AssertionError  # the count above has no end


def binomial_interval(num_accepted: int, num_trials: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided interval of a share (Clopper and Pearson, Biometrika 26, 1934).

    It holds for trials that do not depend on each other. Pairs that share an image depend a little: with few images
    the true interval is wider.

    Raises:
        ValueError: num_trials is below 1, num_accepted not from 0 to num_trials, or confidence not between 0 and 1.
    """
    if num_trials < 1 or not 0 <= num_accepted <= num_trials or not 0.0 < confidence < 1.0:
        raise ValueError(
            "num_trials should be at least 1, num_accepted from 0 to it and confidence between 0 and 1. "
            f"Received: {num_trials}, {num_accepted}, {confidence}"
        )
    from scipy.special import betaincinv

    tail = (1.0 - confidence) / 2
    rest = num_trials - num_accepted
    low = float(betaincinv(num_accepted, rest + 1, tail)) if num_accepted else 0.0
    high = float(betaincinv(num_accepted + 1, rest, 1.0 - tail)) if rest else 1.0
    return low, high


def rate_above(num_inliers: Counts, threshold: int) -> Rate:
    """Return the share of pairs or images with more inliers than the threshold. num_inliers: (P,) int, not empty."""
    values = np.asarray(num_inliers)
    num_accepted = int(np.count_nonzero(values > threshold))
    low, high = binomial_interval(num_accepted, len(values))
    return Rate(num_accepted, len(values), num_accepted / len(values), low, high)


def threshold_for(
    num_inliers: Counts, rate: float, *, by: Callable[[Rate], float] = lambda found: found.share
) -> int | None:
    """Return the smallest threshold that at most this share of (false) pairs or images exceeds.

    Thresholds are whole numbers of inliers, so that the rate reached is often below the one asked for; never above.

    Args:
        num_inliers: (P,) int, not empty.
        rate: the largest share allowed, above 0 and below 1.
        by: what of the rate counts: the share that was measured, or the upper end of its interval.

    Returns:
        The threshold; None where even the largest one shows too little, as the end of an interval of few trials.
    """
    if not 0.0 < rate < 1.0:
        raise ValueError(f"rate should be above 0 and below 1. Received: {rate}")
    candidates = [0, *sorted({int(each) for each in np.asarray(num_inliers) if each > 0})]
    return next((each for each in candidates if by(rate_above(num_inliers, each)) <= rate), None)


def images_needed(rate: float, *, confidence: float = 0.95) -> int:
    """Return how many trials without a single accept show, by ``binomial_interval``, that the rate is not exceeded."""
    if not 0.0 < rate < 1.0:
        raise ValueError(f"rate should be above 0 and below 1. Received: {rate}")
    # With none of n accepted the interval ends at 1 - tail ** (1 / n).
    return int(np.ceil(np.log((1.0 - confidence) / 2) / np.log1p(-rate) - 1e-9))


def random_matches(
    query: tuple[int, int], reference: tuple[int, int], num_matches: int, *, seed: int
) -> tuple[LocalFeatures, LocalFeatures]:
    """Make features of two images that match one to one and agree on nothing: what descriptors add is left out.

    Args:
        query: (width, height) in pixels; its keypoints are spread evenly over it by chance.
        reference: likewise.
        num_matches: K; keypoint k of one matches keypoint k of the other, at descriptor distance 0.
        seed: of the places.
    """
    random = np.random.default_rng(seed)
    descriptors = _distinct_descriptors(num_matches)
    one, other = (
        LocalFeatures((random.random((num_matches, 2)) * size).astype(np.float32), descriptors, *size)
        for size in (query, reference)
    )
    return one, other


def _distinct_descriptors(count: int) -> NDArray[np.float16]:
    """Return (N, D) unit vectors, no two of which have a similarity above one half: at most 1,024 values each."""
    if count <= _MOST_VALUES:
        return np.eye(count, dtype=np.float16)
    half = _MOST_VALUES // 2
    first, second = np.arange(count) % half, np.arange(count) // half
    if second[-1] >= half:
        raise ValueError(f"num_matches should be at most {half * half:,}. Received: {count:,}")
    found = np.zeros((count, _MOST_VALUES), np.float16)
    for places in (first, half + second):
        found[np.arange(count), places] = np.sqrt(0.5)
    return found


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _checked(count: int) -> int:
    if count < 1:
        raise ValueError(f"count should be at least 1. Received: {count}")
    return count
