import numpy as np
import pytest

from landmark_spark.core.training_crops import load_cropping


def gradient(height, width):
    """Red tells the column, green the row."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, x * 0], axis=-1).astype(np.uint8)


def test_without_a_seed_it_is_the_middle_of_the_image_at_three_quarters():
    (piece,) = load_cropping(32)([gradient(80, 160)], None)
    assert piece.shape == (32, 32, 3)
    # 60 x 120 pixels, of which rows 14 to 45 and columns 44 to 75: the middle is at (80, 40) of the image.
    np.testing.assert_allclose(piece.mean(axis=(0, 1)), [79.5, 39.5, 0], atol=0.6)


def test_a_small_image_is_enlarged_until_it_fills_the_piece():
    (piece,) = load_cropping(64)([gradient(32, 48)], 3)
    assert piece.shape == (64, 64, 3)
    assert (piece[:, 0, 1] == np.sort(piece[:, 0, 1])).all()
    assert piece[-1, 0, 1] == 31  # all rows, and of the columns a part


def test_the_same_seed_gives_the_same_pieces_and_another_one_others():
    images = [gradient(100, 100), gradient(90, 120)]
    crop = load_cropping(32)
    np.testing.assert_array_equal(crop(images, 5), crop(images, 5))
    assert not np.array_equal(crop(images, 5), crop(images, 6))


def test_scales_are_from_a_half_to_one():
    crop = load_cropping(32)
    # A step of one pixel in the piece is 1 / scale columns of the image.
    steps = [float(np.diff(crop([gradient(200, 200)], seed)[0, 16, :, 0].astype(float)).mean()) for seed in range(60)]
    assert 0.95 <= min(steps) < 1.2
    assert 1.75 < max(steps) <= 2.05


def test_no_images_give_no_pieces_and_too_small_pieces_are_refused():
    assert load_cropping(32)([], 0).shape == (0, 32, 32, 3)
    with pytest.raises(ValueError, match="side should be at least 32. Received: 16"):
        load_cropping(16)
