"""RANSAC: known geometry, pure chance, degenerate matches."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import ransac
from skimage.transform import AffineTransform

from landmark_spark.core import ransac as module
from landmark_spark.core.ransac import count_inliers

LINEAR = np.array([[0.8, -0.3], [0.2, 0.9]])  # determinant 0.78
SHIFT = np.array([60.0, -20.0])
OPTIONS = {"residual_threshold": 12.8, "max_trials": 1000}  # 0.025 x 512


def _matches(num_inliers: int, num_outliers: int, *, seed: int, noise: float = 1.0):
    """Matches of which the first num_inliers follow an affine map; the others are at least 40 pixels off it."""
    draw = np.random.default_rng(seed)
    queries = draw.uniform(0, 512, (num_inliers + num_outliers, 2))
    references = queries @ LINEAR.T + SHIFT
    references[:num_inliers] += np.clip(draw.normal(0, noise, (num_inliers, 2)), -3, 3)
    directions = draw.uniform(0, 2 * np.pi, num_outliers)
    offsets = np.stack([np.cos(directions), np.sin(directions)], axis=1) * draw.uniform(40, 400, (num_outliers, 1))
    references[num_inliers:] += offsets
    return queries.astype(np.float32), references.astype(np.float32)


@pytest.mark.parametrize(("num_inliers", "num_outliers"), [(60, 0), (60, 40), (40, 120), (100, 300)])
def test_inliers_are_exactly_those_that_follow_the_map(num_inliers, num_outliers):
    for seed in range(5):
        mask = count_inliers(*_matches(num_inliers, num_outliers, seed=seed), **OPTIONS, seed=seed)
        assert mask.dtype == np.bool_
        np.testing.assert_array_equal(np.flatnonzero(mask), np.arange(num_inliers))


def test_inliers_are_those_of_scikit_image():
    queries, references = _matches(50, 70, seed=3, noise=2.0)
    _, expected = ransac(
        (queries, references), AffineTransform, min_samples=3, residual_threshold=12.8, max_trials=1000, rng=0
    )
    assert expected.sum() == 50
    np.testing.assert_array_equal(count_inliers(queries, references, **OPTIONS, seed=0), expected)


def test_pure_chance_stays_far_below_the_verdict():
    # 300 matches at random over 512 x 512: 4 to 9 agree by chance (a disc of 12.8 pixels is 0.2 % of the image).
    counts = []
    for seed in range(20):
        draw = np.random.default_rng(seed)
        queries, references = draw.uniform(0, 512, (2, 300, 2)).astype(np.float32)
        counts.append(count_inliers(queries, references, **OPTIONS, seed=seed).sum())
    assert np.median(counts) <= 8
    assert max(counts) <= 12


def test_verdict_on_clear_cases_does_not_depend_on_the_seed():
    same = _matches(60, 100, seed=1)
    draw = np.random.default_rng(2)
    other = draw.uniform(0, 512, (2, 160, 2)).astype(np.float32)
    for seed in (0, 1, 2, 12345, 2**31 - 1):
        assert count_inliers(*same, **OPTIONS, seed=seed).sum() == 60
        assert count_inliers(*other, **OPTIONS, seed=seed).sum() <= 12


def test_same_seed_gives_the_same_inliers():
    draw = np.random.default_rng(8)
    points = draw.uniform(0, 512, (2, 200, 2)).astype(np.float32)
    first = count_inliers(*points, **OPTIONS, seed=7)
    for _ in range(3):
        np.testing.assert_array_equal(count_inliers(*points, **OPTIONS, seed=7), first)


@pytest.mark.parametrize("num_matches", [0, 1, 2])
def test_fewer_than_three_matches_show_nothing(num_matches):
    points = np.arange(2 * num_matches, dtype=np.float32).reshape(-1, 2)
    assert count_inliers(points, points, **OPTIONS, seed=0).tolist() == [False] * num_matches


def test_three_matches_in_general_position_fit_a_map_exactly():
    queries = np.array([[0, 0], [100, 0], [0, 100]], np.float32)
    assert count_inliers(queries, queries + np.float32(5), **OPTIONS, seed=0).all()


def _line(num_points: int) -> np.ndarray:
    return np.stack([np.linspace(0, 500, num_points), np.linspace(10, 260, num_points)], axis=1).astype(np.float32)


def _cloud(num_points: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 512, (num_points, 2)).astype(np.float32)


@pytest.mark.parametrize(
    ("queries", "references"),
    [
        (_line(50), _line(50)),  # a line onto itself
        (_line(50), _cloud(50)),
        (_cloud(50), np.full((50, 2), 100, np.float32)),  # all onto one point
        (np.full((50, 2), 100, np.float32), _cloud(50)),
        (np.full((50, 2), 100, np.float32), np.full((50, 2), 100, np.float32)),
        (_cloud(50), 100 + _cloud(50, seed=1) / 1000),  # all into half a pixel: a map that shrinks a thousandfold
        (_cloud(50), _cloud(50) * np.float32(0.05)),  # a true map, but twentyfold smaller
        (_cloud(50), _cloud(50) * np.array([1, 0.001], np.float32)),  # flattened to a line
        (_cloud(50), _cloud(50) * np.array([-1, 1], np.float32)),  # mirrored
        (np.full((50, 2), np.nan, np.float32), _cloud(50)),
        (_cloud(50), np.full((50, 2), np.inf, np.float32)),
        (_cloud(50) * np.float32(1e18), _cloud(50, seed=1)),  # coordinates for which OpenCV answers with NaN
    ],
)
def test_degenerate_matches_show_nothing(queries, references):
    for seed in range(3):
        assert not count_inliers(queries, references, **OPTIONS, seed=seed).any()
        assert not count_inliers(references, queries, **OPTIONS, seed=seed).any()


def test_matches_with_a_value_that_is_no_number_are_left_out():
    queries, references = _matches(60, 20, seed=4)
    queries[0, 0] = references[1, 1] = np.nan
    references[2, 0] = np.inf
    mask = count_inliers(queries, references, **OPTIONS, seed=0)
    assert np.flatnonzero(mask).tolist() == list(range(3, 60))


def test_crowd_onto_one_point_does_not_hide_the_true_matches():
    queries, references = _matches(40, 100, seed=5)
    references[40:] = (250, 250)
    mask = count_inliers(queries, references, **OPTIONS, seed=0)
    assert mask[:40].all()
    assert mask[40:].sum() <= 1  # one of the crowd may happen to lie where it belongs


def test_repeated_orientations_of_a_keypoint_count_once():
    queries, references = _matches(30, 30, seed=6)
    mask = count_inliers(np.repeat(queries, 3, axis=0), np.repeat(references, 3, axis=0), **OPTIONS, seed=0)
    assert np.flatnonzero(mask).tolist() == list(range(0, 90, 3))


def test_place_counts_once_in_either_image():
    queries, references = _matches(30, 0, seed=7)
    near = references[:1] + np.float32(2)
    mask = count_inliers(np.concatenate([queries, queries[:1]]), np.concatenate([references, near]), **OPTIONS, seed=0)
    assert mask.tolist() == [True] * 30 + [False]
    mask = count_inliers(
        np.concatenate([queries, queries[:1] + np.float32(2)]),
        np.concatenate([references, references[:1]]),
        **OPTIONS,
        seed=0,
    )
    assert mask.tolist() == [True] * 30 + [False]


def test_residual_is_held_in_both_images():
    # The map halves: 10 pixels off in the reference are 20 in the query, above 12.8.
    queries = _cloud(60)
    references = queries / 2
    references[0] += (10, 0)
    references[1] += (6, 0)  # 12 in the query
    mask = count_inliers(queries, references, **OPTIONS, seed=0)
    assert mask.tolist() == [False] + [True] * 59


@pytest.mark.parametrize(("support", "num_searches", "num_inliers"), [(17, 1, 0), (18, 10, 60)])
def test_where_more_than_chance_agrees_the_best_of_ten_searches_counts(monkeypatch, support, num_searches, num_inliers):
    queries, references = _matches(60, 20, seed=10)
    mirrored = np.array([[-1.0, 0.0, 500.0], [0.0, 1.0, 0.0]])  # refused, whatever agrees with it
    seeds = []

    def search(*arguments):
        seeds.append(arguments[-1])
        is_true = len(seeds) == 4
        return (np.column_stack([LINEAR, SHIFT]) if is_true else mirrored), support

    monkeypatch.setattr(module, "_estimate_affine", search)
    assert count_inliers(queries, references, **OPTIONS, seed=7).sum() == num_inliers
    assert seeds == list(range(70, 70 + num_searches))


def test_arguments_out_of_range_are_refused():
    points = _cloud(5)
    with pytest.raises(ValueError, match=r"should both be \(K, 2\)\. Received: \(5, 2\), \(4, 2\)"):
        count_inliers(points, points[:4], **OPTIONS, seed=0)
    for change in ({"residual_threshold": 0.0}, {"residual_threshold": np.nan}, {"max_trials": 0}, {"seed": -1}):
        with pytest.raises(ValueError, match="residual_threshold should be above 0, max_trials at least 1 and seed"):
            count_inliers(points, points, **({**OPTIONS, "seed": 0} | change))
