"""Places of feature-map cells in the image, and which of them become keypoints."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["cell_centres", "has_texture", "select_keypoints"]

Floats = NDArray[np.float32]
Size = tuple[int, int]
"""Height and width, pixels."""

_FINE, _AROUND = 4.0, 8.0  # deviations of Gaussians, pixels: what is finer than the first is texture, within the second
_LEAST_TEXTURE = 5.0  # grey levels; below it is what JPEG and dark sensors leave in a blank surface


def cell_centres(stride: int, *, resized: Size, original: Size) -> Floats:
    """Return the centres of the cells of a feature map, row by row: (h * w, 2) float32, (x, y) in pixels.

    The map is of an image of size ``original`` resized to ``resized``; h and w are as many cells as it touches, one
    every ``stride`` pixels. Pixel 0's centre is at 0: that of cell j is at (j + 0.5) * stride - 0.5 in the resized
    image, from which a place x is at (x + 0.5) * original / resized - 0.5 in the original.
    """
    if stride < 1 or min(*resized, *original) < 1:
        raise ValueError(f"stride and sizes should be at least 1. Received: {stride}, {resized}, {original}")
    rows, columns = (
        (np.arange(-(-length // stride)) + 0.5) * stride * (whole / length) - 0.5
        for length, whole in zip(resized, original, strict=True)
    )
    x, y = np.meshgrid(columns, rows)
    centres: Floats = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
    return centres


def has_texture(image: NDArray[np.uint8], points: Floats) -> NDArray[np.bool_]:
    """Say of each point (N, 2), (x, y) in pixels of an image (H, W, 3) uint8, whether there is anything to see: (N,).

    That is where the root mean square of the grey image without its coarse part is at least 5 levels round about. A
    network with zero padding tells the places of a blank picture apart, so that two of them would match.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = grey - cv2.GaussianBlur(grey, (0, 0), _FINE)
    power = cv2.GaussianBlur(fine * fine, (0, 0), _AROUND)
    columns, rows = (
        np.clip(np.rint(each).astype(np.intp), 0, length - 1)
        for each, length in zip(points.T, (image.shape[1], image.shape[0]), strict=True)
    )
    is_textured: NDArray[np.bool_] = power[rows, columns] >= _LEAST_TEXTURE**2
    return is_textured


def select_keypoints(keypoints: Floats, scores: Floats, *, max_keypoints: int, radius: float) -> NDArray[np.intp]:
    """Return the indices of the strongest keypoints, the strongest first; of equal ones the earlier counts as stronger.

    Non-maximum suppression, over all scales together: one with a stronger selected one nearer than ``radius`` pixels
    is left out; 0 leaves none out. keypoints: (N, 2), pixels. scores: (N,).
    """
    if max_keypoints < 1 or not radius >= 0.0:
        raise ValueError(
            f"max_keypoints should be at least 1 and radius at least 0. Received: {max_keypoints}, {radius}"
        )
    order: NDArray[np.intp] = np.argsort(-scores, kind="stable")
    kept = np.arange(min(len(order), max_keypoints))
    chosen: NDArray[np.intp] = order[kept if radius == 0.0 else _suppress(keypoints[order], max_keypoints, radius)]
    return chosen


def _suppress(points: NDArray[Any], max_keypoints: int, radius: float) -> NDArray[np.intp]:
    """Return the places of the points that stay, of (N, 2) in their order."""
    chosen: list[int] = []
    left = np.arange(len(points))
    while len(left) and len(chosen) < max_keypoints:
        first = int(left[0])
        chosen.append(first)
        offsets = points[left[1:]] - points[first]
        left = left[1:][np.square(offsets).sum(axis=1) >= radius**2]
    return np.array(chosen, np.intp)
