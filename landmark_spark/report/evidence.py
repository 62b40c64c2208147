"""What the predictions were worth: metrics of each mode, samples for the charts, and the examples worth a look."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from landmark_spark.core.fusion import LEARNED, MODES, Candidate, choose_candidate
from landmark_spark.core.metrics import Prediction, evaluate
from landmark_spark.report.data import KINDS

__all__ = [
    "Judged",
    "answers_of",
    "choose_examples",
    "evaluate_modes",
    "predictions_of",
    "several_landmarks",
    "verdict_of",
]

Solution = Mapping[str, frozenset[int]]

_CHOOSING = ("confident_wrong", "rejected", "accepted", "borderline")  # KINDS in the order in which they choose


@dataclass(frozen=True)
class Judged:
    """A prediction for one test image with its verification."""

    id: str
    landmark_id: int
    score: float
    num_inliers: int
    is_verified: bool
    best_reference_id: str | None


def predictions_of(judged: Iterable[Judged], mode: str, *, full_inliers: int) -> list[Prediction]:
    """Return the predictions that a submission in this mode makes: one an image at most.

    judged: the candidates of an image next to each other, the best predicted first.
    """
    chosen = ((candidates, _choose(candidates, mode, full_inliers=full_inliers)) for candidates in _by_image(judged))
    return [
        Prediction(candidates[answer[0]].id, candidates[answer[0]].landmark_id, answer[1])
        for candidates, answer in chosen
        if answer is not None
    ]


def answers_of(judged: Iterable[Judged], mode: str, *, full_inliers: int) -> list[Judged]:
    """Return one candidate of each image: the one that a submission in this mode answers, else the best predicted."""
    return [
        candidates[(_choose(candidates, mode, full_inliers=full_inliers) or (0,))[0]]
        for candidates in _by_image(judged)
    ]


def _choose(candidates: Sequence[Judged], mode: str, *, full_inliers: int) -> tuple[int, float] | None:
    found = [Candidate(each.score, each.num_inliers, each.is_verified) for each in candidates]
    return choose_candidate(mode, found, full_inliers=full_inliers)


def _by_image(judged: Iterable[Judged]) -> Iterable[list[Judged]]:
    return (list(candidates) for _, candidates in itertools.groupby(judged, key=lambda each: each.id))


def evaluate_modes(made: Mapping[str, Sequence[Prediction]], solution: Solution) -> dict[str, dict[str, float | int]]:
    """Return gap, top1, num_predictions and num_positives of each mode's predictions, from the plainest mode on."""
    ordered = [mode for mode in (*reversed(MODES), LEARNED) if mode in made]
    return {mode: evaluate(made[mode], solution) for mode in ordered}


def several_landmarks(
    judged: Iterable[Judged], names: Mapping[int, str], *, count: int
) -> list[tuple[str, list[tuple[str, int]]]]:
    """Return the images in which more than one landmark was verified, those with the most first, ``count`` at most.

    judged: the candidates of an image next to each other. names: of landmarks; one without has its number. Of each
    image the landmark with the most inliers comes first.
    """
    found = []
    for candidates in _by_image(judged):
        verified = sorted((each for each in candidates if each.is_verified), key=lambda each: -each.num_inliers)
        if len(verified) > 1:
            shown = [(names.get(each.landmark_id) or str(each.landmark_id), each.num_inliers) for each in verified]
            found.append((verified[0].id, shown))
    return sorted(found, key=lambda each: (-len(each[1]), each[0]))[:count]


def verdict_of(judged: Judged | Prediction, solution: Solution) -> str:
    """Return right, wrong, no landmark (the image shows none), or unknown (the solution lacks the image)."""
    if judged.id not in solution:
        return "unknown"
    landmarks = solution[judged.id]
    if not landmarks:
        return "no landmark"
    return "right" if judged.landmark_id in landmarks else "wrong"


def choose_examples(
    judged: Sequence[Judged], solution: Solution, *, min_inliers: int, count: int
) -> dict[str, list[Judged]]:
    """Choose up to ``count`` examples of each kind among those that were compared with a reference.

    accepted: verified, most inliers; borderline: from half the threshold to twice as much, nearest to it; rejected: not
    verified, most confident; confident_wrong: most confident among the wrong. Ties go by id; an image is shown once.
    The kinds choose in turn, so that few images are shared out between them, those of the most confident first: what
    they lack would belie their names.
    """
    compared = sorted((each for each in judged if each.best_reference_id is not None), key=lambda each: each.id)
    wrong = [each for each in compared if verdict_of(each, solution) in ("wrong", "no landmark")]
    near = [each for each in compared if min_inliers <= 2 * each.num_inliers <= 4 * min_inliers]
    ranked = {
        "accepted": sorted((each for each in compared if each.is_verified), key=lambda each: -each.num_inliers),
        "borderline": sorted(near, key=lambda each: abs(each.num_inliers - min_inliers - 0.5)),
        "rejected": sorted((each for each in compared if not each.is_verified), key=lambda each: -each.score),
        "confident_wrong": sorted(wrong, key=lambda each: -each.score),
    }
    chosen: dict[str, list[Judged]] = {kind: [] for kind in KINDS}
    shown: set[str] = set()
    for _ in range(count):
        for kind in _CHOOSING:
            free = next((each for each in ranked[kind] if each.id not in shown), None)
            if free is not None:
                chosen[kind].append(free)
                shown.add(free.id)
    return chosen
