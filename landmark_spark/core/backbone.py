"""Convolutional features of images: VGG16 without its top, through Keras."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Extract", "load_backbone"]

Extract = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float16]]

_CAFFE_MEAN = (103.939, 116.779, 123.68)  # BGR, of ImageNet, 0 to 255: keras.applications' "caffe" mode


def load_backbone(
    weights: Path | None,
    *,
    image_size: int = 128,
    preprocessing: str = "scale",
    precision: str = "float32",
    batch_size: int = 32,
    seed: int = 0,
) -> Extract:
    """Load VGG16 (Simonyan and Zisserman, 2015) without top; return a function from images to its last feature map.

    images: (B, image_size, image_size, 3) uint8, RGB. features: (B, H, W, 512) float16, H = W = image_size // 32;
    4x4x512 at 128. B is free: the images are run in batches of ``batch_size``, the last one filled up, so that the
    network is compiled once. Values beyond float16's 65,504 are held there ("caffe" features are large).

    weights: a Keras weights file without top; None gives random weights from ``seed``, the same every time.
    preprocessing: "scale" (RGB / 255) or "caffe" (BGR minus the ImageNet mean).
    precision: "float32" or "bfloat16" (mixed: weights stay float32).
    """
    if image_size < 32:
        raise ValueError(f"image_size should be at least 32. Received: {image_size}")
    if preprocessing not in ("scale", "caffe"):
        raise ValueError(f"preprocessing should be scale or caffe. Received: {preprocessing!r}")
    model = _build(weights, image_size, preprocessing, precision, seed)
    shape = (image_size, image_size, 3)

    def extract(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float16]:
        if images.dtype != np.uint8 or images.shape[1:] != shape:
            raise ValueError(
                f"images should be (B, {image_size}, {image_size}, 3) uint8. Received: {images.shape} {images.dtype}"
            )
        parts = [
            _run(model, images[start : start + batch_size], batch_size) for start in range(0, len(images), batch_size)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, *model.output_shape[1:]), np.float16)

    return extract


def _run(model: Any, images: npt.NDArray[np.uint8], batch_size: int) -> npt.NDArray[np.float16]:
    filler = np.zeros((batch_size - len(images), *images.shape[1:]), np.uint8)
    features = np.asarray(model.predict_on_batch(np.concatenate([images, filler])), np.float32)[: len(images)]
    limit = float(np.finfo(np.float16).max)
    return np.clip(features, -limit, limit).astype(np.float16)


def _build(weights: Path | None, image_size: int, preprocessing: str, precision: str, seed: int) -> Any:
    import keras

    policy = keras.mixed_precision.dtype_policy()
    keras.utils.set_random_seed(seed)
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    try:
        base = keras.applications.VGG16(
            weights=None if weights is None else str(weights),
            include_top=False,
            input_shape=(image_size, image_size, 3),
        )
    finally:
        keras.mixed_precision.set_dtype_policy(policy)
    inputs = keras.Input((image_size, image_size, 3), dtype="uint8")
    if preprocessing == "scale":
        pixels = keras.layers.Rescaling(1 / 255)(inputs)
    else:
        floats = keras.ops.flip(keras.ops.cast(inputs, "float32"), axis=-1)
        pixels = floats - np.asarray(_CAFFE_MEAN, np.float32)
    return keras.Model(inputs, keras.ops.cast(base(pixels), "float32"))
