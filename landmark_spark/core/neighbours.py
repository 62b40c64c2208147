"""Finds the nearest references of many queries, exactly, and which classes they speak for.

Similarities are dot products of unit vectors, block by block: a block of queries times a block of references is held,
and of each query the best so far. For more references than that is worth there are approximate indices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NO_CLASS", "Product", "find_neighbours", "score_classes"]

Floats = NDArray[np.float32]
Product = Callable[[Floats, Floats], Any]
"""(N, D) and (M, D) -> (N, M): ``queries @ references.T``, on whatever device."""

NO_CLASS = -1


def find_neighbours(
    queries: Floats,
    references: Floats,
    k: int,
    *,
    block: tuple[int, int] = (1024, 65_536),
    product: Product | None = None,
    left_out: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int64], Floats]:
    """Return the k most similar references of each query, the most similar first; of equal ones the earlier.

    Args:
        queries: (N, D) float32.
        references: (M, D) float32.
        k: neighbours wanted; M where there are fewer.
        block: queries and references in one product: 256 MiB of similarities.
        product: what multiplies; NumPy where it is None.
        left_out: (M,), references that are no neighbours of any query; None: all may be. Of K neighbours at least must
            be left.

    Returns:
        (N, K) int64, their places in references, and (N, K) float32, their similarities; K the smaller of k and M.
    """
    if queries.ndim != 2 or references.ndim != 2 or queries.shape[1] != references.shape[1]:
        raise ValueError(
            f"queries and references should be (N, D) and (M, D). Received: {queries.shape} and {references.shape}"
        )
    if k < 1 or min(block) < 1:
        raise ValueError(f"k and block should be at least 1. Received: {k} and {block}")
    multiply = _multiply if product is None else product
    found = [
        _search(queries[start : start + block[0]], references, k, block[1], multiply, left_out)
        for start in range(0, len(queries), block[0])
    ]
    if not found:
        width = min(k, len(references))
        return np.zeros((0, width), np.int64), np.zeros((0, width), np.float32)
    return np.concatenate([places for places, _ in found]), np.concatenate([values for _, values in found])


def score_classes(
    classes: NDArray[np.int64], similarities: Floats, *, power: float, top: int
) -> tuple[NDArray[np.int64], Floats]:
    """Return the ``top`` best classes of each query, by the sum over its neighbours of similarity^power.

    A similarity below 0 counts as 0. Scores are brought back to the scale of a similarity by the power 1 / power, so
    that one neighbour alone gives its own similarity.

    Args:
        classes: (N, K) int64, at least 0, of the neighbours.
        similarities: (N, K), of the neighbours.
        power: above 0; the higher, the more the nearest ones decide.
        top: classes wanted.

    Returns:
        (N, top) int64, the best first, of equal ones the lowest; NO_CLASS where there are no more. (N, top) float32,
        their scores; 0 where there are no more.
    """
    if classes.ndim != 2 or classes.shape != similarities.shape:
        raise ValueError(
            f"classes and similarities should both be (N, K). Received: {classes.shape} and {similarities.shape}"
        )
    if not power > 0.0 or top < 1:
        raise ValueError(f"power should be above 0 and top at least 1. Received: {power} and {top}")
    best = np.full((len(classes), top), NO_CLASS, np.int64)
    scores = np.zeros((len(classes), top), np.float32)
    votes = np.maximum(similarities.astype(np.float64), 0.0) ** power
    for query in range(len(classes)):
        names, members = np.unique(classes[query], return_inverse=True)
        sums = np.bincount(members, weights=votes[query], minlength=len(names))
        order = np.argsort(-sums, kind="stable")[:top]
        best[query, : len(order)] = names[order]
        scores[query, : len(order)] = sums[order] ** (1.0 / power)
    return best, scores


def _multiply(queries: Floats, references: Floats) -> Floats:
    product: Floats = queries @ references.T
    return product


def _search(
    queries: Floats, references: Floats, k: int, block: int, multiply: Product, left_out: NDArray[np.bool_] | None
) -> tuple[NDArray[np.int64], Floats]:
    places = np.zeros((len(queries), 0), np.int64)
    values = np.zeros((len(queries), 0), np.float32)
    for start in range(0, len(references), block):
        similarity = np.asarray(multiply(queries, references[start : start + block]), np.float32)
        if left_out is not None:
            similarity[:, left_out[start : start + block]] = -np.inf
        near = _largest(similarity, k)
        values = np.concatenate([values, np.take_along_axis(similarity, near, axis=1)], axis=1)
        places = np.concatenate([places, near + start], axis=1)
        kept = _largest(values, k)  # earlier places stand further left, and stay there
        places, values = np.take_along_axis(places, kept, axis=1), np.take_along_axis(values, kept, axis=1)
    return places, values


def _largest(values: Floats, k: int) -> NDArray[np.int64]:
    """Return the columns of the k largest values of each row, the largest first; of equal ones those further left."""
    width = values.shape[1]
    if k >= width:
        return np.argsort(-values, axis=1, kind="stable")
    least = np.partition(values, width - k, axis=1)[:, width - k]
    found = np.empty((len(values), k), np.int64)
    for row, limit in enumerate(least):
        above = np.flatnonzero(values[row] > limit)
        equal = np.flatnonzero(values[row] == limit)[: k - len(above)]
        chosen = np.sort(np.concatenate([above, equal]))
        found[row] = chosen[np.argsort(-values[row, chosen], kind="stable")]
    return found
