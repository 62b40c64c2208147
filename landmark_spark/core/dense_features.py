"""Runs a network over images of any sizes, at several scales: batched by size, and what it gives brought back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.keypoint_selection import cell_centres
from landmark_spark.core.local_features import RgbImage
from landmark_spark.core.model_runner import CompiledModel, ModelRunner

__all__ = ["Cells", "compile_dense", "find_cells"]

Floats = NDArray[np.float32]
Size = tuple[int, int]

_BUCKET = 64
"""Sides are filled up to multiples of this many pixels: few shapes, each of which a framework compiles once."""
_SMALLEST_SIDE = 32
"""An image is left out at the scales at which a side would be shorter."""


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of one image, over all scales.

    centres: (N, 2) float32, (x, y) in pixels of the image. features: (N, C) float32, as they are. scores: (N,) float32.
    """

    centres: Floats
    features: Floats
    scores: Floats


def compile_dense(model: Any, *, batch_size: int, tell: Callable[[str], object]) -> ModelRunner:
    """Return what runs a network of images of any size, ``core.delf_network.build_extractor``'s, on Keras' backend.

    Without XLA, which takes seconds for each shape. PyTorch and JAX go through Keras' own ``predict_on_batch``.
    """
    import keras

    call = model.predict_on_batch
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        given = tf.TensorSpec((None, None, None, 3), tf.uint8)
        call = tf.function(lambda batch: model(batch, training=False), input_signature=[given])
    fixed_size = keras.config.backend() == "jax"
    return ModelRunner(CompiledModel(call, (), "float32", fixed_size=fixed_size), batch_size=batch_size, tell=tell)


def find_cells(
    images: Sequence[RgbImage], run: Callable[[Any], Any], *, scales: Sequence[float], stride: int
) -> list[Cells]:
    """Return the cells of each image, the scales in their order and each row by row; none of an image too small.

    run: (B, H, W, 3) uint8 -> (B, h, w, C + 1) float32, the score last. Images are filled up on the right and below
    with their own last pixels, and cells whose centre lies there are left out: what is filled in reaches those beside
    it, and the same on every machine. Images that fill up to one size go through the network together.
    """
    found: list[list[Cells]] = [[] for _ in images]
    for scale in scales:
        groups: dict[Size, list[int]] = {}
        sizes = [_resized_size(image, scale) for image in images]
        for number, size in enumerate(sizes):
            if min(size) >= _SMALLEST_SIDE:
                groups.setdefault((_filled(size[0]), _filled(size[1])), []).append(number)
        for bucket, members in groups.items():
            batch = np.stack([_fill(_resize(images[number], sizes[number]), bucket) for number in members])
            for number, maps in zip(members, run(batch), strict=True):
                found[number].append(_cells(maps, stride, sizes[number], images[number]))
    return [_join(each) for each in found]


def _resized_size(image: RgbImage, scale: float) -> Size:
    height, width = image.shape[:2]
    return max(1, round(height * scale)), max(1, round(width * scale))


def _filled(side: int) -> int:
    return -(-side // _BUCKET) * _BUCKET


def _resize(image: RgbImage, size: Size) -> RgbImage:
    if image.shape[:2] == size:
        return image
    is_smaller = size[0] < image.shape[0]
    resized = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def _fill(image: RgbImage, size: Size) -> RgbImage:
    rows, columns = size[0] - image.shape[0], size[1] - image.shape[1]
    return np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="edge")


def _cells(maps: Floats, stride: int, resized: Size, image: RgbImage) -> Cells:
    original = (image.shape[0], image.shape[1])
    height, width = (-(-side // stride) for side in resized)
    centres = cell_centres(stride, resized=resized, original=original)
    rows = maps[:height, :width].reshape(height * width, -1)
    is_inside = (centres[:, 0] <= original[1] - 1) & (centres[:, 1] <= original[0] - 1)
    return Cells(centres[is_inside], rows[is_inside, :-1], rows[is_inside, -1])


def _join(parts: Sequence[Cells]) -> Cells:
    if not parts:
        return Cells(np.zeros((0, 2), np.float32), np.zeros((0, 0), np.float32), np.zeros(0, np.float32))
    return Cells(
        *(np.concatenate([getattr(each, name) for each in parts]) for name in ("centres", "features", "scores"))
    )
