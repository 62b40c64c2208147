"""Describes an image as a whole by one short unit vector: a feature map pooled, then whitened.

GeM pooling after Radenovic, Tolias and Chum, "Fine-tuning CNN Image Retrieval with No Human Annotation" (TPAMI 2018);
whitening after Jegou and Chum, "Negative evidences and co-occurences in image retrieval" (ECCV 2012), with the small
variances shrunk towards the mean (Ledoit and Wolf, 2004): of a few hundred images the directions of least variance are
noise, and whitening in full makes that noise as loud as everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.pca import Pca, fit_pca, normalise, reduce_descriptors

__all__ = ["average_views", "describe", "fit_whitening", "leave_unwhitened", "pool_gem"]

Floats = NDArray[np.float32]

_FLOOR = 1e-6
"""A power of a negative number is none; as in the authors' code."""


def pool_gem(features: Floats, power: float) -> Floats:
    """Return the generalised mean (sum of x^p / n)^(1/p) over the places of feature maps (B, H, W, C): (B, C).

    power: p, at least 1; 1 is the average, infinity the maximum. Values below 1e-6 count as that much.
    """
    if features.ndim != 4 or 0 in features.shape[1:3]:
        raise ValueError(f"features should be (B, H, W, C) with places. Received: {features.shape}")
    if not power >= 1.0:
        raise ValueError(f"power should be at least 1. Received: {power}")
    held = np.maximum(features, np.float32(_FLOOR))
    largest: Floats = held.max(axis=(1, 2))
    if np.isinf(power):
        return largest
    shares = held / largest[:, None, None]  # no power of a share overflows
    pooled: Floats = largest * np.mean(shares**power, axis=(1, 2)) ** (1.0 / power)
    return pooled.astype(np.float32, copy=False)


def fit_whitening(descriptors: Floats, dimensions: int, *, shrinkage: float) -> Pca:
    """Learn from pooled descriptors (N, C), as ``pool_gem`` gives them, what ``describe`` whitens by.

    dimensions: D kept at most; as many as N and C allow where there are fewer. shrinkage: to each variance so many
    times the mean variance is added; 0 whitens in full. Raises ValueError for fewer than two descriptors.
    """
    if descriptors.ndim != 2 or len(descriptors) < 2:
        raise ValueError(f"descriptors should be (N, C), N at least 2. Received: {descriptors.shape}")
    if dimensions < 1 or not shrinkage >= 0.0:
        raise ValueError(
            f"dimensions should be at least 1 and shrinkage at least 0. Received: {dimensions} and {shrinkage}"
        )
    found = fit_pca(normalise(descriptors), min(dimensions, len(descriptors) - 1, descriptors.shape[1]))
    return replace(found, variances=found.variances + np.float32(shrinkage) * found.variances.mean())


def leave_unwhitened(size: int) -> Pca:
    """Return what ``describe`` leaves descriptors of ``size`` values as they are by, but for their length.

    For a single descriptor, of which nothing can be learned.
    """
    return Pca(np.zeros(size, np.float32), np.eye(size, dtype=np.float32), np.ones(size, np.float32))


def describe(descriptors: Floats, whitening: Pca) -> Floats:
    """Return pooled descriptors (N, C) as unit vectors (N, D), whose dot products are their similarities."""
    return reduce_descriptors(descriptors, whitening, whiten=True)


def average_views(views: Sequence[Floats]) -> Floats:
    """Return the direction of the sum over views (flips, scales), each of them unit vectors (N, D): (N, D) too.

    Raises ValueError where there is no view, or they do not fit.
    """
    if not views or any(each.ndim != 2 or each.shape != views[0].shape for each in views):
        raise ValueError(f"views should be (N, D), at least one. Received: {[each.shape for each in views]}")
    total: Floats = np.sum(np.stack(views), axis=0, dtype=np.float32)
    return normalise(total)
