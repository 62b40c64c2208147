"""Random changes of training images that keep what they show, by Keras' own layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Augment", "AugmentationPlan", "Draw", "load_augmentation"]

Images = npt.NDArray[np.uint8]


class Draw(NamedTuple):
    """What the random changes of some images depend on, so that each image has the same ones whoever makes them.

    seed: of the whole batch, from 0 to 2**32 - 1. first: the place of the first of these images in it. num_rows: of the
    whole batch.
    """

    seed: int
    first: int
    num_rows: int


Augment = Callable[[Images, Draw], Images]


@dataclass(frozen=True)
class AugmentationPlan:
    """How far images are changed at most, each by a random amount of its own: the names of ImageDataGenerator.

    shear_range: to either side, tangent of the angle, as of Keras 3 (ImageDataGenerator takes degrees: 0.2 there is all
    but none). zoom_range: in and out, as a share, width and height apart. rotation_range: to either side, degrees.
    width_shift_range, height_shift_range: to either side, as a share. horizontal_flip: half of the images, at random.
    """

    shear_range: float = 0.0
    zoom_range: float = 0.0
    rotation_range: float = 0.0
    width_shift_range: float = 0.0
    height_shift_range: float = 0.0
    horizontal_flip: bool = False


def load_augmentation(plan: AugmentationPlan) -> Augment:
    """Return a function of images (B, H, W, 3) uint8, some rows of a batch, and their draw: changed images, same shape.

    A row is changed alike in every part of the batch that has it. What moves in from outside is the nearest pixel of
    the border.
    """
    import keras

    make = keras.layers
    nearest = {"fill_mode": "nearest"}
    layers = []
    if plan.rotation_range:
        layers.append(make.RandomRotation(plan.rotation_range / 360, **nearest))
    if plan.width_shift_range or plan.height_shift_range:
        layers.append(make.RandomTranslation(plan.height_shift_range, plan.width_shift_range, **nearest))
    if plan.shear_range:
        layers.append(make.RandomShear(x_factor=plan.shear_range, **nearest))
    if plan.zoom_range:
        layers.append(make.RandomZoom(plan.zoom_range, plan.zoom_range, **nearest))
    if plan.horizontal_flip:
        layers.append(make.RandomFlip("horizontal"))

    def augment(images: Images, draw: Draw) -> Images:
        changed = keras.ops.cast(images, "float32")
        whole = np.empty((draw.num_rows, *images.shape[1:3], 0), np.float32)  # its shape is all that counts
        for number, layer in enumerate(layers):
            layer.generator.state.assign(np.array([draw.seed, number << 16], np.uint32))
            drawn = layer.get_random_transformation(whole, training=True)
            mine = _rows_of(drawn, slice(draw.first, draw.first + len(images)))
            changed = layer.transform_images(changed, mine, training=True)
        pixels: Images = np.clip(np.rint(keras.ops.convert_to_numpy(changed)), 0, 255).astype(np.uint8)
        return pixels

    return augment


def _rows_of(drawn: Mapping[str, Any], rows: slice) -> dict[str, Any]:
    """Return the part of a layer's draw that is of some rows; what is no tensor is of all."""
    import keras

    return {name: value[rows] if keras.ops.is_tensor(value) else value for name, value in drawn.items()}
