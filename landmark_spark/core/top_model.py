"""The small fully connected net on bottleneck features: built, trained, saved, loaded."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "Score",
    "TopModelError",
    "TrainingData",
    "TrainingPlan",
    "best_classes",
    "load_top_model",
    "train_top_model",
]

Score = Callable[[npt.NDArray[np.float16]], npt.NDArray[np.float32]]

MODEL_FILE, CLASSES_FILE, HISTORY_FILE, TRAINING_FILE = "model.keras", "classes.json", "history.json", "training.json"


class TopModelError(ValueError):
    """A saved model that cannot be used; the message says what was wanted and what was received."""


@dataclass(frozen=True)
class TrainingPlan:
    """How to train: sizes, passes, and the seed of initial weights and dropout."""

    num_classes: int
    feature_size: int
    hidden_units: int
    dropout: float
    learning_rate: float
    label_smoothing: float
    epochs: int
    seed: int


@dataclass(frozen=True)
class TrainingData:
    """What ``keras.Model.fit`` takes, passed over once an epoch: (features (B, D), labels (B,)) batches.

    validation: the held-out part; None where nothing is held out. everything: both together, for the model that is
    kept once the held-out part has been measured; None keeps the model of ``train``.
    """

    train: Any
    validation: Any | None = None
    everything: Any | None = None


def train_top_model(
    plan: TrainingPlan,
    data: TrainingData,
    *,
    landmark_ids: npt.NDArray[np.int64],
    folder: Path,
) -> dict[str, list[float]]:
    """Train on (features (B, D), labels (B,)) batches; write model, class map, history and seed into ``folder``.

    D -> hidden_units (ReLU) -> dropout -> softmax over the landmarks; Adam; cross-entropy with label smoothing
    (Szegedy et al., CVPR 2016), spread evenly over all classes.
    landmark_ids: (C,) int64, the landmark of each class. Returns Keras' history, one value an epoch: of the training
    that was measured on the held-out part, also where the model that is kept was then trained on all images.
    """
    if len(landmark_ids) != plan.num_classes:
        raise ValueError(f"landmark_ids should have {plan.num_classes} values. Received: {len(landmark_ids)}")
    model, history = _fit(plan, data.train, data.validation)
    if data.everything is not None:
        model, _ = _fit(plan, data.everything, None)
    import keras

    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / MODEL_FILE)
    _remove_dates(folder / MODEL_FILE)
    _write_json(folder / CLASSES_FILE, {"landmark_ids": [int(value) for value in landmark_ids]})
    _write_json(folder / HISTORY_FILE, history)
    _write_json(folder / TRAINING_FILE, vars(plan) | {"keras": keras.__version__, "backend": keras.backend.backend()})
    return history


def _fit(plan: TrainingPlan, train: Any, validation: Any | None) -> tuple[Any, dict[str, list[float]]]:
    import keras

    keras.utils.set_random_seed(plan.seed)
    model = _build(plan)
    # The model that is kept stays uncompiled: its file then holds layers and weights, and no loss of ours.
    trainer = keras.Model(model.inputs, model.outputs)
    trainer.compile(
        optimizer=keras.optimizers.Adam(plan.learning_rate),
        loss=_smoothed_cross_entropy(plan.num_classes, plan.label_smoothing),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    with warnings.catch_warnings():  # the number of batches is known after the first pass: no reason to warn of its end
        warnings.filterwarnings("ignore", message="Your input ran out of data")
        fitted = trainer.fit(train, validation_data=validation, epochs=plan.epochs, shuffle=False, verbose=0)
    return model, {name: [float(value) for value in values] for name, values in fitted.history.items()}


def _smoothed_cross_entropy(num_classes: int, label_smoothing: float) -> Any:
    """Return a loss of labels (B,) and probabilities (B, C): one-hot batches are made as they are needed."""
    import keras

    loss = keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing)

    def smoothed(labels: Any, probabilities: Any) -> Any:
        return loss(keras.ops.one_hot(keras.ops.reshape(labels, (-1,)), num_classes), probabilities)

    return smoothed


def _build(plan: TrainingPlan) -> Any:
    import keras

    layers = [
        keras.Input((plan.feature_size,), name="features"),
        keras.layers.Dense(plan.hidden_units, activation="relu", name="hidden"),
        keras.layers.Dropout(plan.dropout, seed=plan.seed, name="dropout"),
        keras.layers.Dense(plan.num_classes, activation="softmax", dtype="float32", name="landmarks"),
    ]
    return keras.Sequential(layers, name="top_model")  # named, or Keras numbers them on within a process


def load_top_model(folder: Path, *, batch_size: int) -> tuple[Score, npt.NDArray[np.int64]]:
    """Load what ``train_top_model`` wrote: a function from features (B, D) to scores (B, C), and the class map (C,).

    Raises TopModelError for files that are missing, unreadable, or do not belong together. Keras' safe mode is on:
    a model file runs no code.
    """
    import keras

    try:
        landmark_ids = np.asarray(json.loads((folder / CLASSES_FILE).read_text())["landmark_ids"], np.int64)
        model = keras.saving.load_model(folder / MODEL_FILE, compile=False, safe_mode=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TopModelError(f"{folder} should hold a trained top model. Received: {error}") from error
    if model.output_shape != (None, len(landmark_ids)):
        raise TopModelError(f"the model should give {len(landmark_ids)} scores. Received: {model.output_shape}")

    def score(features: npt.NDArray[np.float16]) -> npt.NDArray[np.float32]:
        if features.ndim != 2 or features.shape[1] != model.input_shape[1]:
            raise ValueError(f"features should be (B, {model.input_shape[1]}). Received: {features.shape}")
        filler = np.zeros((-len(features) % batch_size, features.shape[1]), features.dtype)
        filled = np.concatenate([features, filler])
        parts = [
            np.asarray(model.predict_on_batch(filled[start : start + batch_size]), np.float32)
            for start in range(0, len(filled), batch_size)
        ]
        return np.concatenate(parts)[: len(features)] if parts else np.zeros((0, len(landmark_ids)), np.float32)

    return score, landmark_ids


def best_classes(scores: npt.NDArray[np.float32], top_k: int) -> npt.NDArray[np.int32]:
    """Return the class numbers of the ``top_k`` highest scores of each row, best first: (B, min(top_k, C)) int32.

    Equal scores are ordered by class number.
    """
    if top_k < 1:
        raise ValueError(f"top_k should be at least 1. Received: {top_k}")
    return np.argsort(-scores, axis=1, kind="stable")[:, :top_k].astype(np.int32)


def _remove_dates(path: Path) -> None:
    """Write a Keras file again without the time it was saved at: the same weights are then the same bytes."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in sorted(archive.namelist())}
    metadata = json.loads(parts["metadata.json"])
    parts["metadata.json"] = json.dumps(metadata | {"date_saved": ""}, sort_keys=True).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name), data)  # dated 1980


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n", encoding="utf-8")
