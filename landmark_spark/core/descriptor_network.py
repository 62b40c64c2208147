"""Builds the network of a global descriptor: a base of keras.applications, and GeM pooling of its last feature map.

After Radenovic, Tolias and Chum, "Fine-tuning CNN Image Retrieval with No Human Annotation" (TPAMI 2018), with the
weights as they were trained for classification.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from landmark_spark.core.backbone import PrecisionPolicy, pool_features, preprocess_pixels
from landmark_spark.core.networks import NETWORKS, Network, check_network, resolve_preprocessing
from landmark_spark.core.precision import resolve_precision

if TYPE_CHECKING:
    import keras

__all__ = ["DescriptorPlan", "build_descriptor_network", "parse_networks", "trained_preprocessing"]

_LAST_CONVOLUTIONS = {"vgg16": "block5_conv3", "vgg19": "block5_conv4"}
"""Of the bases that end in a pooling of 2 x 2, which would leave a quarter of the positions to the one after it."""

_ANY_SIDE = 4096
"""Large enough for every network: the sides of the images are free."""

_FIXED_SIZE = ("nasnetmobile", "nasnetlarge")
"""Keras builds their cells by the sides of the maps: with sides that are not known yet, they do not fit together."""


@dataclass(frozen=True)
class DescriptorPlan:
    """What decides the vector of a view.

    name: of core.networks.NETWORKS. weights: a Keras weights file of it without top; None gives random weights from
    ``seed``, the same every time. preprocessing: auto, as the network was trained, or a word of
    core.networks.PREPROCESSINGS. gem_power: of the generalised mean, at least 1. precision: as core.precision has it.
    """

    name: str = "vgg16"
    weights: Path | None = None
    preprocessing: str = "auto"
    gem_power: float = 3.0
    precision: str = "auto"
    seed: int = 0


def build_descriptor_network(plan: DescriptorPlan) -> keras.Model:
    """Build the network: images (B, H, W, 3) uint8 RGB -> (B, C) float32, not normalised. B, H and W are free.

    The pooled map is the base's last one; of VGG16 and VGG19 that of the last convolution, before the pooling. Raises
    ValueError for what the plan should not say.
    """
    import keras

    network = _check_free_network(plan.name)
    preprocessing = trained_preprocessing(plan.preprocessing, plan.name)
    if not plan.gem_power >= 1.0:
        raise ValueError(f"gem_power should be at least 1. Received: {plan.gem_power}")
    weights = None if plan.weights is None else str(plan.weights)
    with PrecisionPolicy(resolve_precision(plan.precision)):
        keras.utils.set_random_seed(plan.seed)
        constructor = getattr(keras.applications, network.constructor)
        base = constructor(weights=weights, include_top=False, input_shape=(None, None, 3))
    if plan.name in _LAST_CONVOLUTIONS:
        base = keras.Model(base.input, base.get_layer(_LAST_CONVOLUTIONS[plan.name]).output)
    images = keras.Input((None, None, 3), dtype="uint8", name="images")
    features = keras.ops.cast(base(preprocess_pixels(images, preprocessing)), "float32")
    return keras.Model(images, pool_features(features, "gem", plan.gem_power))


def trained_preprocessing(preprocessing: str, name: str) -> str:
    """Return the preprocessing that a network was trained with for ``auto``, or the one that was named.

    For VGG that is "caffe", unlike ``core.networks.resolve_preprocessing``. Raises ValueError.
    """
    return NETWORKS[name].published if preprocessing == "auto" else resolve_preprocessing(preprocessing, name)


def parse_networks(text: str) -> tuple[str, ...]:
    """Read names of networks with spaces between; raise ValueError for none, an unknown one, or one named twice."""
    names = tuple(text.split())
    if not names or len(set(names)) < len(names):
        raise ValueError(f"networks should be named, each once, with spaces between. Received: {text!r}")
    for name in names:
        _check_free_network(name)
    return names


def _check_free_network(name: str) -> Network:
    """Return the network of a name; raise ValueError where there is none, or it takes images of one size only."""
    network = check_network(name, _ANY_SIDE)
    if name in _FIXED_SIZE:
        raise ValueError(f"the network should take images of any size. Received: {name!r}")
    return network
