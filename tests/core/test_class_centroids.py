"""Class centroids by hand."""

from __future__ import annotations

import numpy as np
import pytest

from landmark_spark.core.class_centroids import class_centroids


def test_a_centroid_is_the_direction_of_the_mean():
    descriptors = np.array([[1, 0], [0, 1], [0, 1], [0.6, -0.8]], "f4")
    found = class_centroids(descriptors, np.array([0, 0, 0, 2]), 3)
    np.testing.assert_allclose(found, [np.array([1, 2]) / np.sqrt(5), [0, 0], [0.6, -0.8]], rtol=1e-6)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"Received: \(2, 3\) and \(1,\)"):
        class_centroids(np.ones((2, 3), "f4"), np.array([0]), 1)
    with pytest.raises(ValueError, match="from 0 to 1. Received: 0 to 2"):
        class_centroids(np.ones((2, 3), "f4"), np.array([0, 2]), 2)
