import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngInfo

from landmark_spark.core.images import (
    ImageError,
    decode_image,
    decode_jpeg,
    decode_jpegs,
    encode_jpeg,
)

PLENTY = 10**8


def file_of(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def grey_ramp(height: int, width: int) -> np.ndarray:
    values = np.linspace(0, 255, height * width).reshape(height, width, 1)
    return np.repeat(values, 3, axis=2).astype(np.uint8)


def status_of(data: bytes, max_pixels: int = PLENTY) -> str:
    with pytest.raises(ImageError) as caught:
        decode_image(data, max_pixels=max_pixels)
    return caught.value.status


# Each picture is two pixels: red, then blue.
RED_BLUE = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_lossless_kinds_decode_to_their_pixels(kind):
    image = decode_image(file_of(RED_BLUE, kind), max_pixels=PLENTY)
    assert image.dtype == np.uint8
    assert image.tolist() == [[[255, 0, 0], [0, 0, 255]]]


@pytest.mark.parametrize(
    ("kind", "options"), [("WEBP", {"lossless": True}), ("JPEG2000", {}), ("AVIF", {}), ("JPEG", {})]
)
def test_the_other_kinds_of_the_web_decode_too(kind, options):
    picture = Image.new("RGB", (32, 16), (200, 100, 50))
    image = decode_image(file_of(picture, kind, **options), max_pixels=PLENTY)
    assert image.shape == (16, 32, 3)
    assert np.abs(image.astype(int) - [200, 100, 50]).max() <= 3


def test_grey_palette_and_cmyk_become_rgb():
    grey = decode_image(file_of(Image.new("L", (2, 1), 77)), max_pixels=PLENTY)
    assert grey.tolist() == [[[77, 77, 77]] * 2]
    bilevel = decode_image(file_of(Image.new("1", (2, 1), 1)), max_pixels=PLENTY)
    assert bilevel.tolist() == [[[255, 255, 255]] * 2]
    palette = decode_image(file_of(RED_BLUE.convert("P", palette=Image.Palette.ADAPTIVE)), max_pixels=PLENTY)
    assert palette.tolist() == [[[255, 0, 0], [0, 0, 255]]]
    # cyan ink at 255 leaves no red: 255 - 255 = 0; the other inks are absent
    cmyk = decode_image(file_of(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", quality=95), max_pixels=PLENTY)
    assert np.abs(cmyk.astype(int) - [0, 255, 255]).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_and_not_clipped(kind):
    values = np.array([[0, 256, 32768, 65535]], np.uint16)
    image = decode_image(file_of(Image.fromarray(values), kind), max_pixels=PLENTY)
    # v * 255 / 65535 = v / 257: 0, 0.996, 127.502, 255
    assert image[0, :, 0].tolist() == [0, 1, 128, 255]
    assert np.array_equal(image[..., 0], image[..., 2])


def test_16_bit_colour_keeps_its_upper_byte():
    pixels = struct.pack(">6H", 0, 0x80FF, 65535, 0x1234, 0xABCD, 0x00FF)
    data = png_of_size(2, 1, bits=16, rows=b"\x00" + pixels)
    assert decode_image(data, max_pixels=PLENTY).tolist() == [[[0, 0x80, 255], [0x12, 0xAB, 0]]]


def test_float_grey_takes_the_smallest_white_that_holds_it():
    small = decode_image(file_of(Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)), "TIFF"), max_pixels=PLENTY)
    assert small[0, :, 0].tolist() == [0, 128, 255]  # 127.5 rounds to even
    large = decode_image(file_of(Image.fromarray(np.array([[-5, np.nan, 51]], np.float32)), "TIFF"), max_pixels=PLENTY)
    assert large[0, :, 0].tolist() == [0, 0, 51]


def test_transparency_is_composited_on_white():
    layer = Image.fromarray(np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [0, 0, 0, 51]]], np.uint8))
    image = decode_image(file_of(layer), max_pixels=PLENTY)
    assert image[0, :, 0].tolist() == [255, 0, 204]  # 255 * (1 - 51 / 255)
    keyed = decode_image(file_of(RED_BLUE, transparency=(0, 0, 255)), max_pixels=PLENTY)
    assert keyed.tolist() == [[[255, 0, 0], [255, 255, 255]]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([9, 9, 9, 40, 50, 60])
    palette.putdata([0, 1])
    shown = decode_image(file_of(palette, "GIF", transparency=0), max_pixels=PLENTY)
    assert shown.tolist() == [[[255, 255, 255], [40, 50, 60]]]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "MPO"])
def test_the_first_frame_of_an_animation_is_taken(kind):
    frames = [Image.new("RGB", (4, 4), color) for color in ((255, 0, 0), (0, 0, 255))]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = file_of(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert np.abs(decode_image(data, max_pixels=PLENTY)[0, 0].astype(int) - [255, 0, 0]).max() <= 1  # MPO is lossy


# Stored rows of "1 2 3 / 4 5 6"; where EXIF 2.32 says the first stored row and column lie, for each orientation.
UPRIGHT = {
    1: [[1, 2, 3], [4, 5, 6]],
    2: [[3, 2, 1], [6, 5, 4]],
    3: [[6, 5, 4], [3, 2, 1]],
    4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]],
    6: [[4, 1], [5, 2], [6, 3]],
    7: [[6, 3], [5, 2], [4, 1]],
    8: [[3, 6], [2, 5], [1, 4]],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_exif_orientation_is_applied_once(orientation, kind):
    picture = Image.fromarray(np.array([[1, 2, 3], [4, 5, 6]], np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode_image(file_of(picture, kind, exif=exif), max_pixels=PLENTY)
    assert image[..., 0].tolist() == UPRIGHT[orientation]


def test_a_phone_photo_stored_sideways_stands_upright():
    # orientation 6: the left half of the stored picture becomes the upper half
    stored = np.zeros((16, 32, 3), np.uint8)
    stored[:, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    image = decode_image(file_of(Image.fromarray(stored), "JPEG", exif=exif), max_pixels=PLENTY)
    assert image.shape == (32, 16, 3)
    assert image[:16].min() > 250 and image[16:].max() < 5


@pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")
def test_damaged_exif_does_not_lose_the_picture():
    jpeg = file_of(RED_BLUE, "JPEG", exif=b"Exif\x00\x00MM\x00*garbage beyond any table")
    assert decode_image(jpeg, max_pixels=PLENTY).shape == (1, 2, 3)
    text = PngInfo()
    text.add_text("Raw profile type exif", "\nexif\n 4\nno hexadecimal digits")
    png = file_of(RED_BLUE, "PNG", pnginfo=text)
    with pytest.raises(ValueError, match="hexadecimal"), Image.open(io.BytesIO(png)) as picture:
        picture.getexif()
    assert decode_image(png, max_pixels=PLENTY).tolist() == [[[255, 0, 0], [0, 0, 255]]]


def test_a_bomb_is_refused_on_the_word_of_its_header():
    data = file_of(Image.new("1", (1000, 1000)))
    assert len(data) < 1000
    assert decode_image(data, max_pixels=1_000_000).shape == (1000, 1000, 3)
    assert status_of(data, max_pixels=999_999) == "decompression_bomb"


def png_of_size(width: int, height: int, bits: int = 8, rows: bytes = b"") -> bytes:
    """An RGB PNG whose header promises a size, with these rows behind it, or none."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_pillows_own_bomb_limit_is_a_status_too():
    assert status_of(png_of_size(50_000, 50_000), max_pixels=10**10) == "decompression_bomb"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_cut_short_is_truncated(kind, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = file_of(Image.fromarray(noise), kind)
    assert status_of(data[: int(len(data) * share)]) == "truncated"


@pytest.mark.parametrize(
    "data",
    [b"", b"<html>404</html>", b"\x00" * 1000, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", png_of_size(0, 5)],
)
def test_what_is_no_picture_says_so(data):
    assert status_of(data) == "not_an_image"


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF"])
def test_damaged_files_raise_nothing_but_image_errors(kind):
    generator = np.random.default_rng(3)
    sound = file_of(Image.fromarray(grey_ramp(16, 16)), kind)
    num_failures = 0
    for _ in range(60):
        damaged = bytearray(sound)
        for place in generator.integers(0, len(sound), 8):
            damaged[place] = generator.integers(0, 256)
        try:
            decoded = decode_image(bytes(damaged), max_pixels=10**6)
            assert decoded.dtype == np.uint8 and decoded.shape[2] == 3
        except ImageError as error:
            assert error.status in ("not_an_image", "truncated", "decompression_bomb")
            num_failures += 1
    assert num_failures > 0


def test_pillows_global_state_stays_as_it_was():
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    status_of(png_of_size(50_000, 50_000), max_pixels=10**10)
    status_of(b"\xff\xd8\xff")
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


def test_jpegs_of_ours_come_back_in_rgb_and_the_same_each_time():
    image = np.zeros((16, 16, 3), np.uint8)
    image[:] = (200, 100, 50)
    data = encode_jpeg(image, 95)
    assert data == encode_jpeg(image.copy(), 95)
    assert np.abs(decode_jpeg(data).astype(int) - [200, 100, 50]).max() <= 2
    with Image.open(io.BytesIO(data)) as theirs:
        assert np.abs(np.asarray(theirs).astype(int) - [200, 100, 50]).max() <= 2
    assert len(encode_jpeg(grey_ramp(64, 64), 20)) < len(encode_jpeg(grey_ramp(64, 64), 95))


def test_a_batch_of_jpegs_is_the_stack_of_each():
    jpegs = [encode_jpeg(np.full((8, 12, 3), value, np.uint8), 95) for value in (10, 200)]
    batch = decode_jpegs(jpegs)
    assert batch.shape == (2, 8, 12, 3)
    assert np.array_equal(batch, np.stack([decode_jpeg(jpeg) for jpeg in jpegs]))


def test_wrong_arguments_say_what_was_wanted():
    image = np.zeros((4, 4, 3), np.uint8)
    small, large = encode_jpeg(image, 95), encode_jpeg(np.zeros((8, 8, 3), np.uint8), 95)
    for call, words in [
        (lambda: encode_jpeg(image, 101), "quality should be from 1 to 100. Received: 101"),
        (lambda: decode_image(b"", max_pixels=0), "max_pixels should be at least 1. Received: 0"),
        (lambda: decode_jpegs([]), "at least one JPEG"),
        (lambda: decode_jpegs([small, large]), r"shape \(4, 4, 3\). Received: \(8, 8, 3\) at 1"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
    for data in (b"", b"no picture"):
        with pytest.raises(ImageError):
            decode_jpeg(data)
