"""Orders references by how similar they are to a query as a whole: the cosine of their bottleneck features.

Cosines are computed exactly, in whole numbers, so that the order is the same on every processor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["order_by_similarity", "round_features"]

_SCALE = 2**20  # the largest sum of products is 2**40 and some rounding: far below 2**63
_LAST = 2**62


def round_features(data: bytes) -> NDArray[np.int64]:
    """Return packed features, (F,) float16 little-endian, as whole numbers (F,) int64 of length 2**20.

    All zeros where the features are; an infinite value or one that is no number counts as 0.
    """
    values = np.nan_to_num(np.frombuffer(data, "<f2").astype(np.float64), posinf=0.0, neginf=0.0)
    length = math.sqrt(math.fsum(values * values))  # products of float16 are exact, and so is fsum
    rounded: NDArray[np.int64] = np.rint(values * (_SCALE / length if length else 0.0)).astype(np.int64)
    return rounded


def order_by_similarity(
    query: NDArray[np.int64] | None, references: Sequence[tuple[str, NDArray[np.int64] | None]]
) -> list[int]:
    """Return the places of references (id, features), the most similar to the query first; of equal ones by id.

    Those whose features are not known, or not as long as the query's, come last.
    """

    def key(place: int) -> tuple[int, str]:
        name, features = references[place]
        is_known = query is not None and features is not None and features.shape == query.shape
        return (-int(query @ features) if is_known else _LAST), name  # type: ignore[operator]

    return sorted(range(len(references)), key=key)
