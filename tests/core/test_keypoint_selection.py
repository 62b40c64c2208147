import numpy as np
import pytest

from landmark_spark.core.keypoint_selection import cell_centres, has_texture, select_keypoints


def test_a_cell_of_stride_8_covers_pixels_0_to_7_whose_middle_is_at_3_and_a_half():
    centres = cell_centres(8, resized=(16, 24), original=(16, 24))
    assert centres.tolist() == [[3.5, 3.5], [11.5, 3.5], [19.5, 3.5], [3.5, 11.5], [11.5, 11.5], [19.5, 11.5]]
    assert centres.dtype == np.float32


def test_in_an_image_made_half_as_large_a_cell_of_8_covers_16_pixels():
    assert cell_centres(8, resized=(16, 8), original=(32, 16)).tolist() == [[7.5, 7.5], [7.5, 23.5]]


def test_each_axis_has_its_own_factor_and_a_last_cell_that_is_only_touched_counts():
    # Height 10 to 5: one cell, its centre at (4) * 2 - 0.5. Width 9: cells 0 to 7 and 8 to 15.
    assert cell_centres(8, resized=(5, 9), original=(10, 9)).tolist() == [[3.5, 7.5], [11.5, 7.5]]


POINTS = np.array([[0, 0], [3, 0], [0, 4], [10, 10]], np.float32)
SCORES = np.array([1, 2, 1, 1], np.float32)


def chosen(**changed):
    settings = {"max_keypoints": 10, "radius": 0.0, **changed}
    return select_keypoints(POINTS, SCORES, **settings).tolist()


def test_the_strongest_come_first_and_of_equal_ones_the_earlier():
    assert chosen() == [1, 0, 2, 3]
    assert chosen(max_keypoints=2) == [1, 0]


def test_what_is_nearer_than_the_radius_to_a_stronger_one_is_left_out():
    assert chosen(radius=3.0) == [1, 0, 2, 3]  # (0, 0) is at 3 from (3, 0): not nearer
    assert chosen(radius=3.5) == [1, 2, 3]
    assert chosen(radius=5.5) == [1, 3]  # (0, 4) is at 5 from (3, 0)
    assert chosen(radius=3.5, max_keypoints=2) == [1, 2]


def test_one_that_was_left_out_suppresses_none():
    points = np.array([[0, 0], [2, 0], [4, 0]], np.float32)
    assert select_keypoints(points, np.array([3, 2, 1]), max_keypoints=9, radius=3.0).tolist() == [0, 2]


def test_of_no_keypoints_none_is_chosen():
    assert select_keypoints(POINTS[:0], SCORES[:0], max_keypoints=5, radius=2.0).tolist() == []


@pytest.mark.parametrize("changed", [{"max_keypoints": 0}, {"radius": -1.0}, {"radius": float("nan")}])
def test_numbers_out_of_range_are_refused(changed):
    with pytest.raises(ValueError, match="max_keypoints should be at least 1 and radius at least 0"):
        chosen(**changed)


def test_a_stride_of_nothing_is_refused():
    with pytest.raises(ValueError, match="stride and sizes should be at least 1"):
        cell_centres(0, resized=(8, 8), original=(8, 8))


def test_texture_is_what_is_finer_than_a_few_pixels_and_louder_than_noise():
    image = np.full((128, 256, 3), 128, np.uint8)
    image[:, 128:] = np.where(np.arange(128) % 4 < 2, 100, 156).astype(np.uint8)[None, :, None]  # stripes: 28 levels
    points = np.array([[40, 64], [200, 64], [-0.5, -0.5], [255.5, 127.5]], np.float32)
    assert has_texture(image, points).tolist() == [False, True, False, True]
    slope = np.repeat(np.linspace(0, 255, 256)[None, :, None], 128, axis=0).repeat(3, axis=2).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 11, (128, 256, 1), dtype=np.uint8).repeat(3, axis=2)  # deviation 3.2
    for blank in (slope, noise):
        assert not has_texture(blank, points[:2]).any()
    assert has_texture(image, np.zeros((0, 2), np.float32)).shape == (0,)
