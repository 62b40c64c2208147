"""A trained classifier on disk: the Keras model, the landmark of each class, the history and what it was made with."""

from __future__ import annotations

import json
import logging
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landmark_spark.core.model_runner import ModelRunner, compile_model

__all__ = [
    "CLASSES_FILE",
    "HISTORY_FILE",
    "MODEL_FILE",
    "ModelFileError",
    "Score",
    "best_classes",
    "load_classifier",
    "load_model",
    "save_model",
    "write_classes",
    "write_history",
    "write_json",
]

_LOG = logging.getLogger(__name__)

Score = Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]

MODEL_FILE, CLASSES_FILE, HISTORY_FILE = "model.keras", "classes.json", "history.json"
_LOG_FILE = "logs/events.out.tfevents.history"  # TensorBoard knows its files by "tfevents"


class ModelFileError(ValueError):
    """A saved model that cannot be used; the message says what was wanted and what was received."""


def save_model(model: Any, path: Path) -> None:
    """Write a Keras model; the same weights are the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    _remove_traces(path)


def load_model(path: Path) -> Any:
    """Load a Keras model, uncompiled. Keras' safe mode is on: a model file runs no code. Raises ModelFileError."""
    import keras

    try:
        _check_archive(path)
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras and h5py let almost anything out of a damaged file
        reason = " ".join(str(error).split())[:500] or type(error).__name__
        raise ModelFileError(f"{path} should be a trained model. Received: {reason}") from error
    if not isinstance(model, keras.Model) or len(model.inputs or ()) != 1 or len(model.outputs or ()) != 1:
        raise ModelFileError(
            f"{path} should be a trained model of one input and one output. Received: {type(model).__name__}"
        )
    return model


def _check_archive(path: Path) -> None:
    """Raise an error where the file's own checksums do not hold: before a model is built of it."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"Bad CRC-32 for {damaged} in it")


def load_classifier(
    folder: Path, *, batch_size: int, tell: Callable[[str], object] = _LOG.warning
) -> tuple[Score, npt.NDArray[np.int64]]:
    """Load model and class map: a function from examples (B, ...) to scores (B, C), and the landmarks (C,) int64.

    B is free: the examples are run in batches of ``batch_size``, smaller ones where memory runs out, which ``tell`` is
    told. Raises ModelFileError for files that are missing, unreadable, or do not belong together.
    """
    model = load_model(folder / MODEL_FILE)
    landmark_ids = _read_classes(folder)
    if model.output_shape != (None, len(landmark_ids)):
        raise ModelFileError(f"the model should give {len(landmark_ids)} scores. Received: {model.output_shape}")
    shape, dtype = model.input_shape[1:], str(model.inputs[0].dtype)
    run = ModelRunner(compile_model(model), batch_size=batch_size, tell=tell)

    def score(examples: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        if examples.shape[1:] != shape:
            wanted = ", ".join(["B", *map(str, shape)])
            raise ValueError(f"the examples should be ({wanted}). Received: {examples.shape}")
        return run(examples.astype(dtype, copy=False)).astype(np.float32, copy=False)

    return score, landmark_ids


def _read_classes(folder: Path) -> npt.NDArray[np.int64]:
    """Return what ``write_classes`` wrote; raises ModelFileError for anything else."""
    try:
        listed = json.loads((folder / CLASSES_FILE).read_text(encoding="utf-8"))["landmark_ids"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{folder} should hold a trained model. Received: {error}") from error
    if not isinstance(listed, list) or not all(type(each) is int and 0 <= each < 2**63 for each in listed):
        raise ModelFileError(f"{folder / CLASSES_FILE} should list landmark ids from 0 to 2**63 - 1. Received: another")
    if len(set(listed)) != len(listed):
        raise ModelFileError(f"{folder / CLASSES_FILE} should list each landmark once. Received: one twice")
    return np.array(listed, np.int64)


def best_classes(scores: npt.NDArray[np.float32], top_k: int) -> npt.NDArray[np.int32]:
    """Return the class numbers of the ``top_k`` highest scores of each row, best first: (B, min(top_k, C)) int32.

    Equal scores are ordered by class number.
    """
    if top_k < 1:
        raise ValueError(f"top_k should be at least 1. Received: {top_k}")
    return np.argsort(-scores, axis=1, kind="stable")[:, :top_k].astype(np.int32)


def write_classes(folder: Path, landmark_ids: npt.NDArray[np.int64]) -> None:
    """Write the class map: landmark_ids (C,) int64, the landmark of each class."""
    write_json(folder / CLASSES_FILE, {"landmark_ids": [int(value) for value in landmark_ids]})


def write_history(folder: Path, history: Mapping[str, Sequence[float]]) -> None:
    """Write history.json and, where TensorFlow is installed, the same as TensorBoard's log: an epoch is a step.

    The log says no times, so that the same training gives the same bytes.
    """
    write_json(folder / HISTORY_FILE, history)
    try:
        import tensorflow as tf
    except ImportError:
        return
    path = folder / _LOG_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    v1 = tf.compat.v1
    with tf.io.TFRecordWriter(str(path)) as file:
        file.write(v1.Event(wall_time=0, file_version="brain.Event:2").SerializeToString())
        for epoch in range(max(map(len, history.values()), default=0)):
            values = [v1.Summary.Value(tag=name, simple_value=history[name][epoch]) for name in sorted(history)]
            file.write(v1.Event(wall_time=0, step=epoch + 1, summary=v1.Summary(value=values)).SerializeToString())


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object, keys in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _remove_traces(path: Path) -> None:
    """Write a Keras file again without what only this process and this moment explain.

    That is the time it was saved at, and the addresses in memory by which Keras tells which objects are one.
    """
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in sorted(archive.namelist())}
    metadata = json.loads(parts["metadata.json"])
    parts["config.json"] = _renumbered(parts["config.json"])
    parts["metadata.json"] = json.dumps(metadata | {"date_saved": ""}, sort_keys=True).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name), data)  # dated 1980


def _renumbered(config: bytes) -> bytes:
    """Return a model's configuration with its shared objects numbered from 0 in the order in which they appear."""
    numbers: dict[bytes, int] = {}

    def number(found: re.Match[bytes]) -> bytes:
        return found[1] + str(numbers.setdefault(found[2], len(numbers))).encode()

    return re.sub(rb'("shared_object_id": )(\d+)', number, config)
