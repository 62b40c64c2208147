"""Square pieces of images at a random scale, on which our own DELF is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from landmark_spark.core.local_features import RgbImage

__all__ = ["load_cropping"]


_SCALES = (0.5, 1.0)
"""The published training resizes a piece by a factor up to 1; below half an image of 512 pixels little is left."""

_MIDDLE = 0.75


def load_cropping(side: int) -> Callable[[Sequence[RgbImage], int | None], RgbImage]:
    """Return a function from images, (H, W, 3) uint8 of any sizes, to pieces of them: (B, side, side, 3) uint8.

    seed: an image is resized by a random factor from 0.5 to 1 (evenly on a logarithmic scale), but never so far that a
    side is below ``side``, for which a small one is enlarged; the piece is at a random place. None: by 0.75, and the
    middle. The same seed gives the same pieces. Raises ValueError for a side below 32.
    """
    if side < 32:
        raise ValueError(f"side should be at least 32. Received: {side}")

    def crop(images: Sequence[RgbImage], seed: int | None) -> RgbImage:
        random = None if seed is None else np.random.default_rng(seed)
        pieces = [_piece(image, side, random) for image in images]
        return np.stack(pieces) if pieces else np.zeros((0, side, side, 3), np.uint8)

    return crop


def _piece(image: RgbImage, side: int, random: np.random.Generator | None) -> RgbImage:
    scale = _MIDDLE if random is None else float(2.0 ** random.uniform(*np.log2(_SCALES)))
    scale = max(scale, side / min(image.shape[:2]))
    height, width = (max(side, round(length * scale)) for length in image.shape[:2])
    is_smaller = height < image.shape[0]
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR)
    spare = (height - side, width - side)
    top, left = (each // 2 if random is None else int(random.integers(each + 1)) for each in spare)
    return np.asarray(resized[top : top + side, left : left + side], np.uint8)
