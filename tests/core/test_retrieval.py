import dataclasses

import numpy as np
import pytest

from landmark_spark.core.global_descriptors import fit_whitening
from landmark_spark.core.linear_head import LinearHead
from landmark_spark.core.pca import reduce_descriptors
from landmark_spark.core.retrieval import GRID, References, RetrievalPlan, find_candidates, whiten_exactly

VECTORS = np.array([[1, 0], [0.5, 0.5], [0, 1]], np.float32)
CLASSES = np.array([0, 0, 1])
NON_LANDMARKS = np.array([[0, -1], [1, 0]], np.float32)
HEAD = LinearHead(np.zeros((2, 3), np.float32), np.log([1, 2, 1]).astype(np.float32))  # a quarter, a half, a quarter


def references(head=None, non_landmarks=NON_LANDMARKS):
    return References.of(VECTORS, CLASSES, non_landmarks, 2, head)


def rows(found):
    return list(zip(found.images.tolist(), found.ranks.tolist(), found.classes.tolist(), strict=True))


def test_the_evidence_of_a_query_worked_out_by_hand():
    plan = RetrievalPlan(num_neighbours=2, power=1.0, non_landmark_neighbours=1, candidates=1)
    found = find_candidates(np.array([[0.5, 0]], np.float32), references(HEAD), plan)
    # Similarities: 0.5 and 0.25 to the images of class 0, 0 to that of class 1, which the head names.
    assert rows(found) == [(0, 0, 0), (0, 1, 1)]
    assert found.neighbours.tolist() == [0.75, 0.0]
    assert found.closest.tolist() == [0.375, 0.0]
    np.testing.assert_allclose(found.centroid, [0.5 * 1.5 / np.sqrt(1.5**2 + 0.5**2), 0.0], atol=1e-6)
    np.testing.assert_allclose(found.head, [0.25, 0.5], atol=1e-6)
    assert found.non_landmark.tolist() == [0.5, 0.5]
    # The two images of class 0 have 1 and 0.5 in common with a photo of no landmark, that of class 1 nothing.
    assert found.reference_non_landmark.tolist() == [0.75, 0.0]
    np.testing.assert_allclose(found.references, [np.log2(3), 1.0])


def test_without_head_and_photos_of_no_landmark_there_is_no_such_evidence():
    plan = RetrievalPlan(num_neighbours=1, candidates=1)
    found = find_candidates(np.array([[0, 0.5]], np.float32), references(None, np.zeros((0, 2), np.float32)), plan)
    assert rows(found) == [(0, 0, 1)]
    assert (found.head.tolist(), found.non_landmark.tolist()) == ([0.0], [0.0])


def test_a_class_without_images_is_similar_to_nothing():
    few = References.of(VECTORS[:2], CLASSES[:2], NON_LANDMARKS, 2, HEAD)
    found = find_candidates(np.array([[0.5, 0]], np.float32), few, RetrievalPlan(candidates=1))
    place = rows(found).index((0, 1, 1))
    assert (found.neighbours[place], found.closest[place], found.centroid[place]) == (0, 0, 0)
    assert (found.reference_non_landmark[place], found.references[place]) == (0, 0)


def test_only_the_three_closest_images_of_a_class_count():
    vectors = np.array([[1, 0], [0.5, 0], [0.25, 0], [-1, 0]], np.float32)
    known = References.of(vectors, np.zeros(4, np.int64), np.zeros((0, 2), np.float32), 1, None)
    found = find_candidates(np.array([[1, 0]], np.float32), known, RetrievalPlan(num_neighbours=4, power=2.0))
    assert found.closest.tolist() == [pytest.approx((1 + 0.5 + 0.25) / 3)]
    assert found.neighbours.tolist() == [pytest.approx(np.sqrt(1 + 0.25 + 0.0625))]  # below 0 counts as 0


def test_images_that_are_left_out_are_met_by_no_query():
    random = np.random.default_rng(2)
    vectors = np.round(random.normal(size=(30, 8)) / 8 / GRID).astype(np.float32) * np.float32(GRID)
    classes = np.sort(random.integers(0, 4, 30))
    left_out = random.random(30) < 0.9  # fewer are left than vote
    few = References.of(vectors[~left_out], classes[~left_out], vectors[:3], 4, None)
    all_but = dataclasses.replace(few, vectors=vectors, classes=classes, is_left_out=left_out)
    found, alone = (find_candidates(vectors[:5], each, RetrievalPlan()) for each in (all_but, few))
    assert rows(found) == rows(alone)
    for name in ("neighbours", "closest", "centroid", "reference_non_landmark", "references"):
        np.testing.assert_array_equal(getattr(found, name), getattr(alone, name))


def test_many_queries_are_answered_as_one_by_one():
    random = np.random.default_rng(0)
    vectors = np.round(random.normal(size=(60, 8)) / 8 / GRID).astype(np.float32) * np.float32(GRID)
    known = References.of(vectors[:40], np.sort(random.integers(0, 5, 40)), vectors[40:50], 5, None)
    queries = np.repeat(vectors[50:], 60, axis=0)  # more than a block
    found, alone = (find_candidates(each, known, RetrievalPlan()) for each in (queries, vectors[50:]))
    of_first = {name: [] for name in ("classes", "closest", "neighbours", "centroid", "non_landmark")}
    for query in range(0, len(queries), 60):
        for name in of_first:
            of_first[name] += getattr(found, name)[found.images == query].tolist()
    assert of_first == {name: getattr(alone, name).tolist() for name in of_first}


def test_no_query_has_no_candidates():
    assert rows(find_candidates(np.zeros((0, 2), np.float32), references(), RetrievalPlan())) == []


def test_whitened_vectors_lie_on_the_grid_and_their_products_are_exact():
    random = np.random.default_rng(1)
    descriptors = random.random((50, 16)).astype(np.float32)
    whitening = fit_whitening(descriptors, 8, shrinkage=1.0)
    vectors = whiten_exactly(descriptors, whitening)
    assert (vectors / GRID == np.round(vectors / GRID)).all()
    np.testing.assert_allclose(vectors, reduce_descriptors(descriptors, whitening, whiten=True), atol=GRID)
    exact = vectors.astype(np.float64)
    forwards, backwards = exact @ exact.T, exact[:, ::-1] @ exact[:, ::-1].T
    assert (forwards == backwards).all()  # in whatever order they are summed
    assert (whiten_exactly(descriptors[3:4], whitening) == vectors[3:4]).all()


def test_references_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="ascending order of their classes"):
        References.of(VECTORS, CLASSES[::-1], NON_LANDMARKS, 2, None)
    with pytest.raises(ValueError, match=r"non_landmarks should be \(L, 2\)"):
        References.of(VECTORS, CLASSES, np.zeros((1, 3), np.float32), 2, None)
    with pytest.raises(ValueError, match=r"a head should be \(2, 3\)"):
        References.of(VECTORS, CLASSES, NON_LANDMARKS, 2, LinearHead(HEAD.weights[:, :2], HEAD.biases[:2]))
