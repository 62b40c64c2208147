import numpy as np
import pytest

from landmark_spark.core.augmentation import AugmentationPlan, Draw, load_augmentation

EVERYTHING = AugmentationPlan(
    shear_range=0.2,
    zoom_range=0.2,
    rotation_range=20,
    width_shift_range=0.1,
    height_shift_range=0.1,
    horizontal_flip=True,
)


def augmented(plan, images, seed):
    """The images as a batch of their own."""
    return load_augmentation(plan)(images, Draw(seed, 0, len(images)))


def photos(count=6, side=32):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_shape_type_and_range_stay_and_each_image_changes_by_itself():
    images = np.repeat(photos(1), 4, axis=0)
    changed = augmented(EVERYTHING, images, 7)
    assert (changed.shape, changed.dtype) == ((4, 32, 32, 3), np.uint8)
    assert len({each.tobytes() for each in (*changed, images[0])}) == 5
    assert changed.max() > 200
    assert changed.min() < 50


def test_the_same_seed_gives_the_same_images_whatever_came_before():
    augment = load_augmentation(EVERYTHING)
    first = augment(photos(), Draw(2**32 - 1, 0, 6))
    other = augment(photos(), Draw(4, 0, 6))
    np.testing.assert_array_equal(augment(photos(), Draw(2**32 - 1, 0, 6)), first)
    assert (other != first).any()
    np.testing.assert_array_equal(augmented(EVERYTHING, photos(), 2**32 - 1), first)


def test_without_any_change_asked_for_the_pixels_stay():
    np.testing.assert_array_equal(augmented(AugmentationPlan(), photos(), 1), photos())


def test_a_flip_mirrors_some_images_and_leaves_the_others():
    images = photos(32)
    flipped = augmented(AugmentationPlan(horizontal_flip=True), images, 0)
    mirrored = [np.array_equal(new, old[:, ::-1]) for new, old in zip(flipped, images, strict=True)]
    same = [np.array_equal(new, old) for new, old in zip(flipped, images, strict=True)]
    assert sum(mirrored) + sum(same) == 32
    assert 6 <= sum(mirrored) <= 26  # of 32 tosses; outside once in 3,000


EDGE = np.repeat(np.where(np.arange(64) < 32, 0, 255).astype(np.uint8)[None, :, None], 64, axis=0)
IN_THE_MIDDLE = np.repeat(EDGE[None], 3, axis=-1)  # black to the left of column 32


def places(images):
    """Where the edge is in each row: (B, H)."""
    return (images[..., 0] < 128).sum(axis=2)


@pytest.mark.parametrize("shear", [0.2, 0.4])
def test_shear_moves_the_edge_by_at_most_its_tangent(shear):
    changed = augmented(AugmentationPlan(shear_range=shear), np.repeat(IN_THE_MIDDLE, 40, axis=0), 3)
    slopes = (places(changed)[:, -1] - places(changed)[:, 0]) / 63
    assert 0.7 * shear < np.abs(slopes).max() <= shear + 2 / 63  # whole pixels at both ends
    assert slopes.min() < 0 < slopes.max()


def test_a_shift_moves_the_edge_and_repeats_the_border():
    changed = augmented(AugmentationPlan(width_shift_range=0.25), np.repeat(IN_THE_MIDDLE, 40, axis=0), 3)
    moved = places(changed)[:, 0] - 32
    assert 11 <= np.abs(moved).max() <= 17  # a quarter of 64 pixels, and one for rounding
    assert moved.min() < 0 < moved.max()
    assert set(np.unique(changed[..., 0, 0])) == {0}  # no other colour comes in from the left
    assert set(np.unique(changed[..., -1, 0])) == {255}


def test_zoom_changes_the_width_of_a_square_by_at_most_its_share():
    square = np.zeros((1, 64, 64, 3), np.uint8)
    square[:, 16:48, 16:48] = 255
    changed = augmented(AugmentationPlan(zoom_range=0.2), np.repeat(square, 40, axis=0), 3)
    widths, heights = (changed[:, 32, :, 0] > 127).sum(axis=1), (changed[:, :, 32, 0] > 127).sum(axis=1)
    for sides in (widths, heights):
        assert 32 / 1.2 - 2 <= sides.min() < 30
        assert 34 < sides.max() <= 32 / 0.8 + 2
    assert (widths != heights).any()  # each by itself, as ImageDataGenerator has it


def test_a_row_is_changed_alike_in_every_part_of_its_batch():
    augment, images = load_augmentation(EVERYTHING), photos(7)
    whole = augment(images, Draw(5, 0, 7))
    for first, last in ((0, 3), (3, 7), (2, 3), (7, 7)):
        np.testing.assert_array_equal(augment(images[first:last], Draw(5, first, 7)), whole[first:last])


def test_a_whole_batch_is_changed_as_keras_layer_changes_it_by_itself():
    import keras

    layer = keras.layers.RandomShear(x_factor=0.2, fill_mode="nearest")
    layer.generator.state.assign(np.array([9, 0], np.uint32))
    expected = np.rint(keras.ops.convert_to_numpy(layer(photos().astype(np.float32), training=True)))
    np.testing.assert_array_equal(augmented(AugmentationPlan(shear_range=0.2), photos(), 9), expected.astype(np.uint8))
