"""Holds back what looks like a photo of no landmark: by its similarity to photos that are known to show none.

After the winners of the later rounds of the Google Landmark Recognition challenge (2020: "Supporting large-scale image
recognition with out-of-domain samples"): a prediction is worth its similarity to the landmark's photos less that to the
nearest photos of no landmark. A photo that looks like many others, a wall, a crowd, is near to both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.neighbours import Product, find_neighbours

__all__ = ["penalise", "similarity_to"]

Floats = NDArray[np.float32]


def similarity_to(descriptors: Floats, non_landmarks: Floats, k: int, *, product: Product | None = None) -> Floats:
    """Return the mean similarity of each descriptor to the k non-landmark photos nearest to it: (N,) float32.

    descriptors: (N, D) unit vectors. non_landmarks: (M, D) likewise; of fewer than k all count, and of none comes 0.
    """
    _, similarities = find_neighbours(descriptors, non_landmarks, k, product=product)
    if not similarities.shape[1]:
        return np.zeros(len(descriptors), np.float32)
    mean: Floats = similarities.mean(axis=1, dtype=np.float32)
    return mean


def penalise(
    similarities: Floats,
    of_queries: Floats,
    of_references: Floats,
    *,
    query_weight: float,
    reference_weight: float,
) -> Floats:
    """Return similarities (N, K) of queries to references, less weight times what ``similarity_to`` says of each.

    of_queries: (N,), of the query. of_references: (N, K), of each reference. Weights are at least 0.
    """
    if similarities.shape != of_references.shape or of_queries.shape != similarities.shape[:1]:
        raise ValueError(
            "similarities and of_references should both be (N, K), of_queries (N,). "
            f"Received: {similarities.shape}, {of_references.shape} and {of_queries.shape}"
        )
    if not (query_weight >= 0.0 and reference_weight >= 0.0):
        raise ValueError(f"weights should be at least 0. Received: {query_weight} and {reference_weight}")
    held: Floats = similarities - query_weight * of_queries[:, None] - reference_weight * of_references
    return held.astype(np.float32)
