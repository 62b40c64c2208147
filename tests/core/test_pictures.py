import dataclasses
import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from landmark_spark.core import pictures
from landmark_spark.core.images import ImageError, decode_image, decode_jpeg, encode_jpeg
from landmark_spark.core.pictures import PicturePlan, Pictures, make_pictures
from landmark_spark.core.resizing import RESIZE_MODES, resize_image, resize_to_fit

PLAN = PicturePlan(
    image_size=128, resize_mode="stretch", jpeg_quality=95, large_side=512, large_jpeg_quality=90, max_pixels=10**8
)


def file_of(picture: Image.Image, kind: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def planned(**changes) -> PicturePlan:
    return dataclasses.replace(PLAN, **changes)


def texture(width: int, height: int, seed: int) -> Image.Image:
    """Noise of random phases whose amplitude falls as the frequency rises, as that of photos does (Field, 1987)."""
    generator = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    phases = generator.uniform(0, 2 * np.pi, (3, *frequency.shape))
    noise = np.fft.irfft2(np.exp(1j * phases) / frequency, (height, width))
    values = 128 + 25 * noise / noise.std(axis=(1, 2), keepdims=True)
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8).transpose(1, 2, 0).copy())


def in_full(body: bytes, plan: PicturePlan) -> Pictures:
    """The pictures made from the whole original."""
    image = decode_image(body, max_pixels=plan.max_pixels)
    square = resize_image(image, plan.image_size, mode=plan.resize_mode)
    large = encode_jpeg(resize_to_fit(image, plan.large_side), plan.large_jpeg_quality)
    return Pictures(encode_jpeg(square, plan.jpeg_quality), large, image.shape[1], image.shape[0])


@pytest.fixture
def decoded(monkeypatch):
    """What make_pictures decoded, in its order."""
    kept = []
    decode = pictures.decode_scaled

    def watched(*args, **kwargs):
        kept.append(decode(*args, **kwargs))
        return kept[-1]

    monkeypatch.setattr(pictures, "decode_scaled", watched)
    return kept


@pytest.mark.parametrize("mode", RESIZE_MODES)
def test_what_is_not_scaled_gives_the_pictures_of_the_whole_original(mode):
    plan = planned(resize_mode=mode)
    for body in (file_of(texture(700, 300, seed=1), "PNG"), file_of(texture(200, 150, seed=2))):
        assert make_pictures(body, plan, with_large=True) == in_full(body, plan)
        assert make_pictures(body, plan, with_large=False) == dataclasses.replace(in_full(body, plan), large_image=None)


# 1.5 * 128 = 192 for the square, 1.5 * 512 = 768 for the larger copy.
@pytest.mark.parametrize(
    ("size", "mode", "with_large", "scale"),
    [
        ((1024, 768), "stretch", False, 4),  # 256 x 192
        ((1024, 764), "stretch", False, 2),  # a quarter is 256 x 191
        ((1024, 768), "crop", False, 4),
        ((1600, 764), "crop", False, 2),
        ((1024, 768), "pad", False, 8),  # 128 x 96: exactly what is wanted
        ((1024, 767), "pad", False, 4),  # an eighth is 95.9 high
        ((1529, 1100), "pad", False, 4),  # an eighth is 191.1 wide
        ((1536, 1100), "pad", False, 8),
        ((764, 1024), "stretch", False, 2),
        ((640, 480), "stretch", False, 2),
        ((640, 360), "stretch", False, 1),  # a half is 320 x 180
        ((640, 360), "pad", False, 2),
        ((1024, 768), "stretch", True, 2),  # 512 x 384: exactly the larger copy
        ((1022, 768), "stretch", True, 1),  # a half would leave 511 for it
        ((1026, 768), "stretch", True, 1),
        ((1536, 1024), "stretch", True, 2),
        ((1534, 1024), "stretch", True, 1),
        ((3072, 2304), "pad", True, 4),
        ((3072, 700), "stretch", True, 2),  # a half is 350 high, a quarter 175
    ],
)
def test_the_smallest_scale_that_is_enough_for_every_picture_is_decoded(decoded, size, mode, with_large, scale):
    made = make_pictures(file_of(Image.new("RGB", size)), planned(resize_mode=mode), with_large=with_large)
    assert (decoded[0].scale, made.width, made.height) == (scale, *size)
    assert decode_jpeg(made.image).shape == (128, 128, 3)
    if with_large:
        assert max(decode_jpeg(made.large_image).shape) == 512


def test_a_sideways_photo_is_stored_upright_with_its_sides_swapped(decoded):
    stored = np.zeros((1024, 2048, 3), np.uint8)
    stored[:, :1024] = 255  # orientation 6: the left half becomes the upper half
    exif = Image.Exif()
    exif[0x0112] = 6
    made = make_pictures(file_of(Image.fromarray(stored), exif=exif), PLAN, with_large=True)
    assert (made.width, made.height, decoded[0].scale) == (1024, 2048, 4)
    square, large = decode_jpeg(made.image), decode_jpeg(made.large_image)
    assert large.shape == (512, 256, 3)
    for image in (square, large):
        middle = len(image) // 2
        assert image[: middle - 1].min() > 240 and image[middle + 1 :].max() < 15


def sixteen_bit_png(color: tuple[int, int, int]) -> bytes:
    """A 16-bit RGB PNG of 300 x 300 pixels, of one colour."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row = b"\x00" + struct.pack(">3H", *(value * 257 for value in color)) * 300
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 300, 300, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(row * 300)) + chunk(b"IEND", b"")


def of_color(color, mode: str = "RGB", side: int = 600) -> Image.Image:
    return Image.new(mode, (side, side), color)


RED, BLUE = (200, 30, 40), (20, 30, 220)
FRAMES = {"save_all": True, "append_images": [of_color(BLUE)]}
KINDS = {
    "JPEG": (file_of(of_color(RED)), RED),
    "progressive": (file_of(of_color(RED), progressive=True), RED),
    "4:4:4": (file_of(of_color(RED), subsampling=0), RED),
    "grey JPEG": (file_of(of_color(77, "L")), (77, 77, 77)),
    "CMYK": (file_of(of_color((0, 255, 0, 0), "CMYK")), (255, 0, 255)),
    "multi-picture JPEG": (file_of(of_color(RED), "MPO", **FRAMES), RED),
    "PNG": (file_of(of_color(RED), "PNG"), RED),
    "16-bit PNG": (sixteen_bit_png(RED), RED),
    "16-bit grey PNG": (file_of(Image.fromarray(np.full((300, 300), 77 * 257, np.uint16)), "PNG"), (77, 77, 77)),
    "palette PNG": (file_of(of_color(RED).convert("P", palette=Image.Palette.ADAPTIVE), "PNG"), RED),
    "transparent PNG": (file_of(of_color((0, 0, 0, 51), "RGBA"), "PNG"), (204, 204, 204)),  # 255 * (1 - 51 / 255)
    "GIF": (file_of(of_color(RED), "GIF", **FRAMES), RED),
    "WebP": (file_of(of_color(RED), "WEBP", lossless=True, **FRAMES), RED),
    "AVIF": (file_of(of_color(RED), "AVIF"), RED),
    "one pixel": (file_of(of_color(RED, side=1), subsampling=0, quality=100), RED),
}


@pytest.mark.parametrize("with_large", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_its_pictures(kind, with_large):
    body, color = KINDS[kind]
    for mode in RESIZE_MODES:
        made = make_pictures(body, planned(resize_mode=mode), with_large=with_large)
        assert (made.large_image is not None) == with_large
        assert decode_jpeg(made.image).shape == (128, 128, 3)
        large_side = min(made.width, 512)
        for image, side in [(made.image, 128), (made.large_image, large_side)][: 1 + with_large]:
            assert decode_jpeg(image).shape == (side, side, 3)
            assert np.abs(decode_jpeg(image).astype(int) - color).max() <= 6


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1), (1, 1), (60_000, 16), (7, 2_000)])
@pytest.mark.parametrize("mode", RESIZE_MODES)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_slivers_give_pictures_too(size, mode, kind):
    body = file_of(Image.new("RGB", size, "white"), kind)
    made = make_pictures(body, planned(resize_mode=mode), with_large=True)
    assert (made.width, made.height) == size
    assert decode_jpeg(made.image).max() > 250
    large = decode_jpeg(made.large_image)
    assert large.min() > 250 and max(large.shape[:2]) == min(max(size), 512)


@settings(max_examples=120, deadline=None)
@given(
    st.tuples(st.integers(1, 500), st.integers(1, 500)),
    st.sampled_from(RESIZE_MODES),
    st.integers(1, 60),
    st.integers(1, 120),
    st.booleans(),
)
def test_pictures_have_the_sizes_that_the_whole_original_would_give(size, mode, image_size, large_side, with_large):
    body = file_of(Image.new("L", size, 255), quality=50)
    plan = planned(image_size=image_size, resize_mode=mode, large_side=large_side)
    made, whole = make_pictures(body, plan, with_large=with_large), in_full(body, plan)
    assert (made.width, made.height) == (whole.width, whole.height)
    square, wanted = decode_jpeg(made.image), decode_jpeg(whole.image)
    assert square.shape == wanted.shape
    assert np.abs(square.astype(int) - wanted).max() <= 3  # the bars of pad stand at the same places
    if with_large:
        assert decode_jpeg(made.large_image).shape == decode_jpeg(whole.large_image).shape


@pytest.fixture
def difference(monkeypatch):
    """The mean difference between the square and that of the whole original, in grey levels, before they are stored.

    Storing alone, at quality 95, changes the square of a photo by 2 grey levels more or less.
    """
    encoded = []
    monkeypatch.setattr(pictures, "encode_jpeg", lambda image, quality: encoded.append(image))

    def measure(body: bytes, mode: str) -> float:
        make_pictures(body, planned(resize_mode=mode), with_large=False)
        whole = resize_image(decode_image(body, max_pixels=PLAN.max_pixels), 128, mode=mode)
        return float(np.abs(encoded[-1].astype(int) - whole).mean())

    return measure


@pytest.mark.parametrize("mode", RESIZE_MODES)
def test_textures_look_the_same_at_a_scale(mode, difference, decoded):
    for seed, size in enumerate([(1024, 768), (1023, 769), (769, 1023), (1001, 771), (1600, 1065), (640, 425)]):
        assert difference(file_of(texture(*size, seed), quality=90), mode) <= 2.0
        assert decoded[-1].scale > 1


@pytest.mark.photos
@pytest.mark.parametrize("mode", RESIZE_MODES)
def test_photos_look_the_same_at_a_scale(photos, mode, difference, decoded):
    files = sorted(photos.glob("images/*.jpg"))[::5]
    differences = np.array([difference(file.read_bytes(), mode) for file in files])
    scaled = np.array([each.scale > 1 for each in decoded])
    assert scaled.mean() > 0.5 and (differences[~scaled] == 0).all()
    assert differences[scaled].mean() <= 1.6  # of all the photos: stretch 1.15, crop 1.34, pad 0.70


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", "not_an_image"),
        (b"<!doctype html><title>404</title>", "not_an_image"),
        (file_of(of_color(RED))[:2000], "truncated"),
        (file_of(texture(1024, 768, seed=0))[:-5000], "truncated"),
        (file_of(Image.new("1", (10_001, 1_000)), "PNG"), "decompression_bomb"),  # of about 1,300 bytes
        (file_of(Image.new("L", (10_001, 1_000)), quality=1), "decompression_bomb"),
    ],
    ids=["empty", "HTML called .jpg", "cut", "cut at a scale", "bomb", "JPEG that would be scaled"],
)
def test_bytes_that_give_no_picture_are_a_status(body, status):
    with pytest.raises(ImageError) as caught:
        make_pictures(body, planned(max_pixels=10**7), with_large=False)
    assert caught.value.status == status


def test_threads_make_the_same_pictures():
    bodies = [file_of(texture(640 + 8 * seed, 480, seed)) for seed in range(4)] + [body for body, _ in KINDS.values()]
    alone = [make_pictures(body, PLAN, with_large=True) for body in bodies]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda body: make_pictures(body, PLAN, with_large=True), bodies * 8))
    assert together == alone * 8


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("image_size", 0, "image_size should be from 1 to 65500. Received: 0"),
        ("large_side", 65_501, "large_side should be from 1 to 65500. Received: 65501"),
        ("jpeg_quality", 101, "jpeg_quality should be from 1 to 100. Received: 101"),
        ("large_jpeg_quality", 0, "large_jpeg_quality should be from 1 to 100. Received: 0"),
        ("resize_mode", "fit", "resize_mode should be one of stretch, crop, pad. Received: 'fit'"),
        ("max_pixels", 0, "max_pixels should be at least 1. Received: 0"),
    ],
)
def test_an_impossible_plan_says_what_was_wanted(name, value, words):
    with pytest.raises(ValueError, match=words):
        planned(**{name: value})
