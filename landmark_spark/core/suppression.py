"""Holds back landmarks that are the answer suspiciously often.

A class that very many test images are taken for is mostly one that photos of nothing fall to. In the rounds of 2019
such answers were moved to the end of the ranking (Gu and Li, "Team JL Solution to Google Landmark Recognition 2019");
here they are weighed down.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["hold_back"]

Doubles = NDArray[np.float64]


def hold_back(scores: Doubles, landmark_ids: NDArray[np.int64], max_answers: int) -> Doubles:
    """Return the scores (N,) of the answers of N images, each times max_answers / answers of its landmark, at most 1.

    scores: at least 0. landmark_ids: (N,). max_answers: at least 1. Raises ValueError for anything else.
    """
    if scores.shape != landmark_ids.shape or scores.ndim != 1:
        raise ValueError(
            f"scores and landmark_ids should both be (N,). Received: {scores.shape} and {landmark_ids.shape}"
        )
    if max_answers < 1 or (scores < 0).any():
        raise ValueError(
            f"max_answers should be at least 1, scores at least 0. Received: {max_answers}, {scores.min()}"
        )
    _, places, counts = np.unique(landmark_ids, return_inverse=True, return_counts=True)
    held: Doubles = scores * np.minimum(1.0, max_answers / counts[places])
    return held
