import numpy as np
import pytest

from landmark_spark.core.dense_features import find_cells


def blocks(batch):
    """A network of stride 8 without weights: the mean of each block's red and green, and the blue as its score."""
    count, height, width, _ = batch.shape
    assert height % 64 == width % 64 == 0
    return batch.reshape(count, height // 8, 8, width // 8, 8, 3).mean(axis=(2, 4)).astype(np.float32)


class Recorded:
    def __init__(self):
        self.shapes = []

    def __call__(self, batch):
        self.shapes.append(batch.shape)
        return blocks(batch)


def image(height, width, place=None):
    pixels = np.zeros((height, width, 3), np.uint8)
    if place is not None:
        pixels[place[1] : place[1] + 8, place[0] : place[0] + 8] = (10, 20, 200)
    return pixels


def test_a_block_is_found_where_it_is_and_with_its_values():
    (cells,) = find_cells([image(64, 96, place=(40, 16))], blocks, scales=[1.0], stride=8)
    assert cells.centres.shape == (96, 2)
    best = int(cells.scores.argmax())
    assert cells.centres[best].tolist() == [43.5, 19.5]
    assert (cells.features[best].tolist(), float(cells.scores[best])) == ([10, 20], 200)


def test_what_was_filled_in_gives_no_cells():
    (cells,) = find_cells([image(40, 33)], blocks, scales=[1.0], stride=8)
    assert cells.centres.shape == (5 * 4, 2)  # the fifth column's centre, 35.5, is beyond the image
    assert cells.centres.max(axis=0).tolist() == [27.5, 35.5]


def test_images_of_one_size_go_together_and_come_back_in_their_order():
    run = Recorded()
    images = [image(64, 64, place=(0, 0)), image(64, 128, place=(8, 0)), image(60, 64, place=(16, 0))]
    found = find_cells(images, run, scales=[1.0], stride=8)
    assert run.shapes == [(2, 64, 64, 3), (1, 64, 128, 3)]
    assert [each.centres[each.scores.argmax()].tolist() for each in found] == [[3.5, 3.5], [11.5, 3.5], [19.5, 3.5]]


def test_the_scales_come_one_after_the_other_all_in_pixels_of_the_image():
    (cells,) = find_cells([image(64, 64, place=(16, 16))], blocks, scales=[1.0, 0.5, 2.0], stride=8)
    assert len(cells.centres) == 64 + 16 + 256
    assert cells.centres[64].tolist() == [7.5, 7.5]
    doubled = cells.centres[80:][cells.scores[80:] > 100]
    assert doubled.mean(axis=0).tolist() == [19.5, 19.5]


def test_a_scale_at_which_a_side_is_below_32_pixels_is_left_out():
    (cells,) = find_cells([image(40, 64)], blocks, scales=[0.5, 1.0], stride=8)
    assert len(cells.centres) == 5 * 8
    (cells,) = find_cells([image(20, 64)], blocks, scales=[1.0], stride=8)
    assert cells.centres.shape == (0, 2)


@pytest.mark.parametrize("images", [[], [image(20, 20)]])
def test_without_large_enough_images_the_network_is_not_called(images):
    def never(batch):
        raise AssertionError

    assert len(find_cells(images, never, scales=[1.0], stride=8)) == len(images)
