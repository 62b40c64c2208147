import numpy as np
import pytest

from landmark_spark.core.learned_fusion import Examples, columns_of, cross_validated_gap, learn_fusion


def examples(num_landmark=8, num_other=8, seed=0):
    """Two candidates an image; ``good`` tells right from wrong but for noise, ``noise`` says nothing."""
    random = np.random.default_rng(seed)
    count = num_landmark + num_other
    images = np.repeat(np.arange(count), 2)
    shows = images < num_landmark
    is_right = shows & (np.arange(2 * count) % 2 == 0)
    good = is_right + random.normal(0, 0.2, 2 * count)
    return Examples(images, shows, is_right, images % 2, {"good": good, "noise": random.normal(size=2 * count)})


def test_evidence_that_tells_gets_the_weight_and_a_perfect_gap():
    found = learn_fusion(["good", "noise"], examples(), penalty=1e-2, non_landmark_share=2 / 3)
    assert found.fusion.weights[0] > 10 * abs(found.fusion.weights[1])
    assert (found.gap, found.top1) == (pytest.approx(1.0), 1.0)
    assert (found.num_landmark_images, found.num_non_landmark_images) == (8, 8)


def test_images_of_no_landmark_count_as_often_as_they_are_to_be_expected():
    # Ranked: wrong (of no landmark, twice as many are expected), right, right. 1/3 of 2 right, then 2/4.
    shown = Examples(
        images=np.arange(3),
        shows_landmark=np.array([False, True, True]),
        is_right=np.array([False, True, True]),
        folds=np.zeros(3, np.int64),
        evidence={},
    )
    scores = np.array([3.0, 2.0, 1.0])
    # Weights: 2/3 / (1/3) * 2 / 1 = 4 for the first.
    assert cross_validated_gap(scores, shown, non_landmark_share=2 / 3) == pytest.approx((1 / 5 + 2 / 6) / 2)


def test_without_images_of_no_landmark_all_count_alike():
    found = learn_fusion(["good"], examples(num_other=0), penalty=1e-2, non_landmark_share=2 / 3)
    assert found.num_non_landmark_images == 0
    assert found.gap == pytest.approx(1.0)


def test_evidence_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="evidence should be of good, noise. Received: better"):
        columns_of(["good", "better"], examples().evidence)
    with pytest.raises(ValueError, match="Received: none"):
        columns_of([], examples().evidence)


def test_without_right_candidates_nothing_is_learned():
    with pytest.raises(ValueError, match="right"):
        learn_fusion(["good"], examples(num_landmark=0), penalty=1e-2, non_landmark_share=0.5)
