"""The small fully connected net on bottleneck features: built and trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from landmark_spark.core.model_files import MODEL_FILE, save_model, write_classes, write_history, write_json
from landmark_spark.core.refitting import Phase, Training, train_and_refit
from landmark_spark.core.training_loop import BuildTrainee, History, Trainee, build_trainee

__all__ = [
    "HEADS",
    "MEASURED_FILE",
    "TopModelPlan",
    "margin_cross_entropy",
    "smoothed_cross_entropy",
    "train_top_model",
]

HEADS = ("softmax", "cosine")
"""softmax: a dense layer. cosine: of unit vectors, with a margin while it is trained."""

_LEAST_PROBABILITY = 1e-30  # far below what a softmax of scaled cosines gives

MEASURED_FILE, TRAINING_FILE = "measured_model.keras", "training.json"


@dataclass(frozen=True)
class TopModelPlan:
    """What the net is, and what decides its weights besides the data: sizes, rates, and the seed."""

    num_classes: int
    feature_size: int
    hidden_units: int
    dropout: float
    learning_rate: float
    label_smoothing: float
    seed: int
    head: str = "softmax"
    scale: float = 16.0
    margin: float = 0.1


def train_top_model(
    plan: TopModelPlan,
    training: Training,
    *,
    landmark_ids: npt.NDArray[np.int64],
    folder: Path,
    build: BuildTrainee = build_trainee,
) -> History:
    """Train on batches of features (B, D); write model, class map, history and plan into ``folder``.

    D -> hidden_units (ReLU) -> dropout -> softmax over the landmarks; Adam; cross-entropy with label smoothing
    (Szegedy et al., CVPR 2016), spread evenly over all classes. With the cosine head the softmax is over the cosines of
    hidden and class vectors, times ``scale``, and ``margin_cross_entropy`` is what is minimised.
    landmark_ids: (C,) int64, the landmark of each class. Returns one value an epoch, of the training that was measured
    on the held-out part; its model is written too where another is kept, for what is to be measured on top of it.
    """
    if plan.head not in HEADS:
        raise ValueError(f"head should be one of {', '.join(HEADS)}. Received: {plan.head!r}")
    if len(landmark_ids) != plan.num_classes:
        raise ValueError(f"landmark_ids should have {plan.num_classes} values. Received: {len(landmark_ids)}")
    import keras

    def make_trainee(_: Phase) -> Trainee:
        keras.utils.set_random_seed(plan.seed)
        penalty = plan.scale * plan.margin if plan.head == "cosine" else 0.0
        loss = margin_cross_entropy(plan.num_classes, plan.label_smoothing, penalty=penalty)
        return build(lambda: _build(plan), lambda: keras.optimizers.Adam(plan.learning_rate), loss)

    trained = train_and_refit(training, make_trainee)
    save_model(trained.kept.model, folder / MODEL_FILE)
    if training.everything is not None:
        save_model(trained.measured.model, folder / MEASURED_FILE)
    write_classes(folder, landmark_ids)
    write_history(folder, trained.history)
    made_with = {"epochs": training.plan.epochs, "keras": keras.__version__, "backend": keras.backend.backend()}
    write_json(folder / TRAINING_FILE, vars(plan) | made_with)
    return trained.history


def smoothed_cross_entropy(num_classes: int, label_smoothing: float) -> Callable[[Any, Any], Any]:
    """Return the loss of each row, of labels (B,) and probabilities (B, C); one-hot rows are made as needed."""
    import keras

    def loss_of_each(labels: Any, probabilities: Any) -> Any:
        targets = keras.ops.one_hot(keras.ops.reshape(labels, (-1,)), num_classes)
        return keras.losses.categorical_crossentropy(targets, probabilities, label_smoothing=label_smoothing)

    return loss_of_each


def margin_cross_entropy(num_classes: int, label_smoothing: float, *, penalty: float) -> Callable[[Any, Any], Any]:
    """Return the same loss where the logit of the right class is lowered by ``penalty``, scale times margin.

    The large margin cosine loss (Wang et al., "CosFace", CVPR 2018), a relative of ArcFace (Deng et al., CVPR 2019),
    whose margin is on the angle: the right class must win by the margin. Probabilities are all it takes: a logit is
    their logarithm, up to a number that all classes share. With 0 it is ``smoothed_cross_entropy``.
    """
    if not penalty:
        return smoothed_cross_entropy(num_classes, label_smoothing)
    from keras import ops

    def loss_of_each(labels: Any, probabilities: Any) -> Any:
        right = ops.one_hot(ops.reshape(labels, (-1,)), num_classes)
        targets = right * (1.0 - label_smoothing) + label_smoothing / num_classes
        logits = ops.log(ops.maximum(probabilities, _LEAST_PROBABILITY)) - penalty * right
        return ops.logsumexp(logits, axis=-1) - ops.sum(targets * logits, axis=-1)

    return loss_of_each


def _build(plan: TopModelPlan) -> Any:
    import keras

    layers = [
        keras.Input((plan.feature_size,), name="features"),
        keras.layers.Dense(plan.hidden_units, activation="relu", name="hidden"),
        keras.layers.Dropout(plan.dropout, seed=plan.seed, name="dropout"),
        *(_cosines(plan) if plan.head == "cosine" else [_dense(plan, activation="softmax")]),
    ]
    return keras.Sequential(layers, name="top_model")  # named, or Keras numbers them on within a process


def _cosines(plan: TopModelPlan) -> list[Any]:
    import keras

    return [
        keras.layers.UnitNormalization(dtype="float32", name="direction"),
        _dense(plan, use_bias=False, kernel_constraint=keras.constraints.UnitNorm(axis=0)),
        keras.layers.Rescaling(plan.scale, dtype="float32", name="scale"),
        keras.layers.Softmax(dtype="float32", name="probabilities"),
    ]


def _dense(plan: TopModelPlan, **options: Any) -> Any:
    import keras

    return keras.layers.Dense(plan.num_classes, dtype="float32", name="landmarks", **options)
