"""The simplest classifier of global descriptors: one linear layer and a softmax, no landmark being a class too.

A multinomial logistic regression, solved rather than trained: the loss is convex, so there is one answer, without
epochs, seed or learning rate. For some ten thousand photos; beyond that the top model's training loop does the same.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.array_files import ArrayFileError, read_arrays

__all__ = ["LinearHead", "balanced_weights", "fit_linear_head"]

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

_MAX_ITERATIONS = 200


@dataclass(frozen=True, eq=False)
class LinearHead:
    """weights: (D, C) float32. biases: (C,) float32."""

    weights: Floats
    biases: Floats

    def probabilities(self, descriptors: Floats) -> Floats:
        """Return the softmax (N, C) float32 of descriptors (N, D)."""
        if descriptors.ndim != 2 or descriptors.shape[1] != len(self.weights):
            raise ValueError(f"descriptors should be (N, {len(self.weights)}). Received: {descriptors.shape}")
        return _softmax(descriptors.astype(np.float64) @ self.weights + self.biases).astype(np.float32)

    def to_bytes(self) -> bytes:
        """Return it as an .npz file."""
        with io.BytesIO() as file:
            np.savez(file, weights=self.weights, biases=self.biases)
            return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> LinearHead:
        """Read what ``to_bytes`` gave. Raises ValueError for anything else."""
        try:
            arrays = read_arrays(data)
            found = cls(arrays["weights"], arrays["biases"])
        except (KeyError, ArrayFileError) as error:
            raise ValueError(f"a head should be an .npz file of weights and biases. Received: {error}") from None
        if found.weights.ndim != 2 or found.biases.shape != found.weights.shape[1:]:
            raise ValueError(f"a head should fit itself. Received: {found.weights.shape} and {found.biases.shape}")
        for each in (found.weights, found.biases):
            if each.dtype != np.float32 or not np.isfinite(each).all():
                raise ValueError(f"a head should be of finite float32 numbers. Received: {each.dtype}")
        return found


def balanced_weights(
    labels: NDArray[np.int64], *, power: float, non_landmark: int, non_landmark_weight: float
) -> Doubles:
    """Return the weight of each example (N,): its class's size to the power ``-power``.

    power: 0 counts photos alike, 1 classes. non_landmark: the class of no landmark, each photo of which counts
    ``non_landmark_weight``, however many there are.
    """
    sizes = np.bincount(labels)
    weights: Doubles = sizes[labels].astype(np.float64) ** -power
    weights[labels == non_landmark] = non_landmark_weight
    return weights


def fit_linear_head(
    descriptors: Floats, labels: NDArray[np.int64], num_classes: int, *, example_weights: Doubles, penalty: float
) -> LinearHead:
    """Minimise the weighted mean cross-entropy plus penalty / 2 * the sum of squared weights (biases are free).

    Args:
        descriptors: (N, D).
        labels: (N,), from 0 to num_classes - 1.
        num_classes: C.
        example_weights: (N,), above 0.
        penalty: above 0.

    Raises:
        ValueError: the arrays do not fit, or a number is out of range.
    """
    from scipy.optimize import minimize

    _check(descriptors, labels, num_classes, example_weights, penalty)
    shape = (descriptors.shape[1] + 1, num_classes)
    columns = np.column_stack([descriptors, np.ones(len(descriptors))]).astype(np.float64)
    shares = example_weights / example_weights.sum()

    def measure(flat: Doubles) -> tuple[float, Doubles]:
        matrix = flat.reshape(shape)
        probabilities = _softmax(columns @ matrix)
        of_labels = probabilities[np.arange(len(labels)), labels]
        loss = -shares @ np.log(np.maximum(of_labels, 1e-300)) + penalty / 2 * np.square(matrix[:-1]).sum()
        probabilities[np.arange(len(labels)), labels] -= 1.0
        gradient = columns.T @ (probabilities * shares[:, None])
        gradient[:-1] += penalty * matrix[:-1]
        return float(loss), gradient.ravel()

    found = minimize(
        measure, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _MAX_ITERATIONS}
    )
    matrix = found.x.reshape(shape).astype(np.float32)
    return LinearHead(matrix[:-1], matrix[-1])


def _softmax(odds: NDArray[np.floating]) -> Doubles:  # type: ignore[type-arg]
    powers = np.exp(odds - odds.max(axis=1, keepdims=True))
    shares: Doubles = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _check(
    descriptors: Floats, labels: NDArray[np.int64], num_classes: int, example_weights: Doubles, penalty: float
) -> None:
    size = (len(descriptors),)
    if descriptors.ndim != 2 or labels.shape != size or example_weights.shape != size or not len(labels):
        raise ValueError(
            "descriptors should be (N, D), labels and example_weights (N,), N at least 1. "
            f"Received: {descriptors.shape}, {labels.shape} and {example_weights.shape}"
        )
    if not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(f"labels should be from 0 to {num_classes - 1}. Received: {labels.min()} to {labels.max()}")
    if not (penalty > 0.0 and (example_weights > 0.0).all()):
        raise ValueError("penalty and example_weights should be above 0. Received: another value")
