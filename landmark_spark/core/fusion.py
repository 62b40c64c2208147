"""Joins what the classifier says with what geometric verification says into the score of a submission.

The score ranks a prediction among those of all images, so only its order counts (see ``metrics``). The fused score
adds a capped share of inliers to the confidence: above the cap more inliers say nothing more, and a confident
prediction that could not be verified is kept, further down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["LEARNED", "MODES", "Candidate", "choose_candidate", "decision_score", "fused_score", "score_prediction"]

LEARNED = "learned"
"""The mode whose score is learned; its candidates come with it, so there is nothing here to join."""

MODES = ("fused", "decision", "classifier")
"""fused: confidence and inliers added; decision: only what was verified; classifier: the confidence alone."""


class Candidate(NamedTuple):
    """A landmark predicted for an image: softmax probability in [0, 1], and what verification gave."""

    confidence: float
    num_inliers: int
    is_verified: bool


_ROUNDING = 1e-5
"""A softmax in float32 or bfloat16 may end this far above 1."""


def decision_score(confidence: float, *, is_verified: bool) -> float | None:
    """Return the confidence where the prediction was verified, else None: say nothing about this image.

    Args:
        confidence: softmax probability in [0, 1].
        is_verified: whether enough inliers were found.

    Raises:
        ValueError: the confidence is out of range or no number.
    """
    _check_confidence(confidence)
    return confidence if is_verified else None


def fused_score(confidence: float, num_inliers: int, *, full_inliers: int) -> float:
    """Return ``confidence + min(num_inliers, full_inliers) / full_inliers``, in [0, 2].

    Args:
        confidence: softmax probability in [0, 1].
        num_inliers: inliers of the best reference; 0 where none was compared.
        full_inliers: number of inliers from which the score rises no further.

    Raises:
        ValueError: a value is out of range or no number.
    """
    _check_confidence(confidence)
    if num_inliers < 0:
        raise ValueError(f"num_inliers should be at least 0. Received: {num_inliers}")
    if full_inliers < 1:
        raise ValueError(f"full_inliers should be at least 1. Received: {full_inliers}")
    return confidence + min(num_inliers, full_inliers) / full_inliers


def score_prediction(
    mode: str, confidence: float, *, num_inliers: int, is_verified: bool, full_inliers: int
) -> float | None:
    """Return the score of a prediction in a mode of MODES, or None where nothing should be said about the image.

    Raises:
        ValueError: the mode is unknown, or a value that it uses is out of range.
    """
    if mode == "fused":
        return fused_score(confidence, num_inliers, full_inliers=full_inliers)
    if mode == "decision":
        return decision_score(confidence, is_verified=is_verified)
    if mode == "classifier":
        return decision_score(confidence, is_verified=True)
    raise ValueError(f"mode should be one of {', '.join(MODES)}. Received: {mode!r}")


def choose_candidate(mode: str, candidates: Sequence[Candidate], *, full_inliers: int) -> tuple[int, float] | None:
    """Return the place and the score of the one landmark to answer; None where nothing should be said.

    Args:
        mode: a word of MODES. classifier: the first candidate; else the one with the best score, the first of equals.
        candidates: the landmarks predicted for one image and verified, the best predicted first.
        full_inliers: as fused_score takes it.
    """
    considered = candidates[:1] if mode == "classifier" else candidates
    scored = [
        (
            place,
            score_prediction(
                mode,
                each.confidence,
                num_inliers=each.num_inliers,
                is_verified=each.is_verified,
                full_inliers=full_inliers,
            ),
        )
        for place, each in enumerate(considered)
    ]
    said = [(place, score) for place, score in scored if score is not None]
    return max(said, key=lambda pair: (pair[1], -pair[0]), default=None)


def _check_confidence(confidence: float) -> None:
    if math.isnan(confidence) or not 0.0 <= confidence <= 1.0 + _ROUNDING:
        raise ValueError(f"confidence should be from 0 to 1. Received: {confidence}")
