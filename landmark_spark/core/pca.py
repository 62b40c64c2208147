"""Principal components of descriptors: learned on some, by which others become shorter and are compared."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.array_files import ArrayFileError, read_arrays

__all__ = ["Pca", "fit_pca", "normalise", "reduce_descriptors"]

Floats = NDArray[np.float32]

_SMALLEST = 1e-12
"""Shorter rows, and smaller shares of the largest variance, count as this much."""


@dataclass(frozen=True, eq=False)
class Pca:
    """Principal components, that of the largest variance first.

    mean: (C,) float32. components: (D, C) float32, orthonormal rows. variances: (D,) float32, along each.
    """

    mean: Floats
    components: Floats
    variances: Floats

    def to_bytes(self) -> bytes:
        """Return it as an .npz file; the same values are the same bytes."""
        with io.BytesIO() as file:
            np.savez(file, mean=self.mean, components=self.components, variances=self.variances)
            return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Pca:
        """Read what ``to_bytes`` gave. Raises ValueError for anything else."""
        try:
            arrays = read_arrays(data)
            found = cls(arrays["mean"], arrays["components"], arrays["variances"])
        except (KeyError, ArrayFileError) as error:
            raise ValueError(
                f"a PCA should be an .npz file of mean, components and variances. Received: {error}"
            ) from None
        shapes = tuple(each.shape for each in arrays.values())
        if found.mean.ndim != 1 or found.variances.ndim != 1:
            raise ValueError(f"mean and variances should be rows of numbers. Received: shapes {shapes}")
        size = (len(found.variances), len(found.mean))
        if found.components.shape != size:
            raise ValueError(f"components should be {size}. Received: {found.components.shape}")
        for each in (found.mean, found.components, found.variances):
            if each.dtype != np.float32 or not np.isfinite(each).all():
                raise ValueError(f"a PCA should be of finite float32 numbers. Received: {each.dtype}")
        return found


def fit_pca(descriptors: NDArray[np.floating[Any]], dimensions: int) -> Pca:
    """Return the ``dimensions`` principal components of descriptors (N, C), N at least 2; variances divide by N - 1.

    By the eigenvectors of the covariance, in float64; of each the entry of largest magnitude is made positive, so that
    the same descriptors give the same components. Raises ValueError for fewer descriptors or values than that.
    """
    if descriptors.ndim != 2 or not 1 <= dimensions <= descriptors.shape[1]:
        raise ValueError(f"descriptors should be (N, C), C at least {dimensions}. Received: {descriptors.shape}")
    if len(descriptors) <= dimensions:
        raise ValueError(f"there should be more than {dimensions} descriptors. Received: {len(descriptors)}")
    mean = descriptors.mean(axis=0, dtype=np.float64)
    centred = descriptors - mean
    variances, vectors = np.linalg.eigh(centred.T @ centred / (len(descriptors) - 1))  # ascending
    components = vectors.T[::-1][:dimensions]
    largest = np.abs(components).argmax(axis=1)
    components = components * np.sign(components[np.arange(dimensions), largest])[:, None]
    kept = np.maximum(variances[::-1][:dimensions], 0.0)
    return Pca(mean.astype(np.float32), components.astype(np.float32), kept.astype(np.float32))


def reduce_descriptors(descriptors: Floats, pca: Pca, *, whiten: bool) -> Floats:
    """Normalise (N, C) descriptors, project them, and normalise again: (N, D). A row of zeros stays finite.

    whiten: divide each component by its standard deviation in between (Jegou and Chum, "Negative evidences and
    co-occurences in image retrieval", ECCV 2012), so that a few directions that all descriptors share decide less.
    """
    if descriptors.ndim != 2 or descriptors.shape[1] != len(pca.mean):
        raise ValueError(f"descriptors should be (N, {len(pca.mean)}). Received: {descriptors.shape}")
    projected = (normalise(descriptors) - pca.mean) @ pca.components.T
    if whiten:
        projected = projected / np.sqrt(np.maximum(pca.variances, _SMALLEST * max(float(pca.variances[0]), _SMALLEST)))
    return normalise(projected)


def normalise(rows: Floats) -> Floats:
    """Return rows (N, D) of unit L2 length; one of zeros stays one."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = rows / np.maximum(lengths, np.float32(_SMALLEST))
    return unit
