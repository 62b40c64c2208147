"""Finds the weights file of a network by name: VGG16's as core.weights does, the others' through Keras' download."""

from __future__ import annotations

from pathlib import Path

from landmark_spark.core.networks import NETWORKS
from landmark_spark.core.own_process import OwnProcessError, run_python
from landmark_spark.core.weights import (
    IMAGENET_DIGEST,
    WeightsError,
    WeightsNotFound,
    cache_path,
    digest_weights,
    find_weights,
    resolve_weights,
)

__all__ = ["describe_weights", "resolve_network_weights"]

_SUFFIXES = (".h5", ".keras")
_CHECKED = "vgg16"  # the network whose files core.weights knows array by array
_EXPORT = """
import sys, keras
network = getattr(keras.applications, sys.argv[1])
network(weights="imagenet", include_top=False, input_shape=(224, 224, 3)).save_weights(sys.argv[2])
"""


def resolve_network_weights(name: str, weights: str) -> Path | None:
    """Return the weights file meant by a configuration: ``imagenet``, ``random`` (None) or a path.

    VGG16's is looked for and checked by ``core.weights.resolve_weights``. ``imagenet`` of another network is what
    keras.applications downloads, kept without top in this project's cache. Raises WeightsNotFound, WeightsError.
    """
    if name == _CHECKED or weights == "random":
        return resolve_weights(weights)
    if weights == "imagenet":
        path = _exported_path(name)
        return path if path.is_file() else _export(name, path)
    path = Path(weights).expanduser()
    if not path.is_file():
        raise WeightsNotFound(f"backbone.weights should be imagenet, random or a file. Received: {weights}")
    if path.suffix not in _SUFFIXES:
        raise WeightsError(f"backbone.weights should be a file *.h5 or *.keras. Received: {weights}")
    return path


def describe_weights(name: str, weights: str) -> dict[str, str]:
    """Return what identifies the weights that would be used: their digest; nothing for random ones.

    Asks no network: where this machine has no ImageNet weights (yet) it names those that would be fetched, so that
    what was made with them stays current. A file that is missing or none is "missing": an error of the run that needs
    it.
    """
    if weights == "random":
        return {}
    if weights == "imagenet" and name != _CHECKED:
        return {"weights": f"keras.applications imagenet {name}"}
    try:
        path = find_weights() if weights == "imagenet" else resolve_network_weights(name, weights)
        return {"weights": IMAGENET_DIGEST if path is None else digest_weights(path)}
    except (WeightsError, WeightsNotFound):
        return {"weights": "missing"}


def _exported_path(name: str) -> Path:
    return cache_path().parent / f"{name}_imagenet_notop.weights.h5"


def _export(name: str, path: Path) -> Path:
    """Let Keras fetch a network's ImageNet weights, and keep them in one file; raise WeightsNotFound where it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".unfinished-{path.name}")  # Keras wants the name to end in .weights.h5
    try:
        run_python(_EXPORT, NETWORKS[name].constructor, str(unfinished))
    except OwnProcessError as error:
        raise WeightsNotFound(
            f"the ImageNet weights of {name} should be in {path} or at Keras' download address. Received: {error} "
            "Copy that file from a machine with the network, or set backbone.weights to a Keras weights file."
        ) from error
    return unfinished.replace(path)
