"""Matches descriptors of two images: mutual nearest neighbours."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["match_mutual"]


def match_mutual(
    queries: NDArray[np.floating[Any]], references: NDArray[np.floating[Any]], *, max_distance: float
) -> NDArray[np.int32]:
    """Pair each query with a reference where each is the other's nearest neighbour.

    Args:
        queries: (N, D) floating point, finite, of unit L2 length.
        references: (M, D) likewise. Either may be empty, whatever its D then.
        max_distance: pairs further apart than this L2 distance, from 0 to 2, are left out.

    Returns:
        (K, 2) int32: query index, reference index; ordered by query. Among equally near ones the lowest index counts.

    Raises:
        ValueError: the arrays do not fit each other, or max_distance is out of range.
    """
    if not 0.0 <= max_distance <= 2.0:
        raise ValueError(f"max_distance should be from 0 to 2. Received: {max_distance}")
    if queries.ndim != 2 or references.ndim != 2:
        raise ValueError(f"queries and references should be (N, D). Received: {queries.shape}, {references.shape}")
    if not queries.size or not references.size:
        return np.zeros((0, 2), np.int32)
    if queries.shape[1] != references.shape[1]:
        raise ValueError(f"references should be (M, {queries.shape[1]}) as queries are. Received: {references.shape}")
    similarity = queries.astype(np.float32) @ references.astype(np.float32).T  # (N, M)
    nearest_reference = _first_equals(references)[similarity.argmax(axis=1)]
    nearest_query = _first_equals(queries)[similarity.argmax(axis=0)]
    query_indices = np.flatnonzero(nearest_query[nearest_reference] == np.arange(len(queries)))
    reference_indices = nearest_reference[query_indices]
    squared_distance = 2.0 - 2.0 * similarity[query_indices, reference_indices]  # of unit vectors
    is_near = squared_distance <= max_distance**2
    pairs = np.stack([query_indices[is_near], reference_indices[is_near]], axis=1)
    return cast(NDArray[np.int32], pairs.astype(np.int32))


def _first_equals(descriptors: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
    """Return (N,) the index of the first descriptor equal to each.

    A matrix product may round the same sum differently in different places (its blocks take different paths), so
    that its maximum alone does not give the first of equal descriptors.
    """
    rows = np.ascontiguousarray(descriptors).view(f"V{descriptors.shape[1] * descriptors.itemsize}").ravel().tolist()
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(row, index) for index, row in enumerate(rows)], dtype=np.intp)
