import numpy as np
import pytest

from landmark_spark.core.pca import Pca, fit_pca, normalise, reduce_descriptors


def test_points_on_a_line_and_across_it_give_the_components_that_one_works_out_by_hand():
    # Along (0.6, 0.8): -2, 0, 2; across it, (0.8, -0.6): the last point apart by -1, 0, 1 on another axis.
    points = np.array([1, 2]) + np.array([[-2, 0], [2, 0], [0, -1], [0, 1]]) @ np.array([[0.6, 0.8], [0.8, -0.6]])
    pca = fit_pca(points, 2)
    np.testing.assert_allclose(pca.mean, [1, 2], atol=1e-6)
    np.testing.assert_allclose(pca.variances, [8 / 3, 2 / 3], rtol=1e-6)  # sums of squares 8 and 2, over 4 - 1
    np.testing.assert_allclose(pca.components, [[0.6, 0.8], [0.8, -0.6]], atol=1e-6)


def test_the_components_are_those_of_a_singular_value_decomposition():
    points = np.random.default_rng(0).normal(size=(200, 6)) * [5, 1, 3, 0.5, 2, 4] + 7
    pca = fit_pca(points, 4)
    _, values, vectors = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(pca.variances, values[:4] ** 2 / 199, rtol=1e-5)
    np.testing.assert_allclose(np.abs(np.sum(pca.components * vectors[:4], axis=1)), 1, atol=1e-5)
    assert all(row[np.abs(row).argmax()] > 0 for row in pca.components)


def test_reduced_descriptors_are_normalised_projected_and_normalised_again():
    pca = Pca(
        mean=np.array([0.0, 0.2, 0.0], np.float32),
        components=np.array([[1, 0, 0], [0, 1, 0]], np.float32),
        variances=np.array([4.0, 0.25], np.float32),
    )
    descriptors = np.array([[3, 4, 0], [0, 0, 0]], np.float32)  # (0.6, 0.8, 0) less the mean: (0.6, 0.6)
    plain, whitened = (reduce_descriptors(descriptors, pca, whiten=each) for each in (False, True))
    np.testing.assert_allclose(plain[0], [np.sqrt(0.5)] * 2, rtol=1e-6)
    np.testing.assert_allclose(whitened[0], np.array([0.3, 1.2]) / np.hypot(0.3, 1.2), rtol=1e-6)
    assert np.isfinite(plain).all() and np.isfinite(whitened).all()


def test_a_direction_without_variance_does_not_give_infinite_values():
    points = np.array([[1, 0], [0, 1], [0.5, 0.5]])
    pca = fit_pca(points, 2)
    assert np.isfinite(reduce_descriptors(np.eye(2, dtype=np.float32), pca, whiten=True)).all()


def test_a_row_of_zeros_stays_one():
    assert normalise(np.zeros((1, 3), np.float32)).tolist() == [[0, 0, 0]]


def test_a_pca_comes_back_from_its_bytes_which_are_the_same_every_time():
    pca = fit_pca(np.random.default_rng(0).normal(size=(20, 5)), 3)
    again = Pca.from_bytes(pca.to_bytes())
    for name in ("mean", "components", "variances"):
        np.testing.assert_array_equal(getattr(again, name), getattr(pca, name))
    assert again.to_bytes() == pca.to_bytes()


def test_what_does_not_fit_is_refused():
    points = np.zeros((10, 4), np.float32)
    with pytest.raises(ValueError, match=r"C at least 5. Received: \(10, 4\)"):
        fit_pca(points, 5)
    with pytest.raises(ValueError, match="more than 4 descriptors. Received: 4"):
        fit_pca(points[:4], 4)
    with pytest.raises(ValueError, match="npz file of mean"):
        Pca.from_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"should be \(N, 4\). Received: \(1, 3\)"):
        reduce_descriptors(points[:1, :3], fit_pca(np.eye(4), 2), whiten=False)
