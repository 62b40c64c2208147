"""The networks of our own DELF: VGG16's dense features, attention over them, and what trains it.

After Noh, Araujo, Sim, Weyand and Han, "Large-Scale Image Retrieval with Attentive Deep Local Features", ICCV 2017:
the base is frozen, and a head of two 1 x 1 convolutions with a softplus at its end learns by classification which
places tell landmarks apart. The paper's base is a ResNet-50 fine-tuned on landmarks; this one is VGG16 as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landmark_spark.core.backbone import PrecisionPolicy, preprocess_pixels
from landmark_spark.core.precision import resolve_precision

__all__ = ["LAYER_STRIDES", "DelfNetworkPlan", "build_attention", "build_classifier", "build_dense", "build_extractor"]

LAYER_STRIDES = {"block3_conv3": 4, "block4_conv3": 8, "block5_conv3": 16}
"""Layers of VGG16 whose maps can be the features, and how many pixels lie between the centres of two cells."""

_FEATURE_SCALE = 0.01
"""The values of these layers reach some hundreds: a head that begins with small weights learns from about 1."""
_SMALLEST = 1e-6


@dataclass(frozen=True)
class DelfNetworkPlan:
    """What decides the networks besides their training.

    weights: of VGG16 without top; None gives random ones from ``seed``. layer: of LAYER_STRIDES. attention_units: of
    the head's first convolution; 512 as published. precision: of the base's arithmetic, as core.precision has it.
    """

    weights: Path | None = None
    layer: str = "block4_conv3"
    attention_units: int = 512
    precision: str = "auto"
    seed: int = 0


def build_dense(plan: DelfNetworkPlan) -> Any:
    """Return a frozen keras.Model: images (B, H, W, 3) uint8 RGB -> features (B, h, w, C) float32.

    Cell (i, j) has its centre at pixel ((j + 0.5) * stride - 0.5, (i + 0.5) * stride - 0.5): the convolutions keep the
    place, and each pooling joins two cells to one. H and W are free. The pixels are BGR minus the ImageNet mean, as the
    weights were trained. Raises ValueError for a layer that there is not.
    """
    import keras

    if plan.layer not in LAYER_STRIDES:
        raise ValueError(f"layer should be one of {', '.join(LAYER_STRIDES)}. Received: {plan.layer!r}")
    weights = None if plan.weights is None else str(plan.weights)
    with PrecisionPolicy(resolve_precision(plan.precision)):
        keras.utils.set_random_seed(plan.seed)
        base = keras.applications.VGG16(weights=weights, include_top=False, input_shape=(None, None, 3))
    cut = keras.Model(base.inputs, base.get_layer(plan.layer).output, name="base")
    cut.trainable = False
    images = keras.Input((None, None, 3), dtype="uint8", name="images")
    features = keras.ops.cast(cut(preprocess_pixels(images, "caffe")), "float32")
    return keras.Model(images, features, name="dense")


def build_attention(num_features: int, units: int, *, seed: int) -> Any:
    """Return a keras.Model: features (B, h, w, C) float32 -> scores (B, h, w, 1) float32, above 0."""
    import keras

    features = keras.Input((None, None, num_features), name="features")
    scaled = keras.layers.Rescaling(_FEATURE_SCALE, dtype="float32", name="scaled")(features)
    hidden = _convolution(units, "relu", seed, "hidden")(scaled)
    scores = _convolution(1, "softplus", seed + 1, "scores")(hidden)
    return keras.Model(features, scores, name="attention")


def build_classifier(dense: Any, attention: Any, num_classes: int, *, seed: int) -> Any:
    """Return a keras.Model: images -> probabilities (B, num_classes), of which the base alone is not trained.

    The image is the mean over its cells of score * feature of unit length, as published; then one layer and a softmax.
    """
    import keras

    features = dense.outputs[0]
    pooled = _attend(features, attention(features))
    start = keras.initializers.GlorotUniform(seed + 2)
    layer = keras.layers.Dense(num_classes, activation="softmax", kernel_initializer=start, name="classes")
    return keras.Model(dense.inputs, layer(pooled), name="delf_classifier")


def build_extractor(dense: Any, attention: Any) -> Any:
    """Return a keras.Model: images (B, H, W, 3) uint8 -> (B, h, w, C + 1) float32, the features, and then the score."""
    import keras

    features = dense.outputs[0]
    return keras.Model(dense.inputs, keras.ops.concatenate([features, attention(features)], axis=-1), name="delf")


def _convolution(units: int, activation: str, seed: int, name: str) -> Any:
    import keras

    start = keras.initializers.GlorotUniform(seed)
    return keras.layers.Conv2D(units, 1, activation=activation, kernel_initializer=start, dtype="float32", name=name)


def _attend(features: Any, scores: Any) -> Any:
    """Pool (B, h, w, C) by scores (B, h, w, 1) to (B, C)."""
    from keras import ops

    lengths = ops.sqrt(ops.sum(ops.square(features), axis=-1, keepdims=True))
    return ops.mean(scores * (features / ops.maximum(lengths, _SMALLEST)), axis=(1, 2))
