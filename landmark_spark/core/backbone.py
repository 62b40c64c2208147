"""Builds the network that makes features of images: a base of keras.applications without its top, through Keras."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landmark_spark.core.networks import check_network, resolve_preprocessing
from landmark_spark.core.precision import resolve_precision

if TYPE_CHECKING:
    import keras

__all__ = [
    "POOLINGS",
    "NetworkPlan",
    "PrecisionPolicy",
    "base_of",
    "build_network",
    "pool_features",
    "preprocess_pixels",
]

POOLINGS = ("none", "avg", "max", "gem")
_CAFFE_MEAN = (103.939, 116.779, 123.68)  # BGR, of ImageNet, 0 to 255: keras.applications' "caffe" mode
_TORCH_MEAN = (0.485, 0.456, 0.406)  # RGB, of ImageNet, 0 to 1: keras.applications' "torch" mode
_TORCH_DEVIATION = (0.229, 0.224, 0.225)
_GEM_FLOOR = 1e-6  # as in the authors' code: a power of a negative number is none


@dataclass(frozen=True)
class NetworkPlan:
    """Everything that decides the features of an image.

    name: of core.networks.NETWORKS. weights: a Keras weights file of it without top; None gives random weights from
    ``seed``, the same every time. image_size: side of the square images, pixels. preprocessing: auto, scale
    (RGB / 255), caffe (BGR minus the ImageNet mean), tf (-1 to 1), torch (RGB normalised) or none (0 to 255).
    pooling: of the last feature map over its positions: none, avg, max or gem, the generalised mean of power
    ``gem_power`` (Radenovic, Tolias and Chum, 2018). precision: auto, float32, bfloat16 or float16 (the last two mixed:
    weights stay float32).
    """

    name: str = "vgg16"
    weights: Path | None = None
    image_size: int = 128
    preprocessing: str = "auto"
    pooling: str = "none"
    gem_power: float = 3.0
    precision: str = "auto"
    seed: int = 0


def build_network(plan: NetworkPlan) -> keras.Model:
    """Build the network: images (B, image_size, image_size, 3) uint8 RGB -> features float32.

    features: the last feature map (B, H, W, F), 4x4x512 of VGG16 at 128; pooled (B, F). Preprocessing is part of the
    graph. The base is one nested layer: ``base_of(model)``. Raises ValueError for what the plan should not say.
    """
    import keras

    network = check_network(plan.name, plan.image_size)
    preprocessing = resolve_preprocessing(plan.preprocessing, plan.name)
    if plan.pooling not in POOLINGS:
        raise ValueError(f"pooling should be one of {', '.join(POOLINGS)}. Received: {plan.pooling!r}")
    shape = (plan.image_size, plan.image_size, 3)
    with PrecisionPolicy(resolve_precision(plan.precision)):
        keras.utils.set_random_seed(plan.seed)
        base = getattr(keras.applications, network.constructor)(
            weights=None if plan.weights is None else str(plan.weights),
            include_top=False,
            input_shape=shape,
        )
    inputs = keras.Input(shape, dtype="uint8", name="images")
    features = keras.ops.cast(base(preprocess_pixels(inputs, preprocessing)), "float32")
    return keras.Model(inputs, pool_features(features, plan.pooling, plan.gem_power))


def base_of(model: keras.Model) -> keras.Model:
    """Return the base inside a network that ``build_network`` made; its ``layers`` are counted as Keras counts them."""
    import keras

    return next(each for each in model.layers if isinstance(each, keras.Model))


class PrecisionPolicy:
    """Keras' precision while a base is built: mixed, with float32 weights, unless it is float32."""

    def __init__(self, precision: str) -> None:
        self._wanted = precision if precision == "float32" else f"mixed_{precision}"

    def __enter__(self) -> None:
        import keras

        self._before = keras.mixed_precision.dtype_policy()
        keras.mixed_precision.set_dtype_policy(self._wanted)

    def __exit__(self, *_: object) -> None:
        import keras

        keras.mixed_precision.set_dtype_policy(self._before)


def preprocess_pixels(images: Any, preprocessing: str) -> Any:
    """Return float32 pixels (B, H, W, 3) of uint8 ones, as keras.applications' modes of these names make them."""
    import keras

    if preprocessing == "caffe":
        bgr = keras.ops.flip(keras.ops.cast(images, "float32"), axis=-1)
        return _rescaling([1.0] * 3, [-mean for mean in _CAFFE_MEAN])(bgr)
    if preprocessing == "torch":
        offsets = [-mean / deviation for mean, deviation in zip(_TORCH_MEAN, _TORCH_DEVIATION, strict=True)]
        return _rescaling([1 / 255 / deviation for deviation in _TORCH_DEVIATION], offsets)(images)
    scale, offset = {"scale": (1 / 255, 0.0), "tf": (1 / 127.5, -1.0), "none": (1.0, 0.0)}[preprocessing]
    return _rescaling(scale, offset)(images)


def _rescaling(scale: Any, offset: Any) -> Any:
    import keras

    return keras.layers.Rescaling(scale, offset, dtype="float32", name="preprocessing")


def pool_features(features: Any, pooling: str, gem_power: float) -> Any:
    """Pool float32 feature maps (B, H, W, F) to (B, F), as ``NetworkPlan`` has it; "none" leaves them."""
    from keras import ops

    positions = (1, 2)
    if pooling == "avg":
        return ops.mean(features, axis=positions)
    if pooling == "max":
        return ops.max(features, axis=positions)
    if pooling == "gem":
        held = ops.maximum(features, _GEM_FLOOR)
        largest = ops.max(held, axis=positions, keepdims=True)  # a share of the largest: no power of it overflows
        mean = ops.mean(ops.power(held / largest, gem_power), axis=positions)
        return ops.squeeze(largest, axis=positions) * ops.power(mean, 1 / gem_power)
    return features
