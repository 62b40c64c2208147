"""Describes a class by one vector: the direction of the mean of its photos' descriptors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.pca import normalise

__all__ = ["check_classes", "class_centroids", "class_sums"]

Floats = NDArray[np.float32]


def class_centroids(descriptors: Floats, class_indices: NDArray[np.int64], num_classes: int) -> Floats:
    """Return unit vectors (C, D), whose dot product with a descriptor is its similarity to the class as a whole.

    A class without photos has zeros, which are similar to nothing.

    Args:
        descriptors: (N, D) unit vectors.
        class_indices: (N,), from 0 to num_classes - 1.
        num_classes: C.
    """
    if descriptors.ndim != 2 or class_indices.shape != descriptors.shape[:1]:
        raise ValueError(
            "descriptors should be (N, D) and class_indices (N,). "
            f"Received: {descriptors.shape} and {class_indices.shape}"
        )
    check_classes(class_indices, num_classes)
    order = np.argsort(class_indices, kind="stable")
    return normalise(class_sums(descriptors[order], class_indices[order], num_classes).astype(np.float32))


def check_classes(class_indices: NDArray[np.int64], num_classes: int) -> None:
    """Raise ValueError where one of (N,) is not from 0 to num_classes - 1."""
    if len(class_indices) and not 0 <= class_indices.min() <= class_indices.max() < num_classes:
        raise ValueError(
            f"class_indices should be from 0 to {num_classes - 1}. "
            f"Received: {class_indices.min()} to {class_indices.max()}"
        )


def class_sums(descriptors: Floats, class_indices: NDArray[np.int64], num_classes: int) -> NDArray[np.float64]:
    """Return the sums (C, D) float64 of the descriptors (N, D) of each class; they are in the order of the classes."""
    sums = np.zeros((num_classes, descriptors.shape[1]), np.float64)
    present, starts = np.unique(class_indices, return_index=True)
    if len(present):
        sums[present] = np.add.reduceat(descriptors, starts, axis=0, dtype=np.float64)
    return sums
