"""Local features: RootSIFT by its definition, order and number of keypoints, packing to bytes and back."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

from landmark_spark.core.local_features import (
    KINDS,
    LocalFeatures,
    load_extractor,
    pack_array,
    unpack_descriptors,
    unpack_keypoints,
)


def _scene(seed: int = 0, height: int = 120, width: int = 160) -> np.ndarray:
    """Smoothed noise: corners and blobs at several scales."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.0), None, 0, 255, cv2.NORM_MINMAX)


def test_descriptors_are_root_sift_of_opencv_at_the_same_keypoints():
    image = _scene()
    features = load_extractor("sift", max_keypoints=5000)(image)
    found, raw = cv2.SIFT.create().detectAndCompute(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None)
    assert len(features.keypoints) == len(found) > 50
    definition = np.array([np.sqrt(each / np.abs(each).sum()) for each in raw])  # Arandjelovic and Zisserman, section 2
    order = sorted(range(len(found)), key=lambda index: (-found[index].response, found[index].pt, found[index].size))
    np.testing.assert_allclose(features.keypoints, [found[index].pt for index in order])
    np.testing.assert_allclose(
        np.sort(features.descriptors.astype(np.float64), axis=0), np.sort(definition, axis=0), atol=5e-4
    )


def test_shapes_dtypes_and_unit_length():
    features = load_extractor("sift", max_keypoints=5000)(_scene(height=90, width=150))
    assert (features.width, features.height) == (150, 90)
    assert features.keypoints.dtype == np.float32
    assert features.descriptors.dtype == np.float16
    assert features.descriptors.shape == (len(features.keypoints), 128)
    lengths = np.linalg.norm(features.descriptors.astype(np.float64), axis=1)
    np.testing.assert_allclose(lengths, 1.0, atol=1e-3)
    assert (features.keypoints >= 0).all()
    assert (features.keypoints < (150, 90)).all()


def test_blob_is_found_where_it_is_drawn_as_x_and_y():
    image = np.zeros((100, 200, 3), np.uint8)
    cv2.circle(image, (150, 40), 6, (255, 255, 255), -1)
    features = load_extractor("sift", max_keypoints=1)(cv2.GaussianBlur(image, (0, 0), 1.0))
    np.testing.assert_allclose(features.keypoints, [[150, 40]], atol=1.0)


@pytest.mark.parametrize("max_keypoints", [1, 10, 37])
def test_the_strongest_are_kept_and_never_more_than_asked_for(max_keypoints):
    everything = load_extractor("sift", max_keypoints=5000)(_scene())
    some = load_extractor("sift", max_keypoints=max_keypoints)(_scene())
    np.testing.assert_array_equal(some.keypoints, everything.keypoints[:max_keypoints])
    np.testing.assert_array_equal(some.descriptors, everything.descriptors[:max_keypoints])


def test_equally_strong_keypoints_are_kept_in_a_fixed_order():
    # Nine equal blobs: OpenCV returns all that are as strong as the last one it keeps; four are asked for.
    tile = np.zeros((64, 64, 3), np.uint8)
    cv2.circle(tile, (32, 32), 5, (255, 255, 255), -1)
    image = cv2.GaussianBlur(np.tile(tile, (3, 3, 1)), (0, 0), 1.0)
    features = load_extractor("sift", max_keypoints=4)(image)
    assert len(features.keypoints) == 4
    again = load_extractor("sift", max_keypoints=4)(image.copy())
    assert features.keypoints.tobytes() == again.keypoints.tobytes()
    assert features.descriptors.tobytes() == again.descriptors.tobytes()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (2, 2), (7, 9), (64, 64)])
def test_image_without_keypoints_gives_empty_arrays_of_the_right_width(shape):
    features = load_extractor("sift", max_keypoints=10)(np.full((*shape, 3), 128, np.uint8))
    assert features.keypoints.shape == (0, 2)
    assert features.descriptors.shape == (0, 128)
    assert (features.keypoints.dtype, features.descriptors.dtype) == (np.float32, np.float16)
    assert (features.height, features.width) == shape


def test_unknown_kind_and_impossible_number_are_refused():
    assert KINDS == ("sift",)
    with pytest.raises(ValueError, match=r"kind should be one of sift\. Received: 'orb'"):
        load_extractor("orb", max_keypoints=10)
    with pytest.raises(ValueError, match=r"max_keypoints should be at least 1\. Received: 0"):
        load_extractor("sift", max_keypoints=0)


@pytest.mark.parametrize(
    "image", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3), np.float32), np.zeros((0, 9, 3), np.uint8)]
)
def test_what_is_no_rgb_image_is_refused(image):
    with pytest.raises(ValueError, match=r"image should be \(H, W, 3\) uint8"):
        load_extractor("sift", max_keypoints=10)(image)


def test_packed_bytes_are_little_endian_rows():
    assert pack_array(np.array([[1.5, -2.0]], np.float32)) == struct.pack("<2f", 1.5, -2.0)
    assert pack_array(np.array([[1.5, -2.0]], np.float16)) == struct.pack("<2e", 1.5, -2.0)
    assert pack_array(np.array([[1.5, -2.0]], ">f4")) == struct.pack("<2f", 1.5, -2.0)
    column_major = np.asfortranarray(np.array([[1, 2], [3, 4]], np.float32))
    assert pack_array(column_major) == struct.pack("<4f", 1, 2, 3, 4)


def test_packed_features_read_back_unchanged():
    features = load_extractor("sift", max_keypoints=20)(_scene())
    keypoints = unpack_keypoints(pack_array(features.keypoints))
    descriptors = unpack_descriptors(pack_array(features.descriptors), 20)
    np.testing.assert_array_equal(keypoints, features.keypoints)
    np.testing.assert_array_equal(descriptors, features.descriptors)
    assert (keypoints.dtype, descriptors.dtype) == (np.float32, np.float16)


def test_no_keypoints_pack_to_no_bytes_and_read_back():
    assert pack_array(np.zeros((0, 128), np.float16)) == b""
    assert unpack_keypoints(b"").shape == (0, 2)
    assert unpack_descriptors(b"", 0).shape == (0, 0)


def test_lengths_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"keypoints should be packed in 8 bytes each\. Received: 12 bytes"):
        unpack_keypoints(bytes(12))
    for data, num_keypoints in [(bytes(10), 2), (b"", 2), (bytes(4), 0)]:
        with pytest.raises(ValueError, match=f"descriptors of {num_keypoints} keypoints.*{len(data)} bytes"):
            unpack_descriptors(data, num_keypoints)
    with pytest.raises(ValueError, match=r"num_keypoints should be at least 0\. Received: -1"):
        unpack_descriptors(b"", -1)


def test_array_that_is_no_short_float_is_refused():
    for array in (np.zeros(2, np.float64), np.zeros(2, np.int32)):
        with pytest.raises(ValueError, match="array should be float16 or float32"):
            pack_array(array)


def test_features_whose_shapes_disagree_are_refused():
    keypoints, descriptors = np.zeros((2, 2), np.float32), np.zeros((2, 8), np.float16)
    with pytest.raises(ValueError, match=r"keypoints should be of shape \(N, 2\)"):
        LocalFeatures(keypoints[:, :1], descriptors, 10, 10)
    with pytest.raises(ValueError, match=r"descriptors should be of shape \(2, D\)"):
        LocalFeatures(keypoints, descriptors[:1], 10, 10)
    with pytest.raises(ValueError, match="width and height should be at least 1"):
        LocalFeatures(keypoints, descriptors, 0, 10)
