"""Counts which landmarks are taken for which others, and which are seen where there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from landmark_spark.core.metrics import Solution
from landmark_spark.report.data import Confusion
from landmark_spark.report.evidence import Judged, verdict_of

__all__ = ["most_confused", "most_imagined"]


def most_confused(
    answers: Iterable[Judged], solution: Solution, names: Mapping[int, str], *, count: int
) -> tuple[Confusion, ...]:
    """Return the ``count`` most frequent pairs of a landmark shown and another answered; ties go by number.

    A photo that shows several landmarks counts once, under all of them. names: of landmarks; one without has its
    number.
    """
    wrong = [each for each in answers if verdict_of(each, solution) == "wrong"]
    pairs = Counter((tuple(sorted(solution[each.id])), each.landmark_id) for each in wrong)
    return tuple(
        Confusion(" or ".join(_name(landmark, names) for landmark in shown), _name(answered, names), num_images)
        for (shown, answered), num_images in _most(pairs, count)
    )


def most_imagined(
    answers: Iterable[Judged], solution: Solution, names: Mapping[int, str], *, count: int
) -> tuple[tuple[str, int], ...]:
    """Return the ``count`` landmarks that were most often answered for photos of none; ties go by number."""
    imagined = Counter(each.landmark_id for each in answers if verdict_of(each, solution) == "no landmark")
    return tuple((_name(landmark, names), num_images) for landmark, num_images in _most(imagined, count))


def _most(counts: Counter[Any], count: int) -> list[tuple[Any, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:count]


def _name(landmark_id: int, names: Mapping[int, str]) -> str:
    return names.get(landmark_id) or f"landmark {landmark_id}"
