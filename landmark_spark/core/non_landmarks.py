"""Holds back what looks like a photo of no landmark: by its similarity to photos that are known to show none.

After the winners of the later rounds of the Google Landmark Recognition challenge (2020: "Supporting large-scale image
recognition with out-of-domain samples"): a prediction is worth its similarity to the landmark's photos less what these
and the photo itself have in common with the nearest photos of no landmark. A photo that looks like many others, a wall,
a crowd, is near to all of them. How much less is learned (``core.evidence_fusion``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.neighbours import Product, find_neighbours

__all__ = ["similarity_to"]

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
