"""Joins several kinds of evidence for a predicted landmark into one score: a logistic regression, learned.

What it learns from are photos whose landmark is known, and photos of none, each described by models that have not
seen it (``core.cross_validation``); never a test image. The score is the log odds that the prediction is right, so that
those of all images can be ranked together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fusion", "choose_best", "cross_fit", "fit_fusion"]

Doubles = NDArray[np.float64]

_MAX_STEPS = 100
_TOLERANCE = 1e-10
_LEAST_DEVIATION = 1e-9
"""Evidence that varies less says nothing; its weight comes out as 0."""


@dataclass(frozen=True, eq=False)
class Fusion:
    """Log odds = intercept + sum over kinds of weight * (value - mean) / deviation.

    names: (F,), of the kinds of evidence. means, deviations, weights: (F,) float64.
    """

    names: tuple[str, ...]
    means: Doubles
    deviations: Doubles
    weights: Doubles
    intercept: float

    def score(self, evidence: Doubles) -> Doubles:
        """Return the log odds (N,) of predictions by their evidence (N, F), its columns in the order of ``names``."""
        if evidence.ndim != 2 or evidence.shape[1] != len(self.names):
            raise ValueError(f"evidence should be (N, {len(self.names)}). Received: {evidence.shape}")
        odds: Doubles = (evidence - self.means) / self.deviations @ self.weights + self.intercept
        return odds

    def to_json(self) -> dict[str, Any]:
        """Return it as values of a JSON file."""
        kinds = zip(self.names, self.means, self.deviations, self.weights, strict=True)
        described = {name: {"mean": m, "deviation": d, "weight": w} for name, m, d, w in kinds}
        return {"intercept": self.intercept, "evidence": described}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Fusion:
        """Read what ``to_json`` gave. Raises ValueError for anything else."""
        try:
            kinds = values["evidence"]
            columns = [
                np.array([float(each[key]) for each in kinds.values()], np.float64)
                for key in ("mean", "deviation", "weight")
            ]
            means, deviations, weights = columns
            return cls(tuple(kinds), means, deviations, weights, float(values["intercept"]))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"a fusion should have intercept and evidence. Received: {error!r}") from None


def fit_fusion(
    names: Sequence[str],
    evidence: Doubles,
    is_right: NDArray[np.bool_],
    *,
    example_weights: Doubles | None = None,
    penalty: float = 1e-3,
) -> Fusion:
    """Learn the weights: the smallest weighted mean of the logistic loss, plus penalty / 2 * sum of weight^2.

    By Newton's method, so that the same evidence gives the same weights. The evidence is standardised, and the
    intercept is not penalised.

    Args:
        names: (F,) of the columns.
        evidence: (N, F) float64, finite.
        is_right: (N,), whether the prediction is right; some should be and some not.
        example_weights: (N,), above 0: how often each stands for a prediction of the test set; None: once.
        penalty: above 0, which leaves one solution even where the evidence tells all right from all wrong.

    Raises:
        ValueError: the arrays do not fit, a value is not finite, or only one of right and wrong is there.
    """
    weights = np.ones(len(is_right)) if example_weights is None else np.asarray(example_weights, np.float64)
    _check(names, evidence, is_right, weights, penalty)
    weights = weights / weights.sum()
    means = weights @ evidence
    deviations = np.maximum(np.sqrt(weights @ np.square(evidence - means)), _LEAST_DEVIATION)
    columns = np.column_stack([(evidence - means) / deviations, np.ones(len(evidence))])
    found = _newton(columns, is_right.astype(np.float64), weights, penalty)
    return Fusion(tuple(names), means, deviations, found[:-1], float(found[-1]))


def cross_fit(
    names: Sequence[str],
    evidence: Doubles,
    is_right: NDArray[np.bool_],
    folds: NDArray[np.int64],
    *,
    example_weights: Doubles | None = None,
    penalty: float = 1e-3,
) -> Doubles:
    """Return log odds (N,), each by weights that were learned on the other folds; arguments as ``fit_fusion``'s.

    folds: (N,); predictions of one image share theirs. What these odds score on is what the fusion itself may be
    expected to score on images it has not seen.
    """
    odds = np.zeros(len(is_right))
    for fold in np.unique(folds):
        is_held_out = folds == fold
        fusion = fit_fusion(
            names,
            evidence[~is_held_out],
            is_right[~is_held_out],
            example_weights=None if example_weights is None else example_weights[~is_held_out],
            penalty=penalty,
        )
        odds[is_held_out] = fusion.score(evidence[is_held_out])
    return odds


def choose_best(images: NDArray[np.int64], scores: Doubles) -> NDArray[np.int64]:
    """Return the place of the best candidate of each image, images in ascending order; of equal ones the earlier.

    images: (N,), the image of each candidate. scores: (N,).
    """
    order = np.lexsort((np.arange(len(images)), -scores, images))
    _, first = np.unique(images[order], return_index=True)
    best: NDArray[np.int64] = order[first]
    return best


def _newton(columns: Doubles, targets: Doubles, weights: Doubles, penalty: float) -> Doubles:
    """Minimise over (F + 1,): steps are halved until the loss falls, which it does as it is convex."""
    penalties = np.append(np.full(columns.shape[1] - 1, penalty), 0.0)
    found = np.zeros(columns.shape[1])
    loss = _loss(found, columns, targets, weights, penalties)
    for _ in range(_MAX_STEPS):
        shares = 0.5 * (1.0 + np.tanh(columns @ found / 2))  # the logistic function, which does not overflow so
        gradient = columns.T @ (weights * (shares - targets)) + penalties * found
        curvature = (columns.T * (weights * shares * (1.0 - shares))) @ columns + np.diag(penalties)
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        rate = 1.0
        while (lower := _loss(found - rate * step, columns, targets, weights, penalties)) > loss and rate > _TOLERANCE:
            rate /= 2
        if not lower < loss:
            break
        found, loss = found - rate * step, lower
    return found


def _loss(found: Doubles, columns: Doubles, targets: Doubles, weights: Doubles, penalties: Doubles) -> float:
    odds = columns @ found
    return float(weights @ (np.logaddexp(0.0, odds) - targets * odds) + penalties @ np.square(found) / 2)


def _check(
    names: Sequence[str], evidence: Doubles, is_right: NDArray[np.bool_], weights: Doubles, penalty: float
) -> None:
    shape = (len(is_right), len(names))
    if evidence.shape != shape or weights.shape != is_right.shape:
        raise ValueError(
            f"evidence should be {shape}, weights {shape[:1]}. Received: {evidence.shape}, {weights.shape}"
        )
    if not (np.isfinite(evidence).all() and np.isfinite(weights).all() and (weights > 0).all() and penalty > 0):
        raise ValueError("evidence should be finite, weights and penalty above 0. Received: another value")
    if is_right.all() or not is_right.any():
        count = f"{int(is_right.sum())} of {len(is_right)} right"
        raise ValueError(f"predictions should be right and wrong, some of each. Received: {count}")
