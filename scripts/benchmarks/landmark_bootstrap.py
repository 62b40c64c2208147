"""Intervals of shares of pairs that share landmarks: the landmarks are drawn anew, not the pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["bootstrap_difference", "bootstrap_share"]

_ROUNDS = 2000

Verdicts = Sequence[bool] | NDArray[np.bool_]


def bootstrap_share(is_accepted: Verdicts, groups: Sequence[int]) -> tuple[float, float]:
    """Return the 95 % interval of the share of accepted pairs, by the percentiles of a cluster bootstrap.

    Each round draws as many groups as there are, with replacement, and counts all pairs of each (Davison and Hinkley,
    "Bootstrap Methods and their Application", 1997, section 3.8). A single group, or no difference between pairs,
    gives an interval of no width, which says nothing.

    Args:
        is_accepted: (P,) bool, of each pair.
        groups: (P,) the landmark of each pair.
    """
    return _interval(np.asarray(is_accepted, np.float64), groups)


def bootstrap_difference(ours: Verdicts, theirs: Verdicts, groups: Sequence[int]) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two shares of the same pairs, our share minus theirs."""
    return _interval(np.asarray(ours, np.float64) - np.asarray(theirs, np.float64), groups)


def _interval(values: NDArray[np.float64], groups: Sequence[int]) -> tuple[float, float]:
    if len(values) != len(groups) or not len(values):
        raise ValueError(f"groups should be one a pair, at least one. Received: {len(groups)} of {len(values)} pairs")
    known, place = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(place, weights=values)
    sizes = np.bincount(place).astype(np.float64)
    # Row: how often each group is drawn in a round.
    even = np.full(len(known), 1.0 / len(known))
    drawn = np.random.default_rng(0).multinomial(len(known), even, size=_ROUNDS)
    low, high = np.percentile((drawn @ sums) / (drawn @ sizes), [2.5, 97.5])
    return float(low), float(high)
