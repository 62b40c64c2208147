"""Finds local features in an image: keypoints and unit-length descriptors; packs them for a binary column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.matching import round_descriptors

__all__ = [
    "KINDS",
    "ExtractMany",
    "Extractor",
    "LocalFeatures",
    "RgbImage",
    "check_image",
    "load_extractor",
    "one_by_one",
    "pack_array",
    "unpack_descriptors",
    "unpack_keypoints",
]

RgbImage = NDArray[np.uint8]
"""An image, (H, W, 3) uint8, RGB."""

Extractor = Callable[[RgbImage], "LocalFeatures"]
"""Finds the features of one image."""

ExtractMany = Callable[[Sequence[RgbImage]], "list[LocalFeatures]"]
"""Finds the features of several images, of any sizes; one LocalFeatures each, in their order."""

_SIFT_SIZE = 128


@dataclass(frozen=True, eq=False)
class LocalFeatures:
    """The local features of one image, the strongest first.

    keypoints: (N, 2) float32, (x, y) in pixels; a place may stand several times, once an orientation found there.
    descriptors: (N, D) float16, of unit L2 length up to the rounding of float16 (below 0.001).
    width, height: of the image they were found in, pixels.
    """

    keypoints: NDArray[np.float32]
    descriptors: NDArray[np.float16]
    width: int
    height: int

    def __post_init__(self) -> None:
        """Check the shapes against each other."""
        if self.keypoints.ndim != 2 or self.keypoints.shape[1] != 2:
            raise ValueError(f"keypoints should be of shape (N, 2). Received: {self.keypoints.shape}")
        if self.descriptors.ndim != 2 or len(self.descriptors) != len(self.keypoints):
            raise ValueError(
                f"descriptors should be of shape ({len(self.keypoints)}, D). Received: {self.descriptors.shape}"
            )
        if self.width < 1 or self.height < 1:
            raise ValueError(f"width and height should be at least 1. Received: {self.width} x {self.height}")

    @cached_property
    def rounded_descriptors(self) -> NDArray[np.float32]:
        """The descriptors as ``matching.match_rounded`` takes them: made once for all comparisons of the image."""
        return round_descriptors(self.descriptors)


def load_extractor(kind: str, *, max_keypoints: int) -> Extractor:
    """Return a function from an image, (H, W, 3) uint8 RGB, to its LocalFeatures.

    Args:
        kind: a word of KINDS. sift: OpenCV's SIFT on the grey image, as RootSIFT (Arandjelovic and Zisserman, "Three
            things everyone should know to improve object retrieval", CVPR 2012): each descriptor divided by its L1
            length, then the square root of each value, which leaves it of unit L2 length; D = 128.
        max_keypoints: the strongest are kept; of equal response those further left, then further up, then the smaller.

    Raises:
        ValueError: the kind is unknown or max_keypoints is below 1; from the function: the image is no RGB image.
    """
    if kind not in _LOADERS:
        raise ValueError(f"kind should be one of {', '.join(KINDS)}. Received: {kind!r}")
    if max_keypoints < 1:
        raise ValueError(f"max_keypoints should be at least 1. Received: {max_keypoints}")
    return _LOADERS[kind](max_keypoints)


def one_by_one(extract: Extractor) -> ExtractMany:
    """Return an extractor of one image as one of several."""
    return lambda images: [extract(image) for image in images]


def check_image(image: RgbImage) -> None:
    """Raise ValueError for what is no RGB image, or is empty."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"image should be (H, W, 3) uint8, not empty. Received: {image.shape} {image.dtype}")


def pack_array(array: NDArray[np.floating[Any]]) -> bytes:
    """Return the bytes of a float16 or float32 array, little-endian, in C order."""
    if array.dtype.kind != "f" or array.dtype.itemsize not in (2, 4):
        raise ValueError(f"array should be float16 or float32. Received: {array.dtype}")
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def unpack_keypoints(data: bytes) -> NDArray[np.float32]:
    """Return packed keypoints as (N, 2) float32. Raises ValueError where the bytes are not whole pairs."""
    if len(data) % 8:
        raise ValueError(f"keypoints should be packed in 8 bytes each. Received: {len(data)} bytes")
    return np.frombuffer(data, dtype="<f4").astype(np.float32, copy=False).reshape(-1, 2)


def unpack_descriptors(data: bytes, num_keypoints: int) -> NDArray[np.float16]:
    """Return packed descriptors as (N, D) float16; D follows from the length, and is 0 where there is no keypoint.

    Raises:
        ValueError: the bytes are no whole, non-zero number of float16 values a keypoint.
    """
    if num_keypoints < 0:
        raise ValueError(f"num_keypoints should be at least 0. Received: {num_keypoints}")
    fits = len(data) > 0 and len(data) % (2 * num_keypoints) == 0 if num_keypoints else len(data) == 0
    if not fits:
        raise ValueError(
            f"descriptors of {num_keypoints} keypoints should be packed in a multiple of {2 * num_keypoints} bytes. "
            f"Received: {len(data)} bytes"
        )
    size = len(data) // (2 * num_keypoints) if num_keypoints else 0
    return np.frombuffer(data, dtype="<f2").astype(np.float16, copy=False).reshape(num_keypoints, size)


def _load_sift(max_keypoints: int) -> Extractor:
    # OpenCV keeps all keypoints that are as strong as the last one it keeps, so that it may return more.
    sift = cv2.SIFT.create(nfeatures=max_keypoints)

    def extract(image: RgbImage) -> LocalFeatures:
        check_image(image)
        height, width = image.shape[:2]
        grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
        found, computed = sift.detectAndCompute(grey, cast(Any, None))  # no mask, which the stubs forget
        raw = np.zeros((0, _SIFT_SIZE), np.float32) if computed is None else computed.astype(np.float32, copy=False)
        kept = [index for index in _by_strength(found) if raw[index].any()][:max_keypoints]
        keypoints = np.array([found[index].pt for index in kept], dtype=np.float32).reshape(-1, 2)
        return LocalFeatures(keypoints, _to_root_sift(raw[kept]), width, height)

    return extract


def _by_strength(found: Any) -> list[int]:
    """Return the indices of OpenCV keypoints, the strongest first."""
    keys = [(-each.response, each.pt, each.size, each.angle, each.octave) for each in found]
    return sorted(range(len(keys)), key=keys.__getitem__)


def _to_root_sift(raw: NDArray[np.float32]) -> NDArray[np.float16]:
    """Normalise SIFT descriptors (N, 128), of which none is all zeros."""
    unit: NDArray[np.float32] = np.sqrt(raw / raw.sum(axis=1, keepdims=True))
    return unit.astype(np.float16)


_LOADERS: dict[str, Callable[[int], Extractor]] = {"sift": _load_sift}

KINDS = tuple(_LOADERS)
"""The kinds that ``load_extractor`` loads: those that need no weights."""
