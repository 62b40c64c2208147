"""Measures what each technique brings: one after the other, on the same test images, with intervals.

A technique here is a kind of evidence more. Each step weighs the evidence that it has by weights learned on the images
that play test images, so nothing is tuned on the answers that it is measured by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.bootstrap import Interval, gain_interval, gap_interval
from landmark_spark.core.evidence_fusion import choose_best
from landmark_spark.core.learned_fusion import Examples, columns_of, learn_fusion
from landmark_spark.core.metrics import Prediction, Solution, top1_accuracy

__all__ = ["TECHNIQUES", "Rung", "Step", "TestCandidates", "climb", "learned_steps"]

TECHNIQUES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("nearest neighbours", ("neighbours",)),
    ("non-landmark suppression", ("non_landmark",)),
    ("non-landmark suppression of references", ("reference_non_landmark",)),
    ("closest images", ("closest",)),
    ("class centroids", ("centroid",)),
    ("linear head", ("head",)),
    ("number of references", ("references",)),
    ("geometric verification", ("inliers",)),
)
"""What is added, step by step: its name, and the kinds of evidence that come with it."""


@dataclass(frozen=True, eq=False)
class TestCandidates:
    """Candidates of test images, (P,): ids of the images, landmark_ids int64, and each kind of evidence float64."""

    __test__ = False  # pytest takes it for tests

    ids: Sequence[str]
    landmark_ids: NDArray[np.int64]
    evidence: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Step:
    """A way to answer: its predictions, and the GAP of images that play test images, None where it has none."""

    name: str
    predictions: Sequence[Prediction]
    cross_validated: float | None = None


@dataclass(frozen=True)
class Rung:
    """What a step is worth on the test images; gain: over the step before it, None for the first."""

    name: str
    gap: Interval
    gain: Interval | None
    top1: float
    cross_validated: float | None


def learned_steps(
    examples: Examples,
    tests: TestCandidates,
    *,
    penalty: float,
    non_landmark_share: float,
    techniques: Sequence[tuple[str, tuple[str, ...]]] = TECHNIQUES,
) -> list[Step]:
    """Return a step for each technique, with all evidence up to it; one whose evidence says nothing is left out.

    Raises ValueError as ``learn_fusion`` does.
    """
    images = np.unique(np.array(tests.ids, dtype=str), return_inverse=True)[1].astype(np.int64)
    steps: list[Step] = []
    names: list[str] = []
    for technique, added in techniques:
        present = [name for name in added if len(examples.images) and np.ptp(examples.evidence[name])]
        if not present:
            continue
        names += present
        learned = learn_fusion(names, examples, penalty=penalty, non_landmark_share=non_landmark_share)
        scores = learned.fusion.score(columns_of(names, tests.evidence)) if len(images) else np.zeros(0)
        best = choose_best(images, scores)
        predictions = [
            Prediction(str(tests.ids[place]), int(tests.landmark_ids[place]), float(scores[place])) for place in best
        ]
        steps.append(Step(f"+ {technique}" if steps else technique, predictions, learned.gap))
    return steps


def climb(steps: Sequence[Step], solution: Solution, *, num_samples: int = 2000, seed: int = 0) -> list[Rung]:
    """Return what each step is worth, with 95 % intervals over draws of the test images."""
    rungs = []
    for place, step in enumerate(steps):
        before = steps[place - 1].predictions if place else None
        gain = None
        if before is not None:
            gain = gain_interval(before, step.predictions, solution, num_samples=num_samples, seed=seed)
        rungs.append(
            Rung(
                step.name,
                gap_interval(step.predictions, solution, num_samples=num_samples, seed=seed),
                gain,
                top1_accuracy(step.predictions, solution),
                step.cross_validated,
            )
        )
    return rungs
