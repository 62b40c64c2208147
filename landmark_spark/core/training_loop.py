"""The one loop of every training: epochs, steps, held-out measures, early stopping, checkpoints, history."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from landmark_spark.core.checkpoints import Checkpoint, Checkpoints, State
from landmark_spark.core.metrics import Prediction, global_average_precision

__all__ = [
    "Batch",
    "BuildTrainee",
    "History",
    "LoopPlan",
    "Score",
    "Step",
    "Trainee",
    "TrainingData",
    "best_epoch",
    "build_trainee",
    "run_loop",
]

Labels = npt.NDArray[np.int32]
Weights = npt.NDArray[np.float32]
Step = Callable[[Any, Labels, Weights], float]
Score = Callable[[Any], npt.NDArray[np.float32]]
History = dict[str, list[float]]

_SMALLEST = 1e-7  # a probability counts as at least this much, as in Keras


class Batch(NamedTuple):
    """What one step takes: features (B, ...), labels (B,) int32, weights (B,) float32, all of them this worker's rows.

    num_examples: rows of the whole batch, over all workers; B where there is one.
    """

    features: Any
    labels: Labels
    weights: Weights
    num_examples: int


@dataclass(frozen=True)
class Trainee:
    """A model in training, wherever it lives.

    step: one step of the optimizer; takes features, labels and weights of a batch and returns the loss of the whole
    batch, sum(weight * loss of the example) / num_examples. It depends on what ``get_state`` returns, and on nothing
    else. score: features (B, ...) -> probabilities (B, C) float32, nothing dropped; each worker can ask on its own.
    get_state, set_state: a copy of the values of all variables of model and optimizer, in a fixed order, those of the
    layers' random seeds among them; with several workers each sets the same. model: the keras.Model, to be saved.
    """

    step: Step
    score: Score
    get_state: Callable[[], State]
    set_state: Callable[[State], None]
    model: Any


BuildTrainee = Callable[[Callable[[], Any], Callable[[], Any], Callable[[Any, Any], Any]], Trainee]
"""``build_trainee``, or what does the same with several workers."""


@dataclass(frozen=True)
class TrainingData:
    """What the loop passes over.

    train: (epoch, first_step) -> the batches of an epoch without its first ``first_step``; the same epoch has the same
    batches every time. validation: the held-out part in batches (features (B, ...), labels (B,) int32), the same on
    every worker; None where nothing is held out.
    """

    train: Callable[[int, int], Iterator[Batch]]
    validation: Callable[[], Iterator[tuple[Any, Labels]]] | None = None


@dataclass(frozen=True)
class LoopPlan:
    """How long to train, and what to keep.

    label_smoothing: of the held-out loss; the step has its own. patience: epochs without a smaller held-out loss after
    which training ends, with the weights of the best epoch; 0: all epochs, and the last weights. checkpoint_steps:
    steps between checkpoints, counted over all epochs; 0: none.
    """

    epochs: int
    label_smoothing: float = 0.0
    patience: int = 0
    checkpoint_steps: int = 0


def run_loop(
    trainee: Trainee, data: TrainingData, plan: LoopPlan, *, checkpoints: Checkpoints | None = None
) -> History:
    """Train, from the checkpoint where there is one; leave the trainee with the weights to keep.

    Returns one value an epoch: loss (the mean over its examples, as trained with), and val_loss, val_accuracy and
    val_gap where something is held out. A training that was killed and goes on gives what one that was not gives. One
    that had ended is not done again.
    """
    keep = checkpoints if plan.checkpoint_steps else None
    found = keep.load() if keep is not None else None
    now = found if found is not None else Checkpoint(trainee.get_state())
    trainee.set_state(now.state)
    while now.epoch < plan.epochs and not _has_stopped(now.history, plan.patience):
        now = _run_epoch(trainee, data, plan, now, keep)
    now = replace(now, state=trainee.get_state())
    for values in now.state:
        _check_finite(values)  # the last step's are in no loss
    if keep is not None:
        keep.save(now)
    if plan.patience and now.best is not None:
        trainee.set_state(now.best)
    return {name: list(values) for name, values in now.history.items()}


def best_epoch(history: History, patience: int) -> int:
    """Return how many epochs give the weights that are kept: those up to the smallest held-out loss, or all."""
    if not patience or "val_loss" not in history:
        return len(history["loss"])
    return int(np.argmin(history["val_loss"])) + 1


def _has_stopped(history: History, patience: int) -> bool:
    if not patience or "val_loss" not in history:
        return False
    return len(history["val_loss"]) - best_epoch(history, patience) >= patience


def _run_epoch(
    trainee: Trainee, data: TrainingData, plan: LoopPlan, start: Checkpoint, keep: Checkpoints | None
) -> Checkpoint:
    """Train what is left of an epoch, measure, and return the position at the start of the next."""
    now = start
    for batch in data.train(start.epoch, start.step):
        loss = trainee.step(batch.features, batch.labels, batch.weights)
        now = now.after_step(loss, batch.num_examples)
        if keep is not None and now.num_steps % plan.checkpoint_steps == 0:
            now = replace(now, state=trainee.get_state())
            keep.save(now)
    if not now.num_examples:
        raise ValueError("an epoch should have at least one example. Received: none")
    _check_finite(now.total_loss)
    measured = {"loss": now.total_loss / now.num_examples}
    if data.validation is not None:
        measured |= _measure(trainee, data.validation(), plan.label_smoothing)
    ended = now.after_epoch(measured)
    is_best = bool(plan.patience) and best_epoch(ended.history, plan.patience) == ended.epoch
    return replace(ended, best=trainee.get_state()) if is_best else ended


def _check_finite(values: Any) -> None:
    """Raise ValueError for losses, scores or weights that a training which diverged leaves."""
    if not np.all(np.isfinite(values)):
        first = np.ravel(values)[~np.isfinite(np.ravel(values))][0]
        raise ValueError(f"the loss should be finite: lower the learning rate. Received: {first}")


@dataclass
class _Held:
    """What the held-out part gave so far."""

    losses: list[npt.NDArray[np.float64]] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)


def _measure(trainee: Trainee, batches: Iterator[tuple[Any, Labels]], label_smoothing: float) -> dict[str, float]:
    """Return loss, accuracy and GAP of the best class of each held-out example."""
    held = _Held()
    for features, labels in batches:
        scores = trainee.score(features)
        _check_finite(scores)
        held.losses.append(_losses(scores, labels, label_smoothing))
        for label, best, value in zip(labels, np.argmax(scores, axis=1), scores.max(axis=1), strict=True):
            held.predictions.append(Prediction(f"{len(held.labels):012d}", int(best), float(value)))
            held.labels.append(int(label))
    is_right = [each.landmark_id == label for each, label in zip(held.predictions, held.labels, strict=True)]
    solution = {each.id: frozenset({label}) for each, label in zip(held.predictions, held.labels, strict=True)}
    return {
        "val_loss": float(np.concatenate(held.losses).mean()),
        "val_accuracy": float(np.mean(is_right)),
        "val_gap": global_average_precision(held.predictions, solution),
    }


def _losses(scores: npt.NDArray[np.float32], labels: Labels, label_smoothing: float) -> npt.NDArray[np.float64]:
    """Return the smoothed cross-entropy of each example: scores (B, C), labels (B,) -> (B,)."""
    logs = np.log(np.clip(scores.astype(np.float64), _SMALLEST, 1 - _SMALLEST))
    right = logs[np.arange(len(labels)), labels]
    losses: npt.NDArray[np.float64] = -(1 - label_smoothing) * right - label_smoothing * logs.mean(axis=1)
    return losses


def build_trainee(
    make_model: Callable[[], Any], make_optimizer: Callable[[], Any], loss_of_each: Callable[[Any, Any], Any]
) -> Trainee:
    """Return a model in training in this process alone, on any backend of Keras.

    make_model: the keras.Model, uncompiled; its trainable variables at this moment are what is trained.
    loss_of_each: labels (B,) and outputs (B, C) -> the loss of each row (B,).
    """
    import keras

    model, optimizer = make_model(), make_optimizer()
    # The model itself stays uncompiled: its file then holds layers and weights, and no loss of ours.
    trainer = keras.Model(model.inputs, model.outputs)
    trainer.compile(optimizer=optimizer, loss=loss_of_each)
    optimizer.build(trainer.trainable_variables)
    variables = [*model.variables, *optimizer.variables]

    def step(features: Any, labels: Labels, weights: Weights) -> float:
        return float(np.asarray(trainer.train_on_batch(features, labels, sample_weight=weights)))

    def score(features: Any) -> npt.NDArray[np.float32]:
        return np.asarray(trainer.predict_on_batch(features), np.float32)

    def get_state() -> State:
        return [np.array(keras.ops.convert_to_numpy(each)) for each in variables]

    def set_state(state: State) -> None:
        for variable, value in zip(variables, state, strict=True):
            variable.assign(value)

    return Trainee(step, score, get_state, set_state, model)
