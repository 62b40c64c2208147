import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import downscale_local_mean, resize

from landmark_spark.core.images import Decoded
from landmark_spark.core.resizing import (
    RESIZE_MODES,
    fit_decoded,
    is_enough_for_square,
    is_enough_to_fit,
    resize_decoded,
    resize_image,
    resize_to_fit,
    resize_to_longest,
)


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


@pytest.mark.parametrize(
    ("shape", "side", "resized"),
    [
        ((480, 640), 256, (192, 256)),
        ((512, 341), 256, (256, 171)),  # 170.5
        ((90, 120), 256, (192, 256)),
        ((256, 100), 256, (256, 100)),
        ((1000, 40), 256, (256, 32)),  # 10.24, but no side is to fall below 32
        ((10, 20), 32, (32, 32)),
    ],
)
def test_the_longest_side_is_the_one_asked_for_and_the_other_keeps_the_aspect(shape, side, resized):
    assert resize_to_longest(np.zeros((*shape, 3), np.uint8), side, min_side=32).shape == (*resized, 3)


def test_to_a_longest_side_areas_are_averaged_and_what_grows_is_interpolated():
    image = np.zeros((2, 4, 3), np.uint8)
    image[0, :, 0] = [10, 20, 30, 40]
    image[1, :, 0] = [50, 60, 70, 80]
    assert resize_to_longest(image, 2)[..., 0].tolist() == [[35, 55]]  # 140 / 4, 220 / 4
    line = np.zeros((1, 2, 3), np.uint8)
    line[0, :, 1] = [0, 100]
    assert resize_to_longest(line, 4)[..., 1].tolist() == [[0, 25, 75, 100]] * 2  # places -0.25, 0.25, 0.75, 1.25


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
        (lambda: resize_to_fit(image, 0), "max_side should be at least 1. Received: 0"),
        (lambda: resize_to_longest(image, 0), "side should be at least 1. Received: 0"),
        (lambda: resize_to_longest(image, 31, min_side=32), "side should be at least 32. Received: 31"),
        (lambda: is_enough_for_square(9, 9, 4, mode="fit"), "mode should be one of stretch, crop, pad."),
    ]:
        with pytest.raises(ValueError, match=words):
            call()


def grey(rows) -> np.ndarray:
    return np.repeat(np.array(rows, np.uint8)[..., None], 3, axis=2)


def test_pixels_that_overhang_the_end_count_by_their_part():
    # 5 x 2 pixels at a half: three pixels, of which the last stands for one column and the first two for two each
    half = Decoded(grey([[10, 20, 60]]), width=5, height=2, scale=2)
    assert resize_decoded(half, 1, mode="stretch")[0, 0, 0] == 24  # (2 * 10 + 2 * 20 + 60) / 5
    assert fit_decoded(half, 1)[0, 0, 0] == 24
    # 7 x 7 at a quarter, to 1: weights 4 and 3 a side
    quarter = Decoded(grey([[7, 14], [21, 70]]), width=7, height=7, scale=4)
    for mode in RESIZE_MODES:
        # (16 * 7 + 12 * 14 + 12 * 21 + 9 * 70) / 49 = 1162 / 49 = 23.7
        assert resize_decoded(quarter, 1, mode=mode)[0, 0, 0] == 24


def test_a_crop_may_begin_within_a_pixel():
    # 5 x 3 at a half: the centre square is columns 1 to 3, of which the first lies in pixel 0, the others are pixel 1;
    # rows 0 and 1 are the first row of pixels, row 2 the second
    image = grey([[30, 60, 90], [120, 150, 180]])
    # columns: (30 + 2 * 60) / 3 = 50 and (120 + 2 * 150) / 3 = 140; rows: (2 * 50 + 140) / 3 = 80
    assert resize_decoded(Decoded(image, width=5, height=3, scale=2), 1, mode="crop")[0, 0].tolist() == [80] * 3
    turned = Decoded(image.transpose(1, 0, 2), width=3, height=5, scale=2)
    assert resize_decoded(turned, 1, mode="crop")[0, 0].tolist() == [80] * 3


def spread(decoded: Decoded) -> np.ndarray:
    """The picture in full size, each pixel of the image repeated."""
    whole = np.repeat(np.repeat(decoded.image, decoded.scale, axis=0), decoded.scale, axis=1)
    return whole[: decoded.height, : decoded.width]


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from([2, 4, 8]), st.integers(1, 24), st.integers(0, 9))
def test_a_scaled_picture_is_resized_as_its_pixels_in_full_size_would_be(width, height, scale, size, seed):
    shape = (-(-height // scale), -(-width // scale), 3)
    image = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    decoded = Decoded(image, width=width, height=height, scale=scale)
    # What differs from the wanted size by less than half a pixel OpenCV copies; nothing so small is ever enough.
    is_enough = min(width, height) >= 1.5 * scale * size
    for mode in RESIZE_MODES:
        if is_enough:
            ours = resize_decoded(decoded, size, mode=mode).astype(int)
            assert np.abs(ours - resize_image(spread(decoded), size, mode=mode)).max() <= 1
    fitted = fit_decoded(decoded, size)
    if max(width, height) > size:
        assert fitted.shape == resize_to_fit(spread(decoded), size).shape
        if is_enough:
            assert np.abs(fitted.astype(int) - resize_to_fit(spread(decoded), size)).max() <= 1


def test_enough_is_half_as_much_again_as_the_telling_side_is_resized_to():
    for width, height, modes in [
        (192, 192, ("stretch", "crop", "pad")),  # 128 * 1.5
        (256, 192, ("stretch", "crop", "pad")),
        (256, 191, ("pad",)),
        (191, 256, ("pad",)),
        (192, 20, ("pad",)),
        (191, 191, ()),
    ]:
        assert tuple(mode for mode in RESIZE_MODES if is_enough_for_square(width, height, 128, mode=mode)) == modes
    assert is_enough_to_fit(768, 2, 512) and is_enough_to_fit(2, 768, 512)
    assert not is_enough_to_fit(767, 767, 512)


def test_exactly_the_wanted_sides_are_enough_too():
    assert is_enough_to_fit(512, 384, 512) and is_enough_to_fit(384, 512, 512)
    assert not is_enough_to_fit(512, 383.5, 512)  # its last row would be half of one
    assert not is_enough_to_fit(513, 384, 512)
    assert is_enough_for_square(128, 96, 128, mode="pad")
    assert is_enough_for_square(128, 128, 128, mode="stretch")
    assert not is_enough_for_square(128, 96, 128, mode="stretch")
    assert not is_enough_for_square(170, 128, 128, mode="crop")  # its cuts may lie within pixels


@settings(max_examples=400, deadline=None)
@given(st.integers(8, 3000), st.integers(8, 3000), st.sampled_from([2, 4, 8]), st.integers(4, 400))
def test_what_is_enough_is_never_enlarged(width, height, scale, size):
    columns, rows = width / scale, height / scale
    longest = max(width, height)
    fitted = (max(1, int(size * width / longest + 0.5)), max(1, int(size * height / longest + 0.5)))
    for mode, (across, down) in {"stretch": (size, size), "crop": (size, size), "pad": fitted}.items():
        if is_enough_for_square(columns, rows, size, mode=mode):
            assert width / scale >= across and height / scale >= down
    if is_enough_to_fit(columns, rows, size):
        assert width / scale >= fitted[0] and height / scale >= fitted[1]
