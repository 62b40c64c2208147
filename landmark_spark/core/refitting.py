"""Trains once to measure on what is held out, and anew on everything for the model that is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from landmark_spark.core.checkpoints import Checkpoints
from landmark_spark.core.training_loop import History, LoopPlan, Trainee, TrainingData, best_epoch, run_loop

__all__ = ["Phase", "Trained", "Training", "train_and_refit"]

Phase = Literal["measured", "kept"]


@dataclass(frozen=True)
class Training:
    """What to train on, how long, and where its checkpoints are.

    measured: the data without what is held out, and that. everything: both together, for the model that is kept once
    the held-out part has been measured; None keeps the measured one. checkpoints: of each of the two.
    """

    plan: LoopPlan
    measured: TrainingData
    everything: TrainingData | None = None
    checkpoints: Mapping[Phase, Checkpoints] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """The two models, one and the same where nothing was trained anew, and the history of the measured one."""

    measured: Trainee
    kept: Trainee
    history: History


def train_and_refit(training: Training, make_trainee: Callable[[Phase], Trainee]) -> Trained:
    """Train, and train anew on everything, for as many epochs as were best, where everything is given."""
    plan = training.plan
    measured = make_trainee("measured")
    history = run_loop(measured, training.measured, plan, checkpoints=training.checkpoints.get("measured"))
    if training.everything is None:
        return Trained(measured, measured, history)
    kept = make_trainee("kept")
    anew = replace(plan, epochs=best_epoch(history, plan.patience), patience=0)
    run_loop(kept, training.everything, anew, checkpoints=training.checkpoints.get("kept"))
    return Trained(measured, kept, history)
