"""Views of an image by hand, and their vectors averaged and joined."""

import numpy as np
import pytest

from landmark_spark.core.descriptor_views import (
    ViewPlan,
    describe_scaled,
    join_descriptors,
    list_views,
    parse_sides,
    scale_image,
)


def numbered(height, width):
    """An image whose first channel counts the pixels row by row, from 0."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.arange(height * width).reshape(height, width)
    return image


def halves(batch):
    """A network that gives the mean of the left and of the right half of the first channel."""
    middle = batch.shape[2] // 2
    pair = [batch[:, :, :middle, 0].mean(axis=(1, 2)), batch[:, :, middle:, 0].mean(axis=(1, 2))]
    return np.stack(pair, axis=1).astype(np.float32)


def split_image(left, right, height=32, width=64):
    image = np.full((height, width, 3), left, np.uint8)
    image[:, width // 2 :] = right
    return image


def test_without_more_the_image_is_its_only_view_and_flip_adds_its_mirror():
    image = numbered(2, 3)
    assert [view[..., 0].tolist() for view in list_views(image, ViewPlan())] == [[[0, 1, 2], [3, 4, 5]]]
    whole, mirrored = list_views(image, ViewPlan(flip=True))
    assert whole[..., 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert mirrored[..., 0].tolist() == [[2, 1, 0], [5, 4, 3]]


def test_five_crops_are_the_centre_and_the_corners_of_three_quarters():
    image = numbered(8, 16)  # crops of 6 x 12: an eighth is 1 row and 2 columns
    whole, *crops = list_views(image, ViewPlan(crops="five", min_side=1))
    assert whole.shape == (8, 16, 3)
    assert {crop.shape for crop in crops} == {(6, 12, 3)}
    # Row 1, column 2 is pixel 18; row 0, column 4 is 4; row 2 begins with 32.
    assert [crop[0, 0, 0] for crop in crops] == [18, 0, 4, 32, 36]
    assert [crop[-1, -1, 0] for crop in crops] == [109, 91, 95, 123, 127]  # 5 rows and 11 columns on: 91 pixels


def test_each_crop_is_mirrored_too_and_none_is_smaller_than_the_least_side():
    views = list_views(numbered(10, 40), ViewPlan(flip=True, crops="five", min_side=9))
    assert len(views) == 12
    # Of 10 rows an eighth, rounded, is 1, but no row can go at both ends where 9 are to stay.
    assert {view.shape for view in views[1:6]} == {(10, 30, 3)}
    for view, mirrored in zip(views[:6], views[6:], strict=True):
        np.testing.assert_array_equal(mirrored, view[:, ::-1])


@pytest.mark.parametrize(("height", "width"), [(8, 16), (11, 13), (33, 57)])
def test_the_views_of_a_mirrored_image_are_the_mirrored_views(height, width):
    plan = ViewPlan(flip=True, crops="five", min_side=1)
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    one, other = (sorted(view.tobytes() for view in list_views(each, plan)) for each in (image, image[:, ::-1]))
    assert one == other


def test_an_image_is_scaled_to_each_side_in_their_order():
    scaled = scale_image(np.zeros((300, 400, 3), np.uint8), ViewPlan(sides=(64, 40), min_side=32))
    assert [each.shape for each in scaled] == [(48, 64, 3), (32, 40, 3)]  # 3/4 of 40 is 30


def test_the_vectors_of_the_views_are_averaged_as_directions():
    image = split_image(30, 40)
    plan = ViewPlan(sides=(64,))
    alone = describe_scaled([scale_image(image, plan)], plan, halves, batch_size=4)
    np.testing.assert_allclose(alone, [[0.6, 0.8]], rtol=1e-6)
    plan = ViewPlan(sides=(64,), flip=True)  # (0.6, 0.8) + (0.8, 0.6)
    both = describe_scaled([scale_image(image, plan)], plan, halves, batch_size=4)
    np.testing.assert_allclose(both, [[np.sqrt(0.5)] * 2], rtol=1e-6)


def test_every_view_counts_the_same_whatever_its_length():
    def first_pixel(batch):  # whole and left crops begin at the left end, centre and right ones a quarter on
        return batch[:, 0, 0, :2].astype(np.float32)

    image = np.zeros((32, 64, 3), np.uint8)
    image[:, :8, 0] = 200
    image[:, 8:, 1] = 3
    plan = ViewPlan(sides=(64,), crops="five", min_side=1)
    found = describe_scaled([scale_image(image, plan)], plan, first_pixel, batch_size=4)
    np.testing.assert_allclose(found, [[np.sqrt(0.5)] * 2], rtol=1e-6)  # three views of either kind


def test_views_of_one_shape_go_through_together_and_each_image_gets_its_own():
    shapes = []

    def run(batch):
        shapes.append(batch.shape[:3])
        return halves(batch)

    wide, high = (32, 64), (64, 32)
    images = [split_image(20 * n + 1, 90, *(wide if n % 2 == 0 else high)) for n in range(5)]
    plan = ViewPlan(sides=(64,), flip=True)
    scaled = [scale_image(image, plan) for image in images]
    together = describe_scaled(scaled, plan, run, batch_size=4)
    assert shapes == [(4, 32, 64), (2, 32, 64), (4, 64, 32)]  # three wide images and two high ones, each mirrored too
    alone = [describe_scaled([each], plan, halves, batch_size=1) for each in scaled]
    np.testing.assert_array_equal(together, np.concatenate(alone))


def test_networks_are_joined_to_unit_vectors_whose_products_are_the_mean_of_theirs():
    one, other = np.array([[1, 0], [0.6, 0.8]], "f4"), np.array([[0, 0, 1], [0, 0.6, 0.8]], "f4")
    joined = join_descriptors([one, other])
    np.testing.assert_allclose(joined[0], np.array([1, 0, 0, 0, 1]) / np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(joined, axis=1), 1, rtol=1e-6)
    assert joined[0] @ joined[1] == pytest.approx((0.6 + 0.8) / 2)
    assert join_descriptors([one]).tolist() == one.tolist()


def test_sides_are_read():
    assert parse_sides("256") == (256,)
    assert parse_sides(" 4096  32 ") == (4096, 32)


@pytest.mark.parametrize("text", ["", "31", "4097", "256,384", "256.0", "-256", "1e3", "٢٥٦", "9" * 5000])
def test_sides_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match="sides should be integers from 32 to 4096, spaces between. Received: "):
        parse_sides(text)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="sides should each be named once. Received: '64 064'"):
        parse_sides("64 064")
    with pytest.raises(ValueError, match=r"from 32 to 4096 pixels, at least one. Received: \(\)"):
        ViewPlan(sides=())
    with pytest.raises(ValueError, match=r"min_side should be from 1 to the least of \(64,\). Received: 75"):
        ViewPlan(sides=(64,), min_side=75)
    with pytest.raises(ValueError, match="crops should be one of none, five. Received: 'ten'"):
        ViewPlan(crops="ten")
    with pytest.raises(ValueError, match="at least one image"):
        describe_scaled([], ViewPlan(), halves, batch_size=4)
    with pytest.raises(ValueError, match="at least one network"):
        join_descriptors([])
