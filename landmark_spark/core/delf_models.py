"""Loads the SavedModel of an official DELF export and calls it, whichever of the published forms it has."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.delf_export import DelfExportError
from landmark_spark.core.local_features import RgbImage

__all__ = ["FindFeatures", "load_delf_model"]

FindFeatures = Callable[[RgbImage], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""From an image to its keypoints (N, 2), (x, y) in pixels of the image, and descriptors (N, D), both float32."""


@dataclass(frozen=True)
class _Form:
    """A signature that exports have: the names of its inputs, and of its outputs, places first."""

    image: str
    scales: str
    max_features: str
    threshold: str
    outputs: tuple[str, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.image, self.scales, self.max_features, self.threshold

    def matches(self, inputs: set[str], outputs: set[str]) -> bool:
        return set(self.inputs) <= inputs <= {*self.inputs, _GLOBAL_SCALES} and set(self.outputs) <= outputs

    def __str__(self) -> str:
        return _described(self.inputs, self.outputs)


_GLOBAL_SCALES = "input_global_scales_ind"  # of DELG exports that give a global descriptor too; not used here
_BOXES = _Form(
    image="input_image",
    scales="input_scales",
    max_features="input_max_feature_num",
    threshold="input_abs_thres",
    outputs=("boxes", "features", "scales", "scores"),
)
_LOCATIONS = _Form(
    image="image",
    scales="image_scales",
    max_features="max_feature_num",
    threshold="score_threshold",
    outputs=("locations", "descriptors"),
)


@dataclass(frozen=True)
class _Model:
    """What to call, by the names of the form; dtypes: of its inputs."""

    form: _Form
    call: Callable[..., Mapping[str, Any]]
    dtypes: Mapping[str, Any]


def load_delf_model(graph: Path, *, scales: Sequence[float], max_features: int, score_threshold: float) -> FindFeatures:
    """Load a SavedModel, given by its ``saved_model.pb``, and return what calls it on an image, (H, W, 3) uint8 RGB.

    Three forms are published: DELF v1, GLD and DELG exports of TensorFlow 1 and 2, which give boxes (ymin, xmin, ymax,
    xmax), whose centres the keypoints are; and the TF-Hub module, which takes RGB in [0, 1] and gives locations (y, x).

    Raises:
        DelfExportError: TensorFlow cannot load it, or it has none of these forms; the message says what it offers.
    """
    import tensorflow as tf

    loaded = _load(graph)
    model = _by_signature(loaded) or _by_tensors(loaded)
    if model is None:
        raise DelfExportError(
            f"a DELF export should have a signature {_BOXES}, or {_LOCATIONS}. "
            f"Received: {_offers(loaded) or 'no signature'}, in {graph.parent}"
        )
    form, dtypes = model.form, model.dtypes
    given = {form.scales: list(scales), form.max_features: max_features, form.threshold: score_threshold}
    if _GLOBAL_SCALES in dtypes:
        given[_GLOBAL_SCALES] = [0]
    constants = {name: tf.constant(value, dtypes[name]) for name, value in given.items()}
    image_is_float = dtypes[form.image].is_floating

    def find(image: RgbImage) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        pixels = image.astype(np.float32) / np.float32(255) if image_is_float else image
        outputs = model.call(**{form.image: tf.constant(pixels, dtypes[form.image])}, **constants)
        places, descriptors = (outputs[name].numpy().astype(np.float32, copy=False) for name in form.outputs[:2])
        if form is _BOXES:
            places = (places[:, :2] + places[:, 2:]) / 2
        return np.ascontiguousarray(places[:, ::-1]), descriptors

    return find


def _load(graph: Path) -> Any:
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        tags = None
        if graph.suffix == ".pb":  # a TF-Hub module has no tag, which must be said
            graphs = saved_model_pb2.SavedModel.FromString(graph.read_bytes()).meta_graphs
            offered = [sorted(each.meta_info_def.tags) for each in graphs]
            tags = next((each for each in (["serve"], []) if each in offered), offered[0])
        with _no_warnings(tf.get_logger()):  # of each variable of a graph of TensorFlow 1: it is not to be trained
            return tf.saved_model.load(str(graph.parent), tags=tags)
    except Exception as error:  # of TensorFlow's file systems, checkpoints and graphs: each has its own
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise DelfExportError(f"{graph.parent} should be a whole SavedModel. Received: {reason}") from error


@contextlib.contextmanager
def _no_warnings(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _by_signature(loaded: Any) -> _Model | None:
    for _, function in sorted(loaded.signatures.items()):
        specs = function.structured_input_signature[1]
        for form in (_BOXES, _LOCATIONS):
            if form.matches(set(specs), set(function.structured_outputs)):
                return _Model(form, function, {name: spec.dtype for name, spec in specs.items()})
    return None


def _by_tensors(loaded: Any) -> _Model | None:
    """Take a graph of TensorFlow 1 by the names of its tensors, where it has no signature that says the same."""
    if not hasattr(loaded, "prune"):
        return None
    try:
        feeds = [loaded.graph.get_tensor_by_name(f"{name}:0") for name in _BOXES.inputs]
        fetches = {name: loaded.graph.get_tensor_by_name(f"{name}:0") for name in _BOXES.outputs}
    except KeyError:
        return None
    pruned = loaded.prune(feeds, fetches)

    def call(**inputs: Any) -> Mapping[str, Any]:
        found: Mapping[str, Any] = pruned(*(inputs[name] for name in _BOXES.inputs))
        return found

    return _Model(_BOXES, call, {name: feed.dtype for name, feed in zip(_BOXES.inputs, feeds, strict=True)})


def _offers(loaded: Any) -> str:
    return "; ".join(
        f"{name}: {_described(sorted(each.structured_input_signature[1]), sorted(each.structured_outputs))}"
        for name, each in sorted(loaded.signatures.items())
    )


def _described(inputs: Sequence[str], outputs: Sequence[str]) -> str:
    return f"({', '.join(inputs)} -> {', '.join(outputs)})"
