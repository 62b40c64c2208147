"""The networks of keras.applications by name: how each one's pixels are prepared and how small they may be.

EfficientNetB0 to B7 are not among them: Keras gives those one more layer where it loads its own ImageNet weights, and
the same weights from a file would give other features without a word. EfficientNetV2 has no such layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["NETWORKS", "PREPROCESSINGS", "Network", "check_network", "resolve_preprocessing"]

PREPROCESSINGS = ("scale", "caffe", "tf", "torch", "none")
"""What can be done to RGB pixels of 0 to 255; ``auto`` stands for one of them."""


@dataclass(frozen=True)
class Network:
    """One network. constructor: its function in keras.applications.

    published: the preprocessing it was trained with; none where the network itself holds it, as its first layers.
    min_side: smallest side of an image that it takes, pixels.
    """

    constructor: str
    published: str
    min_side: int = 32


_PUBLISHED = {
    "caffe": ("VGG16", "VGG19", "ResNet50", "ResNet101", "ResNet152"),
    "tf": (
        *("ResNet50V2", "ResNet101V2", "ResNet152V2", "InceptionV3", "InceptionResNetV2", "Xception"),
        *("MobileNet", "MobileNetV2", "NASNetMobile", "NASNetLarge"),
    ),
    "torch": ("DenseNet121", "DenseNet169", "DenseNet201"),
    "none": (
        "MobileNetV3Small",
        "MobileNetV3Large",
        *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
        *(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")),
    ),
}
_MIN_SIDES = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}

NETWORKS: Mapping[str, Network] = MappingProxyType(
    {
        constructor.lower(): Network(constructor, published, _MIN_SIDES.get(constructor, 32))
        for published, constructors in _PUBLISHED.items()
        for constructor in constructors
    }
)
"""Every network there is, by the name that ``backbone.name`` takes: the constructor's in small letters."""


def check_network(name: str, image_size: int) -> Network:
    """Return the network of a name; raise ValueError where there is none, or where it takes no images so small."""
    network = NETWORKS.get(name)
    if network is None:
        raise ValueError(f"the network should be one of {', '.join(NETWORKS)}. Received: {name!r}")
    if image_size < network.min_side:
        raise ValueError(f"image_size should be at least {network.min_side} for {name}. Received: {image_size}")
    return network


def resolve_preprocessing(preprocessing: str, name: str) -> str:
    """Return the preprocessing that ``auto`` means for a network, or the one that was named.

    VGG's is "scale", which gave the better GAP, though the network was trained with "caffe". Raises ValueError.
    """
    if preprocessing == "auto":
        return "scale" if name.startswith("vgg") else NETWORKS[name].published
    if preprocessing not in PREPROCESSINGS:
        choices = ", ".join(PREPROCESSINGS)
        raise ValueError(f"preprocessing should be auto or one of {choices}. Received: {preprocessing!r}")
    return preprocessing
