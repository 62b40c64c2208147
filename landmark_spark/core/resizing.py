"""Resizes RGB images: to a square, in one of three modes, or to fit a longest side."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import cv2
import numpy as np

from landmark_spark.core.images import RgbImage, check_image

__all__ = ["RESIZE_MODES", "resize_image", "resize_to_fit"]


def resize_image(image: RgbImage, size: int, *, mode: str) -> RgbImage:
    """Resize (H, W, 3) uint8 to (size, size, 3) uint8; ``mode`` is a word of RESIZE_MODES.

    Areas are averaged where a side shrinks (no aliasing) and interpolated linearly where it grows.
    """
    check_image(image)
    if size < 1:
        raise ValueError(f"size should be at least 1. Received: {size}")
    if mode not in _RESIZERS:
        raise ValueError(f"mode should be one of {', '.join(RESIZE_MODES)}. Received: {mode!r}")
    return np.ascontiguousarray(_RESIZERS[mode](image, size))


def resize_to_fit(image: RgbImage, max_side: int) -> RgbImage:
    """Shrink (H, W, 3) uint8 so that its longest side is at most ``max_side`` pixels; a smaller one is returned as is.

    The aspect ratio is kept to the nearest pixel; no side falls below 1.
    """
    check_image(image)
    if max_side < 1:
        raise ValueError(f"max_side should be at least 1. Received: {max_side}")
    rows, columns = image.shape[:2]
    longest = max(rows, columns)
    if longest <= max_side:
        return image
    return _stretch(image, width=_scaled(columns, max_side, longest), height=_scaled(rows, max_side, longest))


def _stretch(image: RgbImage, *, width: int, height: int) -> RgbImage:
    """Resize; a side that shrinks is averaged over areas, a side that grows is interpolated."""
    rows, columns = image.shape[:2]
    shrunk = (min(width, columns), min(height, rows))
    if shrunk != (columns, rows):
        image = cast(RgbImage, cv2.resize(image, shrunk, interpolation=cv2.INTER_AREA))
    if shrunk != (width, height):
        image = cast(RgbImage, cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR))
    return image


def _crop(image: RgbImage, size: int) -> RgbImage:
    rows, columns = image.shape[:2]
    side = min(rows, columns)
    top, left = (rows - side) // 2, (columns - side) // 2
    return _stretch(image[top : top + side, left : left + side], width=size, height=size)


def _pad(image: RgbImage, size: int) -> RgbImage:
    rows, columns = image.shape[:2]
    longest = max(rows, columns)
    width, height = _scaled(columns, size, longest), _scaled(rows, size, longest)
    top, left = (size - height) // 2, (size - width) // 2
    padded = np.zeros((size, size, 3), np.uint8)
    padded[top : top + height, left : left + width] = _stretch(image, width=width, height=height)
    return padded


def _scaled(length: int, size: int, longest: int) -> int:
    return max(1, (2 * length * size + longest) // (2 * longest))  # rounds halves up


_RESIZERS: dict[str, Callable[[RgbImage, int], RgbImage]] = {
    "stretch": lambda image, size: _stretch(image, width=size, height=size),
    "crop": _crop,
    "pad": _pad,
}

RESIZE_MODES = tuple(_RESIZERS)
"""stretch ignores the aspect ratio, crop takes the centre square, pad adds black bars."""
