"""Names landmarks for an image by the images nearest to it, with the evidence for each.

Descriptors are whitened in float64 and rounded to a grid on which their dot products are exact: the same image has the
same neighbours whatever stands beside it in a block, however many threads multiply.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.class_centroids import check_classes, class_centroids
from landmark_spark.core.linear_head import LinearHead
from landmark_spark.core.neighbours import NO_CLASS, find_neighbours, score_classes
from landmark_spark.core.non_landmarks import similarity_to
from landmark_spark.core.pca import Pca, reduce_descriptors

__all__ = ["GRID", "Candidates", "References", "RetrievalPlan", "check_order", "find_candidates", "whiten_exactly"]

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]

GRID = 2.0**-12
"""Products of its multiples are multiples of 2^-24; their sums, below 2 for unit vectors, are exact in float64."""

_NUM_CLOSEST = 3
_WHITENED_AT_ONCE = 16_384  # some times 64 MiB in float64
_QUERIES_AT_ONCE = 256  # times as many float64 as there are landmarks


def whiten_exactly(descriptors: Floats, whitening: Pca) -> Floats:
    """Return descriptors (N, C) as vectors (N, D), multiples of GRID and of unit length but for that rounding."""
    vectors = np.zeros((len(descriptors), len(whitening.components)), np.float32)
    for start in range(0, len(descriptors), _WHITENED_AT_ONCE):
        block: NDArray[Any] = descriptors[start : start + _WHITENED_AT_ONCE].astype(np.float64)
        exact = reduce_descriptors(block, whitening, whiten=True)
        vectors[start : start + len(block)] = np.round(exact / GRID) * GRID
    return vectors


@dataclass(frozen=True)
class RetrievalPlan:
    """num_neighbours: K that vote. power: of a vote. non_landmark_neighbours: averaged. candidates: of each voice."""

    num_neighbours: int = 5
    power: float = 3.0
    non_landmark_neighbours: int = 5
    candidates: int = 2


@dataclass(frozen=True, eq=False)
class References:
    """What images are compared with.

    vectors: (M, D) of training images, as ``whiten_exactly`` gives them, in ascending order of their classes. classes:
    (M,) int64, 0 to C - 1, not each of which need be there. non_landmarks: (L, D), of photos of no landmark. centroids:
    (C, D). head: of D values and C + 1 classes, the last of which is no landmark; None without. is_left_out: (M,), of
    images that the queries must not meet, nor centroids and head have; None where they meet all.
    """

    vectors: Floats
    classes: Integers
    non_landmarks: Floats
    centroids: Floats
    head: LinearHead | None
    is_left_out: NDArray[np.bool_] | None = None

    @classmethod
    def of(
        cls, vectors: Floats, classes: Integers, non_landmarks: Floats, num_classes: int, head: LinearHead | None
    ) -> References:
        """Return references with the centroids that they have. Raises ValueError for what does not fit together."""
        check_order(classes, num_classes)
        found = cls(vectors, classes, non_landmarks, class_centroids(vectors, classes, num_classes), head)
        size = vectors.shape[1]
        if non_landmarks.ndim != 2 or non_landmarks.shape[1] != size:
            raise ValueError(f"non_landmarks should be (L, {size}). Received: {non_landmarks.shape}")
        if head is not None and head.weights.shape != (size, num_classes + 1):
            raise ValueError(f"a head should be ({size}, {num_classes + 1}). Received: {head.weights.shape}")
        return found


def check_order(classes: Integers, num_classes: int) -> None:
    """Raise ValueError where the classes (M,) of references do not ascend, or one is not from 0 to num_classes - 1."""
    if (np.diff(classes) < 0).any():
        raise ValueError("references should be in ascending order of their classes. Received: another order")
    check_classes(classes, num_classes)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Classes named for images, image after image, the best first: arrays (P,).

    images: int64, places of the images. ranks: int64, from 0 in each image. classes: int64. neighbours: float64, the
    vote of the K nearest images for the class, as ``score_classes`` counts it; 0 where none is of it. closest: float64,
    mean similarity to the three images of the class that are nearest. centroid: float64, similarity to the class as a
    whole. head: float64, probability; 0 without a head. non_landmark: float64, of the image, mean similarity to the
    nearest photos of no landmark. reference_non_landmark: float64, the mean of that of the images that ``closest`` is
    about. references: float64, log2(1 + number of images of the class that were compared).
    """

    images: Integers
    ranks: Integers
    classes: Integers
    neighbours: Doubles
    closest: Doubles
    centroid: Doubles
    head: Doubles
    non_landmark: Doubles
    reference_non_landmark: Doubles
    references: Doubles


def find_candidates(queries: Floats, references: References, plan: RetrievalPlan) -> Candidates:
    """Return the classes that the nearest neighbours, the centroids and the head name for each query.

    queries: (N, D), as ``whiten_exactly`` gives them. Each of the three voices names ``plan.candidates`` classes at
    most; the order within an image is that of ``closest``, then of the classes.
    """
    blocks = [
        _of_block(queries[start : start + _QUERIES_AT_ONCE], references, plan, start)
        for start in range(0, len(queries), _QUERIES_AT_ONCE)
    ]
    joined = [np.concatenate(columns) for columns in zip(*blocks, strict=True)] if blocks else _nothing()
    return Candidates(*joined)


def _nothing() -> list[NDArray[Any]]:
    return [*(np.zeros(0, np.int64) for _ in range(3)), *(np.zeros(0) for _ in range(7))]


def _of_block(queries: Floats, references: References, plan: RetrievalPlan, start: int) -> list[NDArray[Any]]:
    num_classes = len(references.centroids)
    to_centroids = _product(queries, references.centroids).astype(np.float32)
    nearest, similarities = find_neighbours(
        queries, references.vectors, plan.num_neighbours, product=_product, left_out=references.is_left_out
    )
    voted, votes = score_classes(
        references.classes[nearest], similarities, power=plan.power, top=max(plan.num_neighbours, plan.candidates)
    )
    voted = np.where(votes > 0.0, voted, NO_CLASS)  # where too few are left, those left out come last, without a vote
    named = [voted[:, : plan.candidates], _largest(to_centroids, plan.candidates)]
    probabilities = np.zeros((len(queries), num_classes), np.float32)
    if references.head is not None:
        probabilities = references.head.probabilities(queries)[:, :num_classes]
        named.append(_largest(probabilities, plan.candidates))
    others = similarity_to(queries, references.non_landmarks, plan.non_landmark_neighbours, product=_product)
    rows: list[list[NDArray[Any]]] = []
    members: list[Integers] = []
    for place, row in enumerate(np.concatenate(named, axis=1)):
        classes = np.unique(row[row != NO_CLASS])
        found = [_closest(queries[place], references, each) for each in classes.tolist()]
        order = np.argsort([-similarity for similarity, _, _ in found], kind="stable")
        closest, images, counts = zip(*(found[each] for each in order), strict=True)
        classes = classes[order]
        members.extend(images)
        vote_of = dict(zip(voted[place].tolist(), votes[place].tolist(), strict=True))
        rows.append(
            [
                np.full(len(classes), start + place),
                np.arange(len(classes)),
                classes,
                np.array([vote_of.get(each, 0.0) for each in classes.tolist()]),
                np.array(closest),
                to_centroids[place, classes].astype(np.float64),
                probabilities[place, classes].astype(np.float64),
                np.full(len(classes), others[place], np.float64),
                np.log2(1.0 + np.array(counts)),
            ]
        )
    *columns, references_column = (np.concatenate(column) for column in zip(*rows, strict=True))
    return [*columns, _similarity_to_none(members, references, plan), references_column]


def _closest(query: Floats, references: References, class_index: int) -> tuple[float, Integers, int]:
    """Return mean similarity and places of the images of a class that are closest to a query; and how many it has.

    Of a class without images the similarity is 0.
    """
    first, end = np.searchsorted(references.classes, [class_index, class_index + 1])
    places: Integers = np.arange(first, end)
    if references.is_left_out is not None:
        places = places[~references.is_left_out[first:end]]
    if not len(places):
        return 0.0, places, 0
    similarities = _product(query[None], references.vectors[places])[0]
    nearest = np.argsort(similarities, kind="stable")[-_NUM_CLOSEST:]
    return float(similarities[nearest].mean()), places[nearest], len(places)


def _similarity_to_none(members: Sequence[Integers], references: References, plan: RetrievalPlan) -> Doubles:
    """Return of each group of references their mean similarity to the nearest photos of no landmark, 0 of an empty one.

    All groups of a block at once: converting the photos takes longer than a product with a few references.
    """
    places = np.unique(np.concatenate(members))
    nearest = plan.non_landmark_neighbours
    similarities = similarity_to(references.vectors[places], references.non_landmarks, nearest, product=_product)
    groups = (similarities[np.searchsorted(places, each)] for each in members)
    return np.array([group.mean(dtype=np.float64) if len(group) else 0.0 for group in groups])


def _largest(values: NDArray[np.floating[Any]], count: int) -> Integers:
    """Return the columns of the ``count`` largest values of each row, of equal ones those further left."""
    order: Integers = np.argsort(-values, axis=1, kind="stable")
    return order[:, :count]


def _product(queries: Floats, references: Floats) -> Doubles:
    product: Doubles = queries.astype(np.float64) @ references.astype(np.float64).T
    return product
