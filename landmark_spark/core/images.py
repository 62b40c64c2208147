"""Turns bytes received from anywhere into RGB arrays, and stores those as JPEG.

Pillow decodes what is foreign (it knows many formats and says what is wrong); OpenCV reads our own JPEGs, which is
faster. Colour profiles are ignored: pixel values are taken as sRGB.

A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size, which computes fewer values of each 8 x 8 block (libjpeg's
scaled inverse DCT): at 1/8 a pixel is the mean of its block.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

__all__ = [
    "Decoded",
    "ImageError",
    "RgbImage",
    "check_image",
    "decode_image",
    "decode_jpeg",
    "decode_jpegs",
    "decode_scaled",
    "encode_jpeg",
]

RgbImage = NDArray[np.uint8]
"""(H, W, 3) uint8, red first; (B, H, W, 3) where it is a batch."""

# What photos on the web come in. Pillow's others are left out: EPS would start an interpreter on a stranger's bytes.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
# How a whole file starts and ends, and within how many bytes of its end: cameras pad JPEGs.
_ENDS = ((b"\xff\xd8\xff", b"\xff\xd9", 1024), (b"\x89PNG\r\n\x1a\n", b"IEND", 1024), (b"GIF8", b"\x3b", 1))
_ORIENTATION_TAG = 0x0112
_ORIENTATIONS: dict[int, Callable[[RgbImage], RgbImage]] = {  # EXIF 2.32, tag 274: how to set the stored rows upright
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: image.transpose(1, 0, 2)[:, ::-1],
    7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    8: lambda image: image.transpose(1, 0, 2)[::-1],
}
_SIDEWAYS = (5, 6, 7, 8)
_UNFLIPPED = (1, 5)  # the first stored row and column stay the first ones
_SCALES = (8, 4, 2)  # of libjpeg's scaled decoding, as divisors of the sides


class ImageError(Exception):
    """Bytes that give no picture; ``status`` is not_an_image, truncated or decompression_bomb."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


@dataclass(frozen=True, eq=False)
class Decoded:
    """A picture, upright, perhaps decoded at a part of its size.

    image: (ceil(height / scale), ceil(width / scale), 3) uint8 RGB. Pixel (x, y) shows the ``scale`` x ``scale`` pixels
        from (x * scale, y * scale) on; those of the last column and row may reach beyond the picture's end.
    width, height: of the whole picture, pixels.
    scale: 1, 2, 4 or 8.
    """

    image: RgbImage
    width: int
    height: int
    scale: int = 1

    def __post_init__(self) -> None:
        """Check the sizes against each other."""
        check_image(self.image)
        shape = (_divided(self.height, self.scale), _divided(self.width, self.scale), 3)
        if self.image.shape != shape:
            raise ValueError(f"image should be of shape {shape}. Received: {self.image.shape}")


def decode_image(data: bytes, *, max_pixels: int) -> RgbImage:
    """Decode a foreign picture in full: (H, W, 3) uint8 RGB, as ``decode_scaled`` does."""
    return decode_scaled(data, max_pixels=max_pixels, is_enough=_never_enough).image


def decode_scaled(data: bytes, *, max_pixels: int, is_enough: Callable[[float, float], bool]) -> Decoded:
    """Decode a foreign picture, a JPEG as small as is enough: RGB, upright, first frame, transparency over white.

    Grey, palette, CMYK and 16-bit pictures are converted; 16-bit grey is scaled (65535 becomes 255), not clipped.

    Args:
        data: a JPEG, PNG, GIF, WebP, AVIF, BMP, TIFF, JPEG 2000 or PPM file.
        max_pixels: a larger picture is refused on the word of its header, before it is decoded. Above Pillow's own
            limit (178,956,970 pixels unless the caller's program set another) it is refused in any case.
        is_enough: whether a width and a height, upright, in pixels and parts of them, suffice. The smallest scale for
            which it says yes is taken; the full size where there is none, and for what is no JPEG.

    Raises:
        ImageError: no picture, whatever the bytes are; nothing else is raised for them.
        ValueError: max_pixels is below 1.
    """
    if max_pixels < 1:
        raise ValueError(f"max_pixels should be at least 1. Received: {max_pixels}")
    with _image_errors(data):
        picture = Image.open(io.BytesIO(data), formats=_FORMATS)
        _check_size(picture.size, max_pixels)
    scale = _choose_scale(picture, is_enough)  # what is_enough raises is no fault of the bytes
    try:
        with _image_errors(data), picture:
            return _load(picture, scale)
    except ImageError:
        if scale == 1:
            raise
        # A lossless JPEG has no DCT to scale, which Pillow notices only while it decodes.
        return decode_scaled(data, max_pixels=max_pixels, is_enough=_never_enough)


@contextmanager
def _image_errors(data: bytes) -> Iterator[None]:
    """Turn whatever is raised over the bytes into an ImageError."""
    try:
        yield
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError("decompression_bomb", str(error)) from error
    except Exception as error:  # Pillow's plugins let almost anything out: struct.error, SyntaxError, MemoryError ...
        status = "truncated" if _is_cut(data, error) else "not_an_image"
        raise ImageError(status, f"{type(error).__name__}: {error}"[:500]) from error


def _choose_scale(picture: Image.Image, is_enough: Callable[[float, float], bool]) -> int:
    if not isinstance(picture, JpegImageFile):
        return 1
    width, height = picture.size
    orientation = _orientation(picture)
    for scale in _SCALES:
        # A flip would bring the blocks that reach beyond the end to the front, where they would shift the picture.
        fits = orientation in _UNFLIPPED or (width % scale == 0 and height % scale == 0)
        size = (width / scale, height / scale)
        if fits and min(width, height) >= scale and is_enough(*(size[::-1] if orientation in _SIDEWAYS else size)):
            return scale
    return 1


def _load(picture: Image.Image, scale: int) -> Decoded:
    width, height = picture.size
    if scale > 1:  # Pillow takes the largest divisor that leaves at least this size, which is scale again
        picture.draft(None, (width // scale, height // scale))
    picture.load()
    image = _to_rgb(picture)
    orientation = _orientation(picture)
    if orientation in _SIDEWAYS:
        width, height = height, width
    return Decoded(np.ascontiguousarray(_ORIENTATIONS[orientation](image)), width, height, scale)


def _never_enough(_width: float, _height: float) -> bool:
    return False


def _divided(side: int, scale: int) -> int:
    return -(-side // scale)  # rounded up, as libjpeg does


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise ImageError("not_an_image", f"the picture should have pixels. Received: {width} x {height}")
    if width * height > max_pixels:
        raise ImageError("decompression_bomb", f"at most {max_pixels} pixels are decoded. Received: {width} x {height}")


def _to_rgb(picture: Image.Image) -> RgbImage:
    if picture.mode.startswith("I"):  # I;16 in its byte orders; I: 32 bits, in which PPM holds 16
        return _from_deep_grey(np.asarray(picture), (65535,))
    if picture.mode == "F":
        return _from_deep_grey(np.asarray(picture), (1, 255, 65535))
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    if picture.mode != "RGB":  # the conversion would copy
        picture = picture.convert("RGB")
    return np.asarray(picture, dtype=np.uint8)


def _from_deep_grey(grey: NDArray[np.generic], whites: Sequence[int]) -> RgbImage:
    """Scale deep grey (H, W) to 0..255: white is the first of ``whites`` that no value exceeds, else the largest."""
    values = np.clip(np.nan_to_num(grey.astype(np.float32), posinf=0.0, neginf=0.0), 0.0, None)
    largest = float(values.max())
    white = next((white for white in whites if largest <= white), largest)
    return np.repeat(np.rint(values * np.float32(255.0 / white)).astype(np.uint8)[:, :, None], 3, axis=2)


def _orientation(picture: Image.Image) -> int:
    try:
        orientation = int(picture.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged EXIF in a sound picture: shown as stored, as browsers do
        return 1
    return orientation if orientation in _ORIENTATIONS else 1


def _is_cut(data: bytes, error: Exception) -> bool:
    if "truncated" in str(error).lower():
        return True
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    return any(data.startswith(start) and end not in data[-tail:] for start, end, tail in _ENDS)


def encode_jpeg(image: RgbImage, quality: int) -> bytes:
    """Encode (H, W, 3) uint8 RGB as baseline JPEG, quality 1 to 100; the same pixels give the same bytes."""
    check_image(image)
    if not 1 <= quality <= 100:
        raise ValueError(f"quality should be from 1 to 100. Received: {quality}")
    done, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"image should be at most 65500 pixels a side. Received: {image.shape}")
    return encoded.tobytes()


def decode_jpeg(data: bytes) -> RgbImage:
    """Decode a JPEG that ``encode_jpeg`` made: (H, W, 3) uint8 RGB. Raises ImageError when the bytes are none."""
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # no bytes at all, or a size that OpenCV refuses
        decoded = None
    if decoded is None:
        raise ImageError("not_an_image", f"a stored JPEG should decode. Received: {len(data)} bytes")
    return cast(RgbImage, cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB))


def decode_jpegs(images: Sequence[bytes]) -> RgbImage:
    """Decode our own JPEGs, all of one size: (B, H, W, 3) uint8 RGB."""
    if not images:
        raise ValueError("images should hold at least one JPEG. Received: none")
    first = decode_jpeg(images[0])
    batch = np.empty((len(images), *first.shape), np.uint8)
    batch[0] = first
    for number, data in enumerate(images[1:], start=1):
        image = decode_jpeg(data)
        if image.shape != first.shape:
            raise ValueError(f"images should all be of shape {first.shape}. Received: {image.shape} at {number}")
        batch[number] = image
    return batch


def check_image(image: RgbImage) -> None:
    """Raise ValueError where an image is not (H, W, 3) uint8 with pixels."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"image should be (H, W, 3) uint8, not empty. Received: {image.shape} {image.dtype}")
