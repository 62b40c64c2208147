"""Exact neighbours and class scores: by hand, against a full sort, over block borders, ties."""

from __future__ import annotations

import numpy as np
import pytest

from landmark_spark.core.neighbours import NO_CLASS, find_neighbours, score_classes

REFERENCES = np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]], np.float32)


def test_the_most_similar_come_first():
    places, similarities = find_neighbours(np.array([[1, 0], [0, 1]], np.float32), REFERENCES, 2)
    assert places.tolist() == [[0, 1], [2, 1]]
    np.testing.assert_allclose(similarities, [[1, 0.6], [1, 0.8]], rtol=1e-6)


@pytest.mark.parametrize("block", [(1, 1), (2, 3), (3, 2), (100, 100)])
def test_equal_ones_come_in_their_order_wherever_a_block_ends(block):
    references = np.array([[0.5], [1], [0.5], [1], [0.5], [1], [0.5]], np.float32)
    places, similarities = find_neighbours(np.ones((3, 1), np.float32), references, 5, block=block)
    assert places.tolist() == [[1, 3, 5, 0, 2]] * 3
    assert similarities.tolist() == [[1, 1, 1, 0.5, 0.5]] * 3


@pytest.mark.parametrize("k", [1, 7, 49, 50, 80])
def test_they_are_those_of_a_full_sort(k):
    random = np.random.default_rng(0)
    queries, references = random.normal(size=(11, 8)).astype("f4"), random.normal(size=(50, 8)).astype("f4")
    places, similarities = find_neighbours(queries, references, k, block=(4, 9))
    expected = np.argsort(-(queries @ references.T), axis=1, kind="stable")[:, :k]
    assert places.tolist() == expected.tolist()
    np.testing.assert_allclose(
        similarities, np.take_along_axis(queries @ references.T, expected, axis=1), rtol=1e-5, atol=1e-6
    )


def test_another_device_may_multiply():
    shapes = []

    def product(queries, references):
        shapes.append((len(queries), len(references)))
        return queries @ references.T

    find_neighbours(np.ones((3, 2), np.float32), REFERENCES, 1, block=(2, 3), product=product)
    assert shapes == [(2, 3), (2, 1), (1, 3), (1, 1)]


def test_nothing_to_search_gives_nothing():
    places, similarities = find_neighbours(np.zeros((0, 2), np.float32), REFERENCES, 3)
    assert places.shape == similarities.shape == (0, 3)
    places, similarities = find_neighbours(np.ones((2, 2), np.float32), REFERENCES[:0], 3)
    assert places.shape == similarities.shape == (2, 0)


def test_a_class_is_worth_the_powers_of_its_neighbours_added():
    # Class 7: 0.5^2 + 0.5^2 = 0.5, of which the root is 0.7071; class 3: 0.6^2, of which the root is 0.6.
    classes, scores = score_classes(np.array([[3, 7, 7]]), np.array([[0.6, 0.5, 0.5]], "f4"), power=2, top=3)
    assert classes.tolist() == [[7, 3, NO_CLASS]]
    np.testing.assert_allclose(scores, [[np.sqrt(0.5), 0.6, 0]], rtol=1e-6)
    # At power 4 the nearest decides: 2 * 0.0625 = 0.125 against 0.1296.
    classes, _ = score_classes(np.array([[3, 7, 7]]), np.array([[0.6, 0.5, 0.5]], "f4"), power=4, top=1)
    assert classes.tolist() == [[3]]


def test_what_points_away_does_not_count_and_equal_classes_come_by_number():
    classes, scores = score_classes(np.array([[9, 2, 5]]), np.array([[-0.9, 0.4, 0.4]], "f4"), power=3, top=3)
    assert classes.tolist() == [[2, 5, 9]]
    np.testing.assert_allclose(scores, [[0.4, 0.4, 0]], rtol=1e-6)


def test_a_query_without_neighbours_has_no_class():
    classes, scores = score_classes(np.zeros((1, 0), np.int64), np.zeros((1, 0), np.float32), power=1, top=2)
    assert classes.tolist() == [[NO_CLASS, NO_CLASS]]
    assert scores.tolist() == [[0, 0]]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"\(N, D\) and \(M, D\). Received: \(1, 3\) and \(4, 2\)"):
        find_neighbours(np.zeros((1, 3), np.float32), REFERENCES, 1)
    with pytest.raises(ValueError, match="k and block should be at least 1. Received: 0"):
        find_neighbours(REFERENCES, REFERENCES, 0)
    with pytest.raises(ValueError, match=r"both be \(N, K\)"):
        score_classes(np.zeros((1, 2), np.int64), np.zeros((1, 3), np.float32), power=1, top=1)
    with pytest.raises(ValueError, match="power should be above 0 and top at least 1. Received: 0 and 1"):
        score_classes(np.zeros((1, 1), np.int64), np.zeros((1, 1), np.float32), power=0, top=1)
