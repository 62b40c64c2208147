"""Resizes RGB images: to a square, in one of three modes, to fit a longest side, or to have one.

A picture decoded at a part of its size (``Decoded``) is resized as the whole one would be: to the same size, cut at the
same places, to a fraction of a pixel. What differs is that areas are averaged over fewer, larger pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import cv2
import numpy as np

from landmark_spark.core.images import Decoded, RgbImage, check_image

__all__ = [
    "RESIZE_MODES",
    "fit_decoded",
    "is_enough_for_square",
    "is_enough_to_fit",
    "resize_decoded",
    "resize_image",
    "resize_to_fit",
    "resize_to_longest",
]

# How many times the side that it is resized to a decoded side should be at least. Measured on 1816 photos, mostly of
# 640 x 480 pixels, resized to 128 x 128: the mean absolute difference to what the full decode gives, in grey levels of
# 255, over the photos that the margin lets decode smaller, was at a margin of
#   1.0: stretch 1.36, crop 1.59, pad 1.97;  1.5: 1.15, 1.34, 0.70;  2.0: 0.99, 0.96, 0.68.
# 1.5 is the largest at which 1024 x 768 is decoded at a quarter for a stretched or cropped square of 128.
_MARGIN = 1.5


def resize_image(image: RgbImage, size: int, *, mode: str) -> RgbImage:
    """Resize (H, W, 3) uint8 to (size, size, 3) uint8, as ``resize_decoded`` does."""
    return resize_decoded(_whole(image), size, mode=mode)


def resize_decoded(decoded: Decoded, size: int, *, mode: str) -> RgbImage:
    """Resize a picture to (size, size, 3) uint8; ``mode`` is a word of RESIZE_MODES.

    Areas are averaged where a side shrinks (no aliasing) and interpolated linearly where it grows.
    """
    if size < 1:
        raise ValueError(f"size should be at least 1. Received: {size}")
    _check_mode(mode)
    return np.ascontiguousarray(_RESIZERS[mode](decoded, size))


def resize_to_fit(image: RgbImage, max_side: int) -> RgbImage:
    """Shrink (H, W, 3) uint8 so that its longest side is at most ``max_side`` pixels, as ``fit_decoded`` does."""
    return fit_decoded(_whole(image), max_side)


def fit_decoded(decoded: Decoded, max_side: int) -> RgbImage:
    """Shrink a picture so that its longest side is at most ``max_side`` pixels; a smaller one is returned as decoded.

    The aspect ratio is kept to the nearest pixel; no side falls below 1.
    """
    if max_side < 1:
        raise ValueError(f"max_side should be at least 1. Received: {max_side}")
    longest = max(decoded.width, decoded.height)
    if longest <= max_side:
        return decoded.image
    width, height = _scaled(decoded.width, max_side, longest), _scaled(decoded.height, max_side, longest)
    return np.ascontiguousarray(_stretch(decoded.image, _extent(decoded), width=width, height=height))


def resize_to_longest(image: RgbImage, side: int, *, min_side: int = 1) -> RgbImage:
    """Resize (H, W, 3) uint8 so that its longest side is ``side`` pixels, whether it shrinks or grows.

    The aspect ratio is kept to the nearest pixel, as long as no side falls below ``min_side``. Areas are averaged where
    a side shrinks and interpolated linearly where it grows. Raises ValueError for a ``side`` below ``min_side``.
    """
    if not 1 <= min_side <= side:
        raise ValueError(f"side should be at least {max(min_side, 1)}. Received: {side}")
    whole = _whole(image)
    longest = max(whole.width, whole.height)
    width, height = (max(min_side, _scaled(each, side, longest)) for each in (whole.width, whole.height))
    return np.ascontiguousarray(_stretch(image, _extent(whole), width=width, height=height))


def is_enough_for_square(width: float, height: float, size: int, *, mode: str) -> bool:
    """Return whether a picture decoded at width x height can stand for the whole one in ``resize_decoded``.

    Both in pixels and parts of them: the sides of the whole one over the scale.
    """
    _check_mode(mode)
    if mode == "pad":
        return is_enough_to_fit(width, height, size)
    return min(width, height) >= _MARGIN * size or (mode == "stretch" and width == height == size)


def is_enough_to_fit(width: float, height: float, max_side: int) -> bool:
    """Return whether a picture decoded at width x height can stand for the whole one in ``fit_decoded``.

    That of exactly the wanted sides can: each of its pixels is the mean of as many as every other (0.3 grey levels).
    """
    longest = max(width, height)
    is_exact = longest == max_side and width == int(width) and height == int(height)
    return longest >= _MARGIN * max_side or is_exact


def _whole(image: RgbImage) -> Decoded:
    check_image(image)
    return Decoded(image, width=image.shape[1], height=image.shape[0])


def _check_mode(mode: str) -> None:
    if mode not in _RESIZERS:
        raise ValueError(f"mode should be one of {', '.join(RESIZE_MODES)}. Received: {mode!r}")


def _extent(decoded: Decoded) -> tuple[float, float]:
    """Return how wide and how high the picture is in pixels of the image, which the last ones may overhang."""
    return decoded.width / decoded.scale, decoded.height / decoded.scale


def _stretch(image: RgbImage, extent: tuple[float, float], *, width: int, height: int) -> RgbImage:
    """Resize the first ``extent`` of an image; a side that shrinks is averaged over areas, one that grows interpolated.

    Args:
        image: (H, W, 3) uint8.
        extent: (width, height) in pixels of the image, above (W - 1, H - 1), at most (W, H).
        width: of the result, pixels.
        height: of the result, pixels.
    """
    rows, columns = image.shape[:2]
    shrunk = (min(width, columns), min(height, rows))
    if shrunk != (columns, rows):
        factors = (shrunk[0] / extent[0], shrunk[1] / extent[1])
        # Given factors and no size, OpenCV counts in fractions of a pixel; what overhangs may add a column or a row.
        image = cast(RgbImage, cv2.resize(image, None, fx=factors[0], fy=factors[1], interpolation=cv2.INTER_AREA))
        image = image[: shrunk[1], : shrunk[0]]
    if shrunk != (width, height):
        image = cast(RgbImage, cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR))
    return image


def _stretch_to_square(decoded: Decoded, size: int) -> RgbImage:
    return _stretch(decoded.image, _extent(decoded), width=size, height=size)


def _crop(decoded: Decoded, size: int) -> RgbImage:
    side = min(decoded.width, decoded.height)
    top, left = (decoded.height - side) // 2, (decoded.width - side) // 2
    image, down, across = decoded.image, decoded.scale, decoded.scale
    # A cut inside a pixel: the pixel is taken apart into the equal columns or rows that it stands for.
    if top % down:
        image, down = _repeat(image, rows=down, columns=1), 1
    if left % across:
        image, across = _repeat(image, rows=1, columns=across), 1
    square = image[top // down : -(-(top + side) // down), left // across : -(-(left + side) // across)]
    return _stretch(square, (side / across, side / down), width=size, height=size)


def _repeat(image: RgbImage, *, rows: int, columns: int) -> RgbImage:
    size = (image.shape[1] * columns, image.shape[0] * rows)
    return cast(RgbImage, cv2.resize(image, size, interpolation=cv2.INTER_NEAREST))


def _pad(decoded: Decoded, size: int) -> RgbImage:
    longest = max(decoded.width, decoded.height)
    width, height = _scaled(decoded.width, size, longest), _scaled(decoded.height, size, longest)
    top, left = (size - height) // 2, (size - width) // 2
    padded = np.zeros((size, size, 3), np.uint8)
    resized = _stretch(decoded.image, _extent(decoded), width=width, height=height)
    padded[top : top + height, left : left + width] = resized
    return padded


def _scaled(length: int, size: int, longest: int) -> int:
    return max(1, (2 * length * size + longest) // (2 * longest))  # rounds halves up


_RESIZERS: dict[str, Callable[[Decoded, int], RgbImage]] = {
    "stretch": _stretch_to_square,
    "crop": _crop,
    "pad": _pad,
}

RESIZE_MODES = tuple(_RESIZERS)
"""stretch ignores the aspect ratio, crop takes the centre square, pad adds black bars."""
