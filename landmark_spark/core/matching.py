"""Matches descriptors of two images: mutual nearest neighbours.

Similarities are computed exactly, so that the matches do not depend on the processor, its threads or the order in which
a matrix product adds: descriptors are rounded to whole numbers, few enough that float32 holds every sum of products.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SCALE", "match_mutual", "match_rounded", "round_descriptors"]

SCALE = 4000
"""Length of a unit descriptor once it is rounded.

By Cauchy and Schwarz no sum of |products| exceeds the product of the lengths, and that of two rounded descriptors of
up to 1,024 values is at most (4000 * 1.001 + 0.5 * sqrt(1024))**2 = 4020**2, below the 2**24 up to which float32 holds
every whole number. Rounding moves a similarity by about 0.0001, no more than float16 does.
"""
_MAX_SIZE = 1024
_MAX_LENGTH = 1.001
_TOLERANCE = 1e-6


def match_mutual(
    queries: NDArray[np.floating[Any]], references: NDArray[np.floating[Any]], *, max_distance: float
) -> NDArray[np.int32]:
    """Pair each query with a reference where each is the other's nearest neighbour.

    Args:
        queries: (N, D) floating point, finite, of unit L2 length, D at most 1,024.
        references: (M, D) likewise. Either may be empty, whatever its D then.
        max_distance: pairs further apart than this L2 distance, from 0 to 2, are left out.

    Returns:
        (K, 2) int32: query index, reference index; ordered by query. Among equally near ones the lowest index counts.

    Raises:
        ValueError: the arrays do not fit each other, or max_distance is out of range.
    """
    if queries.ndim != 2 or references.ndim != 2:
        raise ValueError(f"queries and references should be (N, D). Received: {queries.shape}, {references.shape}")
    empty = np.zeros((0, 0), np.float32)
    is_empty = not queries.size or not references.size
    rounded = (empty, empty) if is_empty else (round_descriptors(queries), round_descriptors(references))
    return match_rounded(*rounded, max_distance=max_distance)


def round_descriptors(descriptors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return unit descriptors (N, D) times SCALE, rounded to whole numbers, which is what match_rounded takes.

    Raises:
        ValueError: they are not (N, D) with D up to 1,024, or one is longer than a unit by more than rounding.
    """
    if descriptors.ndim != 2 or descriptors.shape[1] > _MAX_SIZE:
        raise ValueError(f"descriptors should be (N, D), D at most {_MAX_SIZE}. Received: {descriptors.shape}")
    values = descriptors.astype(np.float32)
    squared = np.einsum("nd,nd->n", values, values)
    if not (squared <= (_MAX_LENGTH + _TOLERANCE) ** 2).all():
        raise ValueError(f"descriptors should be of unit length. Received: length {np.sqrt(squared.max()):.4f}")
    values *= SCALE
    return np.rint(values, out=values)


def match_rounded(
    queries: NDArray[np.float32], references: NDArray[np.float32], *, max_distance: float
) -> NDArray[np.int32]:
    """Match as match_mutual does what round_descriptors gave: for images that are compared many times."""
    if not 0.0 <= max_distance <= 2.0:
        raise ValueError(f"max_distance should be from 0 to 2. Received: {max_distance}")
    if not queries.size or not references.size:
        return np.zeros((0, 2), np.int32)
    if queries.shape[1] != references.shape[1]:
        raise ValueError(f"references should be (M, {queries.shape[1]}) as queries are. Received: {references.shape}")
    similarity = queries @ references.T  # (N, M), whole numbers
    nearest = similarity.argmax(axis=1)
    chosen = similarity[np.arange(len(queries)), nearest]
    mutual = np.flatnonzero(chosen == similarity.max(axis=0)[nearest])
    _, first = np.unique(nearest[mutual], return_index=True)  # of queries equally near to a reference
    mutual = mutual[np.sort(first)]
    pairs = np.stack([mutual, nearest[mutual]], axis=1).astype(np.int32)
    differences = queries[pairs[:, 0]] - references[pairs[:, 1]]
    is_near = np.einsum("kd,kd->k", differences, differences) <= (max_distance * SCALE) ** 2
    near: NDArray[np.int32] = pairs[is_near]
    return near
