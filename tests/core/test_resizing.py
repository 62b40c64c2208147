import numpy as np
import pytest
from skimage.transform import downscale_local_mean, resize

from landmark_spark.core.resizing import resize_image, resize_to_fit


def test_stretching_averages_areas():
    image = np.zeros((2, 4, 3), np.uint8)
    image[0, :, 0] = [10, 20, 30, 40]
    image[1, :, 0] = [50, 60, 70, 80]
    # 1 pixel: the mean of all eight, 360 / 8 = 45
    assert resize_image(image, 1, mode="stretch")[0, 0].tolist() == [45, 0, 0]
    # 2 x 2: pairs within each row
    assert resize_image(image, 2, mode="stretch")[..., 0].tolist() == [[15, 35], [55, 75]]


def test_cropping_takes_the_centre_square():
    image = np.zeros((2, 6, 3), np.uint8)
    image[..., 1] = [1, 2, 3, 4, 5, 6]
    assert resize_image(image, 2, mode="crop")[..., 1].tolist() == [[3, 4], [3, 4]]
    assert resize_image(image.transpose(1, 0, 2), 2, mode="crop")[..., 1].tolist() == [[3, 3], [4, 4]]


def test_padding_adds_black_bars_on_both_sides():
    image = np.full((2, 4, 3), 90, np.uint8)
    assert resize_image(image, 4, mode="pad")[..., 2].tolist() == [[0] * 4, [90] * 4, [90] * 4, [0] * 4]
    # 1 x 3 to 4 x 4: 4 * 1 / 3 = 1.33 rows, so one row, and bars of (4 - 1) // 2 = 1 above and 2 below
    line = np.full((1, 3, 3), 90, np.uint8)
    assert resize_image(line, 4, mode="pad")[:, 0, 0].tolist() == [0, 90, 0, 0]
    # 100 x 1 to 4 x 4: a side never vanishes
    assert (resize_image(np.full((100, 1, 3), 90, np.uint8), 4, mode="pad") == 90).any(axis=(0, 2)).sum() == 1


def test_a_side_may_shrink_while_the_other_grows():
    image = np.zeros((1, 4, 3), np.uint8)
    image[0, :, 0] = [0, 100, 100, 200]
    assert resize_image(image, 2, mode="stretch")[..., 0].tolist() == [[50, 150], [50, 150]]


def test_shrinking_agrees_with_scikit_image():
    image = np.random.default_rng(1).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    ours = resize_image(image, 16, mode="stretch").astype(float)
    assert np.abs(ours - downscale_local_mean(image, (3, 4, 1))).max() <= 0.5 + 1e-9


def test_enlarging_agrees_with_scikit_image():
    image = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    theirs = resize(image, (32, 32), order=1, mode="edge", preserve_range=True, anti_aliasing=False)
    assert np.abs(resize_image(image, 32, mode="stretch") - theirs).max() <= 1.0


@pytest.mark.parametrize(
    ("shape", "max_side", "fitted"),
    [
        ((1200, 1600), 800, (600, 800)),
        ((1600, 1201), 800, (601, 800)[::-1]),  # 600.5 rounds up
        ((3, 5000), 800, (1, 800)),  # 0.48 rounds to nothing, yet stays
        ((600, 800), 800, (600, 800)),
        ((30, 40), 800, (30, 40)),
    ],
)
def test_fitting_shrinks_the_longest_side_and_never_enlarges(shape, max_side, fitted):
    assert resize_to_fit(np.zeros((*shape, 3), np.uint8), max_side).shape == (*fitted, 3)


def test_impossible_sizes_and_images_say_what_was_wanted():
    image = np.zeros((4, 4, 3), np.uint8)
    for call, words in [
        (lambda: resize_image(image, 4, mode="fit"), "mode should be one of stretch, crop, pad. Received: 'fit'"),
        (lambda: resize_image(image, 0, mode="pad"), "size should be at least 1. Received: 0"),
        (lambda: resize_image(image[..., 0], 4, mode="pad"), r"\(H, W, 3\) uint8, not empty. Received: \(4, 4\)"),
        (lambda: resize_to_fit(image.astype(float), 4), "Received: .* float64"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
