"""What identifying a photo gives: candidates with their evidence, and a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from landmark_spark.core.local_features import LocalFeatures

__all__ = ["LIKELY", "UNKNOWN", "VERIFIED", "Answer", "Candidate", "verdict_of"]

VERIFIED, LIKELY, UNKNOWN = "verified", "likely, not verified", "no landmark that I know"
_LIKELY = 0.5  # a probability from which right is more likely than wrong


@dataclass(frozen=True)
class Candidate:
    """A landmark named for a photo.

    score: as in the table scores (learned), or as the submission's mode gives it; None where it says nothing.
    evidence: by kind, as in the table candidates, or the classifier's confidence. num_inliers, num_comparisons,
    num_references, best_reference_id, is_verified: as in the table verifications; None where it was not compared.
    """

    landmark_id: int
    name: str
    score: float | None
    evidence: Mapping[str, float]
    num_inliers: int | None = None
    num_comparisons: int | None = None
    num_references: int | None = None
    best_reference_id: str | None = None
    is_verified: bool | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """What a photo shows: candidates, the best first.

    verdict: verified: more inliers than verify.min_inliers with a reference of the first candidate. likely, not
    verified: fewer, but its score is a learned probability of at least a half. no landmark that I know: else.
    seconds: of the whole and of each step. width, height: of the original, upright, pixels. large_image: the picture
    that was looked at, as JPEG; features: those found in it.
    """

    verdict: str
    candidates: tuple[Candidate, ...]
    width: int
    height: int
    seconds: Mapping[str, float]
    large_image: bytes = field(repr=False)
    features: LocalFeatures = field(repr=False)

    @property
    def is_known(self) -> bool:
        """Whether it shows the first candidate, as far as can be told."""
        return self.verdict != UNKNOWN


def verdict_of(candidates: Sequence[Candidate], *, is_probability: bool) -> str:
    """Return the verdict on candidates. is_probability: whether scores are learned probabilities."""
    best = candidates[0] if candidates else None
    if best is None or best.score is None:
        return UNKNOWN
    if best.is_verified:
        return VERIFIED
    return LIKELY if is_probability and best.score >= _LIKELY else UNKNOWN
