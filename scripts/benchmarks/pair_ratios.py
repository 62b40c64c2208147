"""Compares two sides that were measured in turns: the ratio within each pair, and the median of the ratios."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

__all__ = ["ratio_summary", "take_turns"]

Ours = TypeVar("Ours")
Theirs = TypeVar("Theirs")


def ratio_summary(name: str, ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """Return the median, the least, the largest and all of the ratios ours[i] / theirs[i], under ``name``.

    Pairs are compared within themselves: what slows a machine for a minute slows both sides of a pair.
    """
    if len(ours) != len(theirs) or not ours:
        raise ValueError(
            f"both sides should have the same number of runs, at least one. Received: {len(ours)} and {len(theirs)}"
        )
    if min(theirs) <= 0:
        raise ValueError(f"rates should be above 0. Received: {min(theirs)}")
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return {
        name: statistics.median(ratios),
        f"{name}_min": min(ratios),
        f"{name}_max": max(ratios),
        f"{name}_pairs": ratios,
    }


def take_turns(
    ours: Callable[[int], Ours], theirs: Callable[[int], Theirs], num_pairs: int
) -> tuple[list[Ours], list[Theirs]]:
    """Run both sides num_pairs times, each with the number of the pair; who begins changes from pair to pair."""
    of_ours: list[Ours] = []
    of_theirs: list[Theirs] = []
    for pair in range(num_pairs):
        if pair % 2 == 0:
            of_ours.append(ours(pair))
            of_theirs.append(theirs(pair))
        else:
            of_theirs.append(theirs(pair))
            of_ours.append(ours(pair))
    return of_ours, of_theirs
