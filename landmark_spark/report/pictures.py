"""Draws the matches between a test image and a reference, as the figures of the DELF paper do.

H. Noh, A. Araujo, J. Sim, T. Weyand, B. Han, "Large-Scale Image Retrieval with Attentive Deep Local Features"
(ICCV 2017).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from landmark_spark.core.images import encode_jpeg

__all__ = [
    "LINE_COLORS",
    "MAX_LINES",
    "add_caption",
    "compose_matches",
    "draw_matches",
    "encode_picture",
    "mark_keypoints",
]

LINE_COLORS = ((240, 228, 66), (86, 180, 233), (230, 159, 0), (0, 200, 140), (255, 120, 190))
"""RGB of the lines, taken in turn: hues of Okabe and Ito that stand out from photos, for every kind of colour sight."""

MAX_LINES = 60
"""More lines than this would hide the images; beyond it they are drawn for inliers spread evenly over the list."""

_GREY = (150, 150, 150)
_TEXT = (235, 235, 235)
_TEXT_SIZE = 18
_MIN_TEXT_SIZE = 9
_BACKGROUND = 24
_GAP = 8
_QUALITY = 88
_SHIFT = 4  # OpenCV's drawing takes integers with this many binary places
_MIN_HEIGHT = 32


def draw_matches(
    test_image: NDArray[np.uint8],
    reference_image: NDArray[np.uint8],
    test_points: NDArray[Any],
    reference_points: NDArray[Any],
    inliers: NDArray[np.bool_],
    *,
    height: int = 320,
) -> bytes:
    """Draw matches as ``compose_matches`` does, and return the picture as JPEG."""
    composed = compose_matches(test_image, reference_image, test_points, reference_points, inliers, height=height)
    return encode_jpeg(composed, _QUALITY)


def compose_matches(
    test_image: NDArray[np.uint8],
    reference_image: NDArray[np.uint8],
    test_points: NDArray[Any],
    reference_points: NDArray[Any],
    inliers: NDArray[np.bool_],
    *,
    height: int = 320,
) -> NDArray[np.uint8]:
    """Draw the test image left and the reference right, inliers joined by coloured lines, other matches as grey dots.

    Both are scaled to the height; one more than twice as wide as high is scaled to that width and stands in the middle.

    Args:
        test_image: (H, W, 3) uint8, RGB.
        reference_image: (H, W, 3) uint8, RGB, of any size.
        test_points: (K, 2) float, (x, y) in pixels of the test image; row k matches row k of reference_points.
        reference_points: (K, 2) float, (x, y) in pixels of the reference image.
        inliers: (K,) bool, whether the match agrees with the geometric model.
        height: of the picture, pixels.

    Returns:
        (height, W, 3) uint8, RGB.

    Raises:
        ValueError: an argument has another shape or type, or a point is not finite.
    """
    _check_images(test_image, reference_image, height)
    _check_matches(test_points, reference_points, inliers)
    left, left_points = _panel(test_image, test_points, height)
    right, right_points = _panel(reference_image, reference_points, height)
    gap = np.full((height, _GAP, 3), _BACKGROUND, np.uint8)
    picture = np.ascontiguousarray(np.hstack([left, gap, right]))
    right_points += np.array([left.shape[1] + _GAP, 0])
    for points in (left_points, right_points):
        for point in points[~inliers]:
            _dot(picture, point, radius=2, color=_GREY)
    _draw_inliers(picture, left_points[inliers], right_points[inliers])
    return picture


def mark_keypoints(image: NDArray[np.uint8], keypoints: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a copy of an image, (H, W, 3) uint8 RGB, with a small grey dot at each keypoint, (N, 2) (x, y) in pixels.

    What is drawn over it, as ``compose_matches`` draws inliers, hides the dots of those.
    """
    marked = np.ascontiguousarray(image).copy()
    for point in keypoints[np.isfinite(keypoints).all(axis=1)]:
        _dot(marked, np.clip(point, 0, np.array(image.shape[1::-1]) - 1), radius=1, color=_GREY)
    return marked


def add_caption(picture: NDArray[np.uint8], lines: Sequence[str]) -> NDArray[np.uint8]:
    """Return a picture, (H, W, 3) uint8 RGB, with lines of text on a dark strip below it, shrunk to fit its width."""
    drawing = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    width = picture.shape[1] - 2 * _GAP
    longest = max((drawing.textlength(line, _font(_TEXT_SIZE)) for line in lines), default=0)
    size = max(_MIN_TEXT_SIZE, int(_TEXT_SIZE * min(1.0, width / longest))) if longest else _TEXT_SIZE
    step = round(1.5 * size)
    strip = Image.new("RGB", (picture.shape[1], step * len(lines) + 2 * _GAP), (_BACKGROUND,) * 3)
    drawing = ImageDraw.Draw(strip)
    for number, line in enumerate(lines):
        drawing.text((_GAP, _GAP + number * step), line, fill=_TEXT, font=_font(size))
    return np.vstack([picture, np.asarray(strip)])


def encode_picture(picture: NDArray[np.uint8], suffix: str) -> bytes:
    """Return a picture, (H, W, 3) uint8 RGB, as the bytes of a file: suffix .png, .jpg or .jpeg."""
    if suffix in (".jpg", ".jpeg"):
        return encode_jpeg(picture, _QUALITY)
    if suffix != ".png":
        raise ValueError(f"suffix should be .png, .jpg or .jpeg. Received: {suffix!r}")
    return cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()


def _panel(image: NDArray[Any], points: NDArray[Any], height: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the image scaled onto a panel of the height, and its points (x, y) in pixels of the panel."""
    rows, columns = image.shape[:2]
    scale = min(height / rows, 2 * height / columns)
    size = (max(1, round(columns * scale)), max(1, min(height, round(rows * scale))))
    top = (height - size[1]) // 2
    panel = np.full((height, size[0], 3), _BACKGROUND, np.uint8)
    panel[top : top + size[1]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    factors = np.array([size[0] / columns, size[1] / rows])
    moved = (points.reshape(-1, 2).astype(np.float64) + 0.5) * factors - 0.5  # a whole number is a pixel's middle
    return panel, np.clip(moved, 0, np.array(size) - 1) + np.array([0, top])


def _draw_inliers(picture: NDArray[Any], left: NDArray[Any], right: NDArray[Any]) -> None:
    drawn = np.unique(np.linspace(0, max(len(left) - 1, 0), min(len(left), MAX_LINES)).round().astype(int))
    for number, index in enumerate(drawn):
        color = LINE_COLORS[number % len(LINE_COLORS)]
        cv2.line(picture, _fixed(left[index]), _fixed(right[index]), color, 2, cv2.LINE_AA, _SHIFT)
    colors = {int(index): LINE_COLORS[number % len(LINE_COLORS)] for number, index in enumerate(drawn)}
    for index in range(len(left)):
        for point in (left[index], right[index]):
            _dot(picture, point, radius=4, color=(0, 0, 0))  # a dark rim, to be seen on bright photos
            _dot(picture, point, radius=3, color=colors.get(index, LINE_COLORS[0]))


@functools.cache
def _font(size: int) -> Any:
    """Return DejaVu Sans, which Matplotlib brings: Latin, Greek, Cyrillic, Arabic and Hebrew letters, no Chinese."""
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def _dot(picture: NDArray[Any], point: NDArray[Any], *, radius: int, color: tuple[int, int, int]) -> None:
    cv2.circle(picture, _fixed(point), radius << _SHIFT, color, -1, cv2.LINE_AA, _SHIFT)


def _fixed(point: NDArray[Any]) -> tuple[int, int]:
    x, y = np.round(point * (1 << _SHIFT)).astype(int)
    return int(x), int(y)


def _check_images(test_image: NDArray[Any], reference_image: NDArray[Any], height: int) -> None:
    if height < _MIN_HEIGHT:
        raise ValueError(f"height should be at least {_MIN_HEIGHT}. Received: {height}")
    for name, image in (("test_image", test_image), ("reference_image", reference_image)):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ValueError(f"{name} should be (H, W, 3) uint8. Received: {image.shape} {image.dtype}")


def _check_matches(test_points: NDArray[Any], reference_points: NDArray[Any], inliers: NDArray[Any]) -> None:
    if inliers.ndim != 1 or inliers.dtype != np.bool_:
        raise ValueError(f"inliers should be (K,) bool. Received: {inliers.shape} {inliers.dtype}")
    for name, points in (("test_points", test_points), ("reference_points", reference_points)):
        if points.shape != (len(inliers), 2):
            raise ValueError(f"{name} should be ({len(inliers)}, 2). Received: {points.shape}")
        if not np.all(np.isfinite(points)):
            raise ValueError(f"{name} should be finite. Received: {points[~np.isfinite(points).all(axis=1)][0]}")
