import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from landmark_spark.core.images import Decoded, ImageError, decode_image, decode_scaled

PLENTY = 10**8


def file_of(picture: Image.Image, kind: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def blocks(values, mode: str = "L") -> Image.Image:
    """A picture of flat 8 x 8 blocks, which a JPEG of quality 100 keeps and the scale 8 turns into a pixel each."""
    return Image.fromarray(np.kron(np.array(values, np.uint8), np.ones((8, 8), np.uint8))).convert(mode)


def decoded_at(scale: int, data: bytes, max_pixels: int = PLENTY) -> Decoded:
    """Decode with a rule for which the size at this scale is just enough."""
    with Image.open(io.BytesIO(data)) as picture:
        least = (picture.width / scale) * (picture.height / scale)
    return decode_scaled(data, max_pixels=max_pixels, is_enough=lambda width, height: width * height >= least)


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def test_the_smallest_size_that_is_enough_is_decoded():
    data = file_of(Image.new("RGB", (1001, 771)))
    sizes = [(125.125, 96.375), (250.25, 192.75), (500.5, 385.5)]
    decoded_sizes = {8: (126, 97), 4: (251, 193), 2: (501, 386), 1: (1001, 771)}  # rounded up
    for enough, scale in [(0, 8), (126, 4), (250, 4), (251, 2), (500, 2), (501, 1)]:
        asked = []

        def is_enough(width, height, asked=asked, enough=enough):
            asked.append((width, height))
            return width >= enough

        decoded = decode_scaled(data, max_pixels=PLENTY, is_enough=is_enough)
        assert (decoded.width, decoded.height, decoded.scale) == (1001, 771, scale)
        assert decoded.image.shape[1::-1] == decoded_sizes[scale]
        assert asked == sizes[: len(asked)]


def test_no_side_is_scaled_away():
    decoded = decoded_at(8, file_of(Image.new("L", (7, 2000))))
    assert (decoded.scale, decoded.image.shape) == (4, (500, 2, 3))


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "AVIF", "JPEG2000"])
def test_what_is_no_jpeg_is_decoded_in_full(kind):
    data = file_of(Image.new("RGB", (64, 48), (9, 9, 9)), kind)
    decoded = decode_scaled(data, max_pixels=PLENTY, is_enough=lambda width, height: True)
    assert (decoded.image.shape, decoded.width, decoded.height, decoded.scale) == ((48, 64, 3), 64, 48, 1)


@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"progressive": True}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_pixel_at_an_eighth_is_the_mean_of_its_block(mode, options):
    values = [[10, 200, 90], [250, 0, 128]]
    picture = np.array(blocks(values, mode))
    picture[0:8, 0:4], picture[0:8, 4:8] = 0, 20  # of mean 10 still
    decoded = decoded_at(8, file_of(Image.fromarray(picture), quality=100, **options))
    assert np.abs(decoded.image.astype(int) - np.array(values)[..., None]).max() <= 1
    # at a quarter a block is 2 x 2 pixels
    quarter = decoded_at(4, file_of(blocks(values, mode), quality=100, **options)).image
    assert np.abs(quarter.astype(int) - np.kron(values, np.ones((2, 2), int))[..., None]).max() <= 1


def test_colours_are_the_same_at_every_scale():
    for picture, color in [
        (Image.new("RGB", (64, 64), (200, 100, 50)), (200, 100, 50)),
        (Image.new("CMYK", (64, 64), (255, 0, 0, 0)), (0, 255, 255)),  # cyan ink leaves no red
        (Image.new("L", (64, 64), 77), (77, 77, 77)),
    ]:
        for scale in (1, 2, 4, 8):
            image = decoded_at(scale, file_of(picture, quality=95)).image
            assert image.shape == (64 // scale, 64 // scale, 3)
            assert np.abs(image.astype(int) - color).max() <= 3


# Stored blocks of "1 2 3 / 4 5 6", as EXIF 2.32 says that they stand upright.
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
def test_orientation_is_applied_at_a_scale_and_its_sides_are_upright(orientation):
    data = file_of(blocks([[40, 80, 120], [160, 200, 240]]), quality=100, exif=turned(orientation))
    asked = []
    decoded = decode_scaled(data, max_pixels=PLENTY, is_enough=lambda *size: asked.append(size) or True)
    upright = np.array(UPRIGHT[orientation])
    assert np.abs(decoded.image[..., 0].astype(int) - 40 * upright).max() <= 1
    assert asked == [upright.shape[::-1]]
    assert (decoded.height, decoded.width) == (8 * upright.shape[0], 8 * upright.shape[1])


def test_a_flip_that_would_bring_the_cut_block_to_the_front_is_not_scaled_so_far():
    stored = Image.new("RGB", (100, 60))  # both sides divide by 4, none by 8
    scales = {o: decoded_at(8, file_of(stored, exif=turned(o))).scale for o in (0, *UPRIGHT, 9)}
    assert scales == {0: 8, 1: 8, 2: 4, 3: 4, 4: 4, 5: 8, 6: 4, 7: 4, 8: 4, 9: 8}


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 3, 5, 6]), st.sampled_from([1, 2, 4, 8]))
def test_every_size_and_orientation_can_be_scaled(width, height, orientation, wanted):
    data = file_of(Image.new("RGB", (width, height), (150, 150, 150)), exif=turned(orientation))
    decoded = decoded_at(wanted, data)
    assert (decoded.width, decoded.height) == ((height, width) if orientation in (5, 6) else (width, height))
    assert decoded.scale <= min(wanted, width, height)
    assert np.abs(decoded.image.astype(int) - 150).max() <= 1


def test_the_first_picture_of_several_is_scaled():
    frames = [Image.new("RGB", (64, 64), color) for color in ((255, 0, 0), (0, 0, 255))]
    decoded = decoded_at(8, file_of(frames[0], "MPO", save_all=True, append_images=frames[1:]))
    assert decoded.image.shape == (8, 8, 3)
    assert np.abs(decoded.image.astype(int) - [255, 0, 0]).max() <= 1


def lossless_jpeg(width: int, height: int) -> bytes:
    """A lossless JPEG (ITU T.81, annex H) of mid grey: every difference is 0, and its only Huffman code the bit 0."""

    def segment(marker: int, body: bytes) -> bytes:
        return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body

    frame = segment(0xC3, struct.pack(">BHHB", 8, height, width, 1) + bytes([1, 0x11, 0]))
    table = segment(0xC4, bytes([0, 1, *[0] * 15, 0]))
    scan = segment(0xDA, bytes([1, 1, 0, 1, 0, 0]))
    return b"\xff\xd8" + frame + table + scan + bytes(width * height // 8) + b"\xff\xd9"


def test_a_lossless_jpeg_is_decoded_in_full():
    decoded = decoded_at(8, lossless_jpeg(64, 32))
    assert (decoded.image.shape, decoded.scale) == ((32, 64, 3), 1)
    assert (decoded.image == 128).all()


def test_pixels_are_counted_before_the_scaling():
    data = file_of(Image.new("RGB", (64, 64)))
    assert decoded_at(8, data, max_pixels=4096).scale == 8
    with pytest.raises(ImageError) as caught:
        decoded_at(8, data, max_pixels=4095)
    assert caught.value.status == "decompression_bomb"


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_a_file_cut_short_is_truncated_at_every_scale(scale, share, progressive):
    data = file_of(NOISE, progressive=progressive)
    with pytest.raises(ImageError) as caught:
        decoded_at(scale, data[: int(len(data) * share)])
    assert caught.value.status == "truncated"


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_files_raise_nothing_but_image_errors_at_a_scale():
    generator = np.random.default_rng(3)
    sound = file_of(NOISE.resize((40, 40)), exif=turned(6))
    statuses = set()
    for _ in range(400):
        damaged = bytearray(sound)
        for place in generator.integers(0, 700, 4):
            damaged[place] = generator.integers(0, 256)
        try:
            decode_scaled(bytes(damaged), max_pixels=10**6, is_enough=lambda width, height: True)
        except ImageError as error:
            statuses.add(error.status)
    assert "not_an_image" in statuses and statuses <= {"not_an_image", "truncated", "decompression_bomb"}


def test_decoding_an_image_is_decoding_it_in_full():
    data = file_of(NOISE, exif=turned(8))
    full = decode_scaled(data, max_pixels=PLENTY, is_enough=lambda width, height: False)
    assert full.scale == 1 and np.array_equal(full.image, decode_image(data, max_pixels=PLENTY))


def test_what_the_rule_raises_is_not_taken_for_a_bad_picture():
    with pytest.raises(ZeroDivisionError):
        decode_scaled(file_of(NOISE), max_pixels=PLENTY, is_enough=lambda width, height: width / 0 > 1)


def test_a_decoded_picture_has_the_size_that_its_scale_says():
    image = np.zeros((3, 4, 3), np.uint8)
    assert Decoded(image, width=7, height=5, scale=2).scale == 2
    with pytest.raises(ValueError, match=r"image should be of shape \(3, 5, 3\). Received: \(3, 4, 3\)"):
        Decoded(image, width=9, height=5, scale=2)
    with pytest.raises(ValueError, match="Received: .* float64"):
        Decoded(image.astype(float), width=4, height=3)
