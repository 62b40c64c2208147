"""Describes an image by the mean over its views: scales, crops and mirror images, each through a pooling network.

Test-time augmentation as retrieval has it: the views' vectors of unit length are summed (Radenovic, Tolias and Chum,
"Fine-tuning CNN Image Retrieval with No Human Annotation", TPAMI 2018, over scales). Centre and corners, each mirrored
too, are the ten crops of Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural
Networks" (NIPS 2012).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.global_descriptors import average_views
from landmark_spark.core.images import RgbImage
from landmark_spark.core.pca import normalise
from landmark_spark.core.resizing import resize_to_longest

__all__ = [
    "CROPS",
    "MAX_SIDE",
    "MIN_SIDE",
    "ViewPlan",
    "describe_scaled",
    "join_descriptors",
    "list_views",
    "parse_sides",
    "scale_image",
]

Floats = NDArray[np.float32]

CROPS = ("none", "five")
MIN_SIDE, MAX_SIDE = 32, 4096
"""Least and largest of ``ViewPlan.sides``, pixels."""


@dataclass(frozen=True)
class ViewPlan:
    """Which views of an image are described.

    sides: longest sides that the image is brought to, pixels. flip: each view is described mirrored too. crops: none,
    or five: besides the whole image its centre and corners of three quarters of either side. min_side: no side of a
    view is shorter, pixels. Raises ValueError for what it should not say.
    """

    sides: tuple[int, ...] = (256,)
    flip: bool = False
    crops: str = "none"
    min_side: int = MIN_SIDE

    def __post_init__(self) -> None:
        """Check what the functions that take it do not."""
        if not self.sides or not all(MIN_SIDE <= each <= MAX_SIDE for each in self.sides):
            raise ValueError(
                f"sides should be from {MIN_SIDE} to {MAX_SIDE} pixels, at least one. Received: {self.sides}"
            )
        if not 1 <= self.min_side <= min(self.sides):
            raise ValueError(f"min_side should be from 1 to the least of {self.sides}. Received: {self.min_side}")
        if self.crops not in CROPS:
            raise ValueError(f"crops should be one of {', '.join(CROPS)}. Received: {self.crops!r}")


def parse_sides(text: str) -> tuple[int, ...]:
    """Read sides in pixels with spaces between. Raises ValueError for anything but different integers in the limits."""
    words = text.split()
    sides = tuple(int(word) for word in words if len(word) <= 4 and word.isascii() and word.isdigit())
    if not words or len(sides) < len(words) or not all(MIN_SIDE <= each <= MAX_SIDE for each in sides):
        raise ValueError(f"sides should be integers from {MIN_SIDE} to {MAX_SIDE}, spaces between. Received: {text!r}")
    if len(set(sides)) < len(sides):
        raise ValueError(f"sides should each be named once. Received: {text!r}")
    return sides


def scale_image(image: RgbImage, plan: ViewPlan) -> list[RgbImage]:
    """Return (H, W, 3) uint8 brought to each of ``plan.sides``, in their order. Raises ValueError for another array."""
    return [resize_to_longest(image, side, min_side=plan.min_side) for side in plan.sides]


def list_views(image: RgbImage, plan: ViewPlan) -> list[RgbImage]:
    """Return the views (h, w, 3) of an image (H, W, 3) of one scale, none of them a copy.

    The whole; the centre and the corners (upper left and right, lower left and right); then all of these mirrored. The
    views of a mirrored image are the mirrored views of the image.
    """
    views = [image] if plan.crops == "none" else [image, *_five_crops(image, plan.min_side)]
    return views + [view[:, ::-1] for view in views] if plan.flip else views


def _five_crops(image: RgbImage, min_side: int) -> list[RgbImage]:
    """Return centre and corners; an eighth is cut off at either end, so that the centre is one to the pixel."""
    margins = [max(0, min((side + 4) // 8, (side - min_side) // 2)) for side in image.shape[:2]]
    height, width = (side - 2 * margin for side, margin in zip(image.shape[:2], margins, strict=True))
    places = [(1, 1), (0, 0), (0, 2), (2, 0), (2, 2)]  # in margins
    starts = [(down * margins[0], across * margins[1]) for down, across in places]
    return [image[top : top + height, left : left + width] for top, left in starts]


def describe_scaled(
    scaled: Sequence[Sequence[RgbImage]], plan: ViewPlan, run: Callable[[RgbImage], Floats], *, batch_size: int
) -> Floats:
    """Return the unit vectors (N, C) float32 of N images: the direction of the sum over the unit vectors of the views.

    scaled: of each image what ``scale_image`` gave. run: (B, h, w, 3) uint8 -> (B, C) float32, B at most
    ``batch_size``; views of one shape go through it together, those of one scale at a time. Raises ValueError where
    there is no image.
    """
    if not scaled:
        raise ValueError("there should be at least one image. Received: none")
    summands: list[Floats] = []
    for number in range(len(plan.sides)):
        views = [view for scales in scaled for view in list_views(scales[number], plan)]
        pooled = normalise(_run_by_shape(views, run, batch_size))
        summands.extend(pooled.reshape(len(scaled), -1, pooled.shape[1]).transpose(1, 0, 2))
    return average_views(summands)


def _run_by_shape(images: Sequence[RgbImage], run: Callable[[RgbImage], Floats], batch_size: int) -> Floats:
    groups: dict[tuple[int, ...], list[int]] = {}
    for place, image in enumerate(images):
        groups.setdefault(image.shape, []).append(place)
    rows: dict[int, Floats] = {}
    for members in groups.values():
        for start in range(0, len(members), batch_size):
            batch = members[start : start + batch_size]
            rows.update(zip(batch, run(np.stack([images[place] for place in batch])), strict=True))
    return np.stack([rows[place] for place in range(len(images))])


def join_descriptors(parts: Sequence[Floats]) -> Floats:
    """Join unit vectors (N, C1), (N, C2), ... of several networks to unit vectors (N, C1 + C2 + ...).

    A dot product of two of them is the mean of the networks' own. Raises ValueError where there are none.
    """
    if not parts:
        raise ValueError("there should be the descriptors of at least one network. Received: none")
    joined: Floats = np.concatenate(parts, axis=1) / np.float32(np.sqrt(len(parts)))
    return joined
