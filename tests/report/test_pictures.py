import numpy as np
import pytest

from landmark_spark.core.images import decode_jpeg
from landmark_spark.report.pictures import (
    LINE_COLORS,
    MAX_LINES,
    add_caption,
    draw_matches,
    encode_picture,
    mark_keypoints,
)

GREY = np.full((320, 320, 3), 90, np.uint8)
YELLOW = np.array(LINE_COLORS[0])


def drawn(test_points, reference_points, inliers, *, test=GREY, reference=GREY, **options):
    points = [np.array(each, np.float32).reshape(-1, 2) for each in (test_points, reference_points)]
    return decode_jpeg(draw_matches(test, reference, *points, np.array(inliers, bool), **options))


def is_near(pixel, color, tolerance=40):
    return np.abs(pixel.astype(int) - color).max() <= tolerance


def test_an_inlier_is_a_line_with_a_dot_at_each_end():
    picture = drawn([[100, 160]], [[200, 160]], [True])
    assert picture.shape == (320, 320 + 8 + 320, 3)
    for x in (100, 150, 300, 450, 328 + 200):
        assert is_near(picture[160, x], YELLOW), x
    for x, y in ((80, 160), (328 + 220, 160), (300, 150), (450, 170)):
        assert is_near(picture[y, x], 90, 8), (x, y)


def test_a_slanted_line_passes_through_its_middle():
    picture = drawn([[0, 0]], [[311, 200]], [True])  # from (0, 0) to (639, 200)
    assert is_near(picture[100, 319], YELLOW) or is_near(picture[100, 320], YELLOW)


def test_other_matches_are_grey_dots_without_a_line():
    picture = drawn([[100, 160]], [[200, 160]], [False])
    for x in (100, 328 + 200):
        assert is_near(picture[160, x], 150, 12)
    assert is_near(picture[160, 200], 90, 8)
    assert np.ptp(picture[:, :320].astype(int), axis=2).max() <= 12  # nothing has a hue


def test_points_are_scaled_with_their_image():
    large = np.full((640, 800, 3), 90, np.uint8)  # halved: 400 x 320
    small = np.full((160, 160, 3), 90, np.uint8)  # doubled: 320 x 320
    picture = drawn([[200, 400]], [[40, 100]], [True], test=large, reference=small)
    assert picture.shape == (320, 400 + 8 + 320, 3)
    assert is_near(picture[200, 100], YELLOW)
    assert is_near(picture[200, 408 + 80], YELLOW)
    assert is_near(picture[200, 60], 90, 8)


def test_a_panorama_is_made_no_wider_than_twice_the_height_and_stands_in_the_middle():
    panorama = np.full((100, 1000, 3), 200, np.uint8)  # 640 x 64, rows 128 to 191
    picture = drawn([[500, 50]], [[160, 160]], [True], test=panorama)
    assert picture.shape == (320, 640 + 8 + 320, 3)
    assert picture[110, 100].max() < 50
    assert picture[140, 100].min() > 180
    assert is_near(picture[160, 320], YELLOW)


def test_the_colours_of_the_images_are_kept_in_their_order():
    red, blue = GREY.copy(), GREY.copy()
    red[:], blue[:] = (200, 30, 30), (30, 30, 200)
    picture = drawn([], [], [], test=red, reference=blue)
    assert is_near(picture[10, 10], (200, 30, 30), 6)
    assert is_near(picture[10, 400], (30, 30, 200), 6)


def test_many_inliers_have_a_dot_each_but_only_some_a_line():
    ys = np.arange(20, 320, 2)  # 150 inliers, level with each other
    left = np.stack([np.full(150, 300), ys], axis=1)
    right = np.stack([np.full(150, 20), ys], axis=1)
    picture = drawn(left, right, np.ones(150, bool))
    is_line = picture[:, 324].max(axis=1) > 120  # in the dark gap between the images
    num_lines = np.count_nonzero(np.diff(np.flatnonzero(is_line)) > 1) + 1
    assert MAX_LINES / 2 <= num_lines <= MAX_LINES
    assert not is_near(picture[318, 300], 90, 8)


def test_the_picture_has_the_height_asked_for_and_leaves_the_images_as_they_are():
    before = GREY.copy()
    picture = drawn([[5, 5]], [[5, 5]], [True], height=200)
    assert picture.shape == (200, 408, 3)
    assert np.array_equal(before, GREY)


def test_the_same_matches_give_the_same_bytes():
    points = np.array([[10.5, 20.25], [300, 40]])
    inliers = np.array([True, False])
    assert draw_matches(GREY, GREY, points, points, inliers) == draw_matches(GREY, GREY, points, points, inliers)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": 31}, "height should be at least 32. Received: 31"),
        ({"test": GREY[:, :, 0]}, r"test_image should be \(H, W, 3\) uint8. Received: \(320, 320\)"),
        ({"reference": GREY.astype(float)}, "reference_image should be"),
        ({"inliers": [True, False]}, r"test_points should be \(2, 2\)"),
        ({"reference_points": [[np.nan, 1]]}, "reference_points should be finite"),
    ],
)
def test_wrong_arguments_are_refused(changes, message):
    arguments = {"test_points": [[1, 1]], "reference_points": [[1, 1]], "inliers": [True]} | changes
    with pytest.raises(ValueError, match=message):
        drawn(**arguments)


def test_inliers_that_are_no_truth_values_are_refused():
    with pytest.raises(ValueError, match=r"inliers should be \(K,\) bool. Received: \(1,\) int64"):
        draw_matches(GREY, GREY, np.ones((1, 2)), np.ones((1, 2)), np.array([1]))


def test_keypoints_are_marked_on_a_copy():
    marked = mark_keypoints(GREY, np.array([[100, 50], [319.6, -3], [np.nan, 5]]))
    assert is_near(marked[50, 100], 150, 5)
    assert is_near(marked[0, 319], 150, 5)  # the nearest pixel there is
    assert np.count_nonzero(marked.max(axis=2) > 95) <= 18  # two dots of three pixels by three
    assert GREY.max() == 90


def test_a_caption_stands_below_the_picture():
    one, two = add_caption(GREY, ["one"]), add_caption(GREY, ["one", "two"])
    assert np.array_equal(one[:320], GREY)
    assert one.shape[0] - 320 < two.shape[0] - 320 < 2 * (one.shape[0] - 320)
    for captioned in (one, two):
        rows = np.flatnonzero(captioned[320:].max(axis=(1, 2)) > 120)
        assert rows.size
        assert rows.max() < captioned.shape[0] - 320 - 4


@pytest.mark.parametrize("letter", ["é", "ù", "ß", "ł", "Ω", "Д", "ș", "„"])
def test_letters_of_most_of_europe_have_a_shape_of_their_own(letter):
    assert not np.array_equal(add_caption(GREY, [letter]), add_caption(GREY, ["\ue000"]))  # which nobody has


def test_a_caption_that_would_not_fit_is_shrunk():
    wide = np.full((100, 640, 3), 90, np.uint8)
    line = "a line of a hundred letters, which the usual size has no place for within the width of this picture"
    captioned = add_caption(wide, [line])
    columns = np.flatnonzero(captioned[100:].max(axis=(0, 2)) > 120)
    assert 560 < columns.max() < 632  # it takes the width, and leaves the margin


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".jpg", b"\xff\xd8\xff"), (".jpeg", b"\xff\xd8")])
def test_a_picture_is_encoded_by_its_suffix(suffix, start):
    assert encode_picture(GREY, suffix).startswith(start)
    with pytest.raises(ValueError, match="suffix should be .png, .jpg or .jpeg. Received: '.gif'"):
        encode_picture(GREY, ".gif")
