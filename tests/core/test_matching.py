"""Mutual nearest neighbours: a case by hand, SciPy's k-d tree, ties, limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from landmark_spark.core.matching import match_mutual


def _unit(shape: tuple[int, int], seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _angles(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_only_pairs_that_choose_each_other_are_matched():
    # 0 and 10 degrees both choose 8; 8 chooses 10. 90 and 100 choose each other. Nobody chooses 200.
    pairs = match_mutual(_angles(0, 10, 90), _angles(100, 8, 200), max_distance=2.0)
    assert pairs.tolist() == [[1, 1], [2, 0]]
    assert pairs.dtype == np.int32


def test_pairs_beyond_the_distance_are_left_out():
    # The L2 distance of unit vectors at an angle a is 2 sin(a / 2): 1.0 at 60 degrees.
    for max_distance, num_pairs in [(0.999, 0), (1.001, 1)]:
        assert len(match_mutual(_angles(0), _angles(60), max_distance=max_distance)) == num_pairs


@pytest.mark.parametrize(("num_queries", "num_references", "size"), [(300, 200, 128), (57, 411, 40), (1, 30, 8)])
@pytest.mark.parametrize("max_distance", [1.2, 2.0])
def test_matches_are_those_of_a_k_d_tree(num_queries, num_references, size, max_distance):
    queries, references = _unit((num_queries, size), seed=1), _unit((num_references, size), seed=2)
    distances, forward = cKDTree(references).query(queries)
    _, backward = cKDTree(queries).query(references)
    expected = [
        [query, reference]
        for query, (reference, distance) in enumerate(zip(forward, distances, strict=True))
        if backward[reference] == query and distance <= max_distance
    ]
    assert expected
    assert match_mutual(queries, references, max_distance=max_distance).tolist() == expected


def test_float16_descriptors_are_compared_in_float32():
    queries = _unit((50, 128), seed=3)
    order = np.random.default_rng(4).permutation(50)
    pairs = match_mutual(queries.astype(np.float16), queries[order].astype(np.float16), max_distance=0.1)
    assert pairs[:, 0].tolist() == list(range(50))
    assert order[pairs[:, 1]].tolist() == list(range(50))


def test_of_equal_descriptors_the_lowest_index_is_matched():
    # A plain matrix product breaks such ties by its rounding in some sizes: measured in about one of six.
    draw = np.random.default_rng(5)
    for _ in range(60):
        num_queries, num_references = draw.integers(20, 400, 2)
        queries, references = _unit((num_queries, 40), seed=6), _unit((num_references, 40), seed=7)
        in_queries = np.sort(draw.choice(num_queries, 4, replace=False))
        in_references = np.sort(draw.choice(num_references, 4, replace=False))
        queries[in_queries] = references[in_references] = queries[0]
        first_query = 0  # queries[0] itself is one of the equal ones
        pairs = match_mutual(queries, references, max_distance=0.01).tolist()
        assert pairs == [[first_query, in_references[0]]]


@pytest.mark.parametrize("shapes", [((0, 128), (5, 128)), ((5, 128), (0, 128)), ((0, 0), (0, 128)), ((5, 128), (0, 0))])
def test_nothing_to_match_gives_no_pairs(shapes):
    pairs = match_mutual(np.ones(shapes[0], np.float16), np.ones(shapes[1], np.float16), max_distance=0.8)
    assert pairs.shape == (0, 2)
    assert pairs.dtype == np.int32


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"references should be \(M, 8\) as queries are\. Received: \(3, 9\)"):
        match_mutual(_unit((2, 8), 0), _unit((3, 9), 0), max_distance=0.8)
    with pytest.raises(ValueError, match=r"should be \(N, D\)"):
        match_mutual(np.ones(8, np.float32), _unit((3, 8), 0), max_distance=0.8)
    for max_distance in (-0.1, 2.1, float("nan")):
        with pytest.raises(ValueError, match="max_distance should be from 0 to 2"):
            match_mutual(_unit((2, 8), 0), _unit((3, 8), 0), max_distance=max_distance)
