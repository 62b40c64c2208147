"""What the predictions were worth: metrics of each mode, samples for the charts, and the examples worth a look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from landmark_spark.core.fusion import MODES, score_prediction
from landmark_spark.core.metrics import Prediction, evaluate
from landmark_spark.report.data import KINDS

__all__ = ["Judged", "choose_examples", "evaluate_modes", "predictions_of", "verdict_of"]

Solution = Mapping[str, frozenset[int]]


@dataclass(frozen=True)
class Judged:
    """The best prediction of one test image with its verification."""

    id: str
    landmark_id: int
    score: float
    num_inliers: int
    is_verified: bool
    best_reference_id: str | None


def predictions_of(judged: Iterable[Judged], mode: str, *, full_inliers: int) -> list[Prediction]:
    """Return the predictions that a submission in this mode makes."""
    scored = (
        (
            each,
            score_prediction(
                mode,
                each.score,
                num_inliers=each.num_inliers,
                is_verified=each.is_verified,
                full_inliers=full_inliers,
            ),
        )
        for each in judged
    )
    return [Prediction(each.id, each.landmark_id, score) for each, score in scored if score is not None]


def evaluate_modes(
    judged: Sequence[Judged], solution: Solution, *, full_inliers: int
) -> dict[str, dict[str, float | int]]:
    """Return gap, top1, num_predictions and num_positives of each mode of core.fusion, from the plainest on."""
    return {
        mode: evaluate(predictions_of(judged, mode, full_inliers=full_inliers), solution) for mode in reversed(MODES)
    }


def verdict_of(judged: Judged, solution: Solution) -> str:
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

    accepted: most inliers; borderline: nearest to the threshold; rejected: most confident of those below a third of it;
    confident_wrong: most confident among the wrong. Ties go by id; an image is shown once, in the first kind it fits.
    """
    compared = sorted((each for each in judged if each.best_reference_id is not None), key=lambda each: each.id)
    wrong = [each for each in compared if verdict_of(each, solution) in ("wrong", "no landmark")]
    ranked = {
        "confident_wrong": sorted(wrong, key=lambda each: -each.score),
        "borderline": sorted(compared, key=lambda each: abs(each.num_inliers - min_inliers - 0.5)),
        "accepted": sorted((each for each in compared if each.is_verified), key=lambda each: -each.num_inliers),
        "rejected": sorted(
            (each for each in compared if 3 * each.num_inliers < min_inliers), key=lambda each: -each.score
        ),
    }
    chosen: dict[str, list[Judged]] = {}
    shown: set[str] = set()
    for kind, candidates in ranked.items():
        chosen[kind] = [each for each in candidates if each.id not in shown][:count]
        shown |= {each.id for each in chosen[kind]}
    return {kind: chosen[kind] for kind in KINDS}
