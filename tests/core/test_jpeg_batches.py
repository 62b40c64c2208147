import numpy as np
import pytest

from landmark_spark.core.images import decode_jpeg, encode_jpeg
from landmark_spark.core.jpeg_batches import DamagedImageError, JpegDecoder

JPEGS = [encode_jpeg(np.full((32, 32, 3), grey, np.uint8), 95) for grey in (0, 50, 100, 150, 200)]
NAMES = ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("num_threads", [1, 2, 8])
def test_every_picture_stands_in_its_place(num_threads):
    with JpegDecoder(32, num_threads=num_threads) as decoder:
        first, second = decoder.start(JPEGS, NAMES), decoder.start(JPEGS[::-1], NAMES[::-1])
        assert np.array_equal(first(), np.stack([decode_jpeg(data) for data in JPEGS]))
        assert np.array_equal(second(), first()[::-1])


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (b"no picture", "the stored picture c should be a JPEG. Received: .*10 bytes"),
        (encode_jpeg(np.zeros((16, 32, 3), np.uint8), 95), r"picture c should be of shape \(32, 32, 3\). Received"),
    ],
)
def test_a_damaged_picture_is_named(damaged, reason):
    with JpegDecoder(32, num_threads=2) as decoder, pytest.raises(DamagedImageError, match=reason):
        decoder.start([*JPEGS[:2], damaged, *JPEGS[3:]], NAMES)()
