"""Builds a network in a process of its own, to tell early what a run would else learn from it hours later."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from landmark_spark.core.networks import check_network
from landmark_spark.core.own_process import OwnProcessError, run_python
from landmark_spark.core.weights import CONVOLUTIONS, WeightsError

__all__ = ["NetworkFacts", "probe_network"]

_VGG16_LAYERS = 1 + len(CONVOLUTIONS) + 5  # input, convolutions, pools
_PROBE = """
import json, sys, keras
constructor, weights, side = json.loads(sys.argv[1])
base = getattr(keras.applications, constructor)(weights=weights, include_top=False, input_shape=(side, side, 3))
normalising = [isinstance(each, keras.layers.BatchNormalization) for each in base.layers]
print(json.dumps([number for number, found in enumerate(normalising) if found] + [len(base.layers)]))
"""


@dataclass(frozen=True)
class NetworkFacts:
    """What a base without top is made of. num_layers: as Keras counts them; the first is the input.

    normalising: places, from 0, of its BatchNormalization layers.
    """

    num_layers: int
    normalising: tuple[int, ...] = ()


@lru_cache(maxsize=8)
def probe_network(name: str, *, image_size: int, weights: Path | None = None) -> NetworkFacts:
    """Return the facts of a network of core.networks.NETWORKS, with a weights file loaded into it where one is given.

    VGG16 is not built for it: its layers are known, and its file is checked by core.weights. For the others it takes
    some seconds. Raises ValueError for an unknown name, WeightsError for a file that the network does not take.
    """
    network = check_network(name, image_size)
    if name == "vgg16":
        return NetworkFacts(_VGG16_LAYERS)
    arguments = json.dumps([network.constructor, None if weights is None else str(weights), image_size])
    try:
        told = run_python(_PROBE, arguments)
    except OwnProcessError as error:
        shown = "" if weights is None else f" with the weights of {weights}"
        raise WeightsError(f"{name} should be built{shown}. Received: {str(error).strip()}") from error
    *normalising, num_layers = json.loads(told.splitlines()[-1])
    return NetworkFacts(num_layers, tuple(normalising))
