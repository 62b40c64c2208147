"""The official files: byte for byte, by hand and on those that the official tool wrote; damaged bytes are refused."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landmark_spark.core.delf_files import DelfFeatures, decode_datum, decode_delf, encode_datum, encode_delf

NAMES = ["03", "04", "all_souls_000153", "f1", "hertford_000056", "love"]

# One feature with a descriptor of 2 values, written by hand after the encoding rules of protocol buffers: a field is
# its number x 8 + its wire type (2 = length before it, 5 = four bytes), then the value.
DATUM = b"\x0a\x03\x0a\x01\x02" + b"\x12\x0a\x0a\x08" + struct.pack("<2f", 0.6, 0.8)
FEATURE = (
    b"\x0a\x11"
    + DATUM
    + b"\x15"
    + struct.pack("<f", 12.5)  # x
    + b"\x1d"
    + struct.pack("<f", 7.0)  # y
    + b"\x25"
    + struct.pack("<f", 4.0)  # scale
    + b"\x2d"
    + struct.pack("<f", 0.0)  # orientation
    + b"\x35"
    + struct.pack("<f", 130.25)  # strength
)
FILE = b"\x0a\x2c" + FEATURE


@pytest.fixture(scope="module")
def official(delf_fixtures):
    return {name: (delf_fixtures / "features" / f"{name}.delf").read_bytes() for name in NAMES}


def test_bytes_written_by_hand_are_read_and_written():
    assert (len(DATUM), len(FEATURE)) == (0x11, 0x2C)
    features = decode_delf(FILE)
    assert features.keypoints.tolist() == [[12.5, 7.0]]  # x before y
    np.testing.assert_array_equal(features.descriptors, np.array([[0.6, 0.8]], np.float32))
    assert (features.scales.tolist(), features.orientations.tolist(), features.strengths.tolist()) == (
        [4.0],
        [0.0],
        [130.25],
    )
    assert all(each.dtype == np.float32 for each in vars(features).values())
    assert encode_delf(features) == FILE
    assert decode_datum(DATUM).tolist() == np.array([0.6, 0.8], np.float32).tolist()
    assert encode_datum(np.array([0.6, 0.8])) == DATUM


@pytest.mark.parametrize("name", NAMES)
def test_files_of_the_official_tool_come_back_byte_for_byte(official, name):
    features = decode_delf(official[name])
    assert encode_delf(features) == official[name]
    assert features.descriptors.shape == (len(features.keypoints), 40)
    assert 1 <= len(features.keypoints) <= 1454
    np.testing.assert_allclose(np.linalg.norm(features.descriptors, axis=1), 1.0, atol=1e-5)
    published = 1 / np.array([0.25, 0.3536, 0.5, 0.7071, 1.0, 1.4142, 2.0])
    assert np.isclose(features.scales[:, None], published, rtol=1e-3).any(axis=1).all()
    assert (features.orientations == 0).all()
    assert (np.diff(features.strengths) <= 0).all()  # the strongest first
    assert features.strengths.min() >= (50 if name == "f1" else 100)  # 100 as published; one was made with 50


def test_keypoints_of_an_official_file_lie_in_its_picture(official, delf_fixtures):
    height, width = cv2.imread(str(delf_fixtures / "features" / "love.jpg")).shape[:2]
    keypoints = decode_delf(official["love"]).keypoints
    assert (keypoints >= 0).all()
    assert (keypoints <= (width, height)).all()
    assert keypoints.max(axis=0)[0] > 0.8 * width  # x runs along the width


def test_pca_files_of_the_official_export_are_rows_of_1024(delf_fixtures):
    folder = delf_fixtures / "delf_v1_20171026" / "pca"
    for name in ("mean", "pca_variances"):
        data = (folder / f"{name}.datum").read_bytes()
        assert decode_datum(data).shape == (1, 1024)
        assert encode_datum(decode_datum(data)) == data
    variances = decode_datum((folder / "pca_variances.datum").read_bytes())
    assert (variances > 0).all()


def test_arrays_keep_their_shape_in_row_major_order():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(decode_datum(encode_datum(array)), array)
    np.testing.assert_array_equal(decode_datum(encode_datum(np.asfortranarray(array))), array)
    assert decode_datum(encode_datum(np.zeros((0, 4)))).shape == (0, 4)


def test_values_that_are_not_packed_and_unknown_fields_are_read_as_the_format_allows():
    one_by_one = b"\x0a\x02\x08\x02" + b"\x12\x0a" + b"\x0d" + struct.pack("<f", 1.5) + b"\x0d" + struct.pack("<f", 2.5)
    assert decode_datum(one_by_one + b"\x98\x06\x01").tolist() == [1.5, 2.5]  # field 99: 1


def test_no_features_are_no_bytes():
    features = decode_delf(b"")
    assert (features.keypoints.shape, features.descriptors.shape) == ((0, 2), (0, 0))
    assert encode_delf(features) == b""


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (FILE[:-1], "DelfFeatures should be a protocol buffer. Received: 45 bytes"),
        (b"JFIF", "should be a protocol buffer"),
        (b"\x0a\x00", "feature 0 of a .delf file should have descriptor, x, y. Received: none"),
        (b"\x0a\x18" + FEATURE[:24], "feature 0 of a .delf file should have y"),
        (FILE.replace(b"\x0a\x01\x02", b"\x0a\x01\x03"), r"descriptor of feature 0 .* Received: \(3,\), 2 values"),
        (FILE.replace(struct.pack("<f", 12.5), struct.pack("<f", np.nan)), "x and y .* should be finite"),
        (FILE + b"\x0a\x24" + b"\x0a\x09" + b"\x0a\x03\x0a\x01\x00" + b"\x12\x02\x0a\x00" + FEATURE[19:], "one length"),
    ],
)
def test_what_is_no_delf_file_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        decode_delf(data)


@pytest.mark.parametrize(
    "data", [b"", b"\x0a\x03\x0a\x01\x02", DATUM[:-1], DATUM.replace(b"\x0a\x01\x02", b"\x0a\x01\x05")]
)
def test_what_is_no_datum_file_is_refused(data):
    with pytest.raises(ValueError, match="should"):
        decode_datum(data)


def test_a_shape_that_overflows_is_refused():
    many = b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f"  # 2**63 - 1
    with pytest.raises(ValueError, match="as many values as its shape says"):
        decode_datum(b"\x0a\x14\x0a\x12" + many + many + DATUM[5:])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_give_features_or_a_value_error(data):
    _reads_or_refuses(data)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2 * len(FILE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_files_give_features_or_a_value_error(changes):
    damaged = bytearray(FILE * 2)
    for place, value in changes:
        damaged[place] = value
    _reads_or_refuses(bytes(damaged))


def _reads_or_refuses(data):
    for decode, encode in ((decode_delf, encode_delf), (decode_datum, encode_datum)):
        try:
            found = decode(data)
        except ValueError:
            continue
        again = decode(encode(found))  # what was read can be written, and says the same
        for one, other in zip(_arrays(found), _arrays(again), strict=True):
            np.testing.assert_array_equal(one, other)


def _arrays(found):
    return [found] if isinstance(found, np.ndarray) else list(vars(found).values())


def test_features_whose_shapes_disagree_are_refused():
    two, wrong = np.zeros((2, 2), np.float32), np.zeros(3, np.float32)
    with pytest.raises(ValueError, match=r"keypoints should be of shape \(N, 2\)"):
        DelfFeatures(two[:, :1], two, wrong, wrong, wrong)
    with pytest.raises(ValueError, match=r"descriptors should be of shape \(2, D\)"):
        DelfFeatures(two, two[:1], wrong[:2], wrong[:2], wrong[:2])
    with pytest.raises(ValueError, match=r"strengths should be of shape \(2,\)\. Received: \(3,\)"):
        DelfFeatures(two, two, wrong[:2], wrong[:2], wrong)
