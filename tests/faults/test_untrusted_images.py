"""Pictures from strangers: decoded, or an ImageError with one of its three statuses; nothing else is raised."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image
from untrusted import NUM_INPUTS, damaged

from landmark_spark.core.images import ImageError, decode_image, decode_jpeg, encode_jpeg
from landmark_spark.core.pictures import PicturePlan, make_pictures

STATUSES = {"not_an_image", "truncated", "decompression_bomb"}
MAX_PIXELS = 10_000
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8))
FORMATS = {
    "JPEG": {
        "exif": b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"
        + b"\x00" * 4
    },
    "PNG": {},
    "WEBP": {},
    "GIF": {},
    "BMP": {},
    "TIFF": {},
    "PPM": {},
    "JPEG2000": {},
    "AVIF": {},
}


def encoded(name, options):
    file = io.BytesIO()
    PICTURE.save(file, name, **options)
    return file.getvalue()


def files():
    found = {name: encoded(name, options) for name, options in FORMATS.items()}
    found["JPEG progressive"] = encoded("JPEG", {"progressive": True, "optimize": True})
    found["TIFF lzw"] = encoded("TIFF", {"compression": "tiff_lzw"})
    for mode in ("L", "P", "CMYK", "RGBA", "I;16", "F"):
        file = io.BytesIO()
        name = {"CMYK": "JPEG", "F": "TIFF"}.get(mode, "PNG")
        source = (
            Image.fromarray(np.arange(480, dtype=np.uint16).reshape(24, 20) * 100)
            if mode == "I;16"
            else PICTURE.convert(mode)
        )
        source.save(file, name)
        found[f"{name} {mode}"] = file.getvalue()
    return found


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of damage, and then raises or not
        yield


def test_damaged_pictures_are_decoded_or_have_a_status():
    num_decoded, seen = 0, set()
    for data in damaged(list(files().values())):
        try:
            image = decode_image(data, max_pixels=MAX_PIXELS)
        except ImageError as error:
            assert error.status in STATUSES
            str(error).encode(errors="backslashreplace")
            seen.add(error.status)
            continue
        num_decoded += 1
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        assert 0 < image.shape[0] * image.shape[1] <= MAX_PIXELS
    assert seen == STATUSES
    assert 1000 < num_decoded < 9900


@pytest.mark.parametrize("mode", ["stretch", "crop", "pad"])
def test_damaged_pictures_become_stored_ones_or_have_a_status(mode):
    plan = PicturePlan(16, mode, 90, 18, 90, MAX_PIXELS)
    sizes = set()
    for data in damaged([encoded("JPEG", {}), encoded("PNG", {}), encoded("GIF", {})], seed=1, count=NUM_INPUTS // 3):
        try:
            made = make_pictures(data, plan, with_large=True)
        except ImageError as error:
            assert error.status in STATUSES
            continue
        sizes.add(decode_jpeg(made.image).shape)
        assert max(decode_jpeg(made.large_image).shape) <= 18
    assert sizes == {(16, 16, 3)}


@pytest.mark.parametrize("size", [(1, 1), (1, 9999), (9999, 1), (2, 5000), (5000, 2)])
@pytest.mark.parametrize("mode", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("name", ["PNG", "JPEG"])
def test_pictures_of_extreme_shapes_are_stored(size, mode, name):
    file = io.BytesIO()
    Image.new("RGB", size, (200, 10, 10)).save(file, name)
    made = make_pictures(file.getvalue(), PicturePlan(32, mode, 90, 64, 90, MAX_PIXELS), with_large=True)
    assert (made.width, made.height) == size
    assert decode_jpeg(made.image).shape == (32, 32, 3)


def test_damaged_stored_jpegs_are_decoded_or_refused():
    valid = encode_jpeg(np.asarray(PICTURE), 90)
    for data in damaged(valid):
        try:
            assert decode_jpeg(data).dtype == np.uint8
        except ImageError as error:
            assert error.status == "not_an_image"


def test_a_size_that_only_the_header_has_is_refused_before_it_is_decoded():
    for width, height in ((65_535, 65_535), (10_001, 1), (101, 100)):
        data = bytearray(encoded("PNG", {}))
        data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
        with pytest.raises(ImageError) as caught:
            decode_image(bytes(data), max_pixels=MAX_PIXELS)
        assert caught.value.status in ("decompression_bomb", "not_an_image")
