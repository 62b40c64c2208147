"""Trains the top model on generated bottlenecks in a process of its own, as the stage does, and notes rates and memory.

Argument: a JSON object, the fields of TrainRun. The answer, a JSON object, goes to the file that it names.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from landmark_spark.core.refitting import Training
from landmark_spark.core.top_model import TopModelPlan, train_top_model
from landmark_spark.core.training_loop import Batch, LoopPlan, TrainingData
from landmark_spark.gpu import prepare_framework
from landmark_spark.settings import TrainSettings
from landmark_spark.stages.training_feed import TrainingFeed, as_they_are
from scripts.benchmarks.bottleneck_tables import FEATURE_SIZE
from scripts.benchmarks.memory_curve import MemoryCurve, quarter_peaks
from scripts.benchmarks.pair_ratios import take_turns

__all__ = ["Clock", "TrainRun", "measure_epoch", "measure_pairs"]

Item = TypeVar("Item")

_WARM_UP = 3  # batches before the clock starts: the first traces the graph
_NUM_KEPT = 16  # batches in memory that the model is given again and again


@dataclasses.dataclass(frozen=True)
class TrainRun:
    """What to train on and how. num_pairs: pairs of runs, feed alone and model alone; 0: one epoch, with its memory."""

    urls: tuple[str, ...]
    num_classes: int
    batch_size: int
    num_threads: int
    num_pairs: int
    num_model_rows: int
    answer: str


class Clock:
    """Times what a consumer takes from an iterator, once it has taken ``warm_up`` items, up to the end.

    The clock runs while an item is made as well as while the consumer works on it. rate: rows a second.
    """

    def __init__(self, warm_up: int) -> None:
        self._warm_up = warm_up
        self.start = self.end = time.monotonic()
        self.num_rows = 0

    def time(self, batches: Iterable[Item], rows_of: Callable[[Item], int]) -> Iterator[Item]:
        """Yield the batches as they are."""
        self.start = time.monotonic()
        for number, batch in enumerate(batches):
            if number == self._warm_up and number:
                self.start = time.monotonic()
            if number >= self._warm_up:
                self.num_rows += rows_of(batch)
            yield batch
        self.end = time.monotonic()

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.num_rows / (self.end - self.start)


def measure_pairs(run: TrainRun) -> dict[str, Any]:
    """Return rows/s of the feed with nobody behind it, and of the model on batches that are in memory, in turns."""
    data = _feed(run, validation_fraction=0.0).data("train", as_they_are)
    kept = list(itertools.islice(data.train(0, 0), _NUM_KEPT))

    def feed_alone(pair: int) -> float:
        clock = Clock(warm_up=0)  # opening the files counts
        collections.deque(clock.time(data.train(pair, 0), _num_examples), maxlen=0)
        return clock.rate

    def model_alone(pair: int) -> float:  # noqa: ARG001
        clock = Clock(_WARM_UP)
        num_batches = _WARM_UP + -(-run.num_model_rows // run.batch_size)
        batches = itertools.islice(itertools.cycle(kept), num_batches)
        _train(run, TrainingData(lambda epoch, first: clock.time(batches, _num_examples)))  # noqa: ARG005
        return clock.rate

    feed, model = take_turns(feed_alone, model_alone, run.num_pairs)
    return {"feed": feed, "model": model}


def measure_epoch(run: TrainRun) -> dict[str, Any]:
    """Train one epoch and measure on what is held out; return rows/s of both, and the peak memory by quarters."""
    started = time.monotonic()
    data = _feed(run, TrainSettings().validation_fraction).data("train", as_they_are)
    found = time.monotonic()
    held_out = data.validation
    if held_out is None:
        raise ValueError(f"some of {run.urls} should be held out. Received: none")
    training, validating = Clock(_WARM_UP), Clock(warm_up=1)
    with MemoryCurve() as curve:
        _train(
            run,
            TrainingData(
                lambda epoch, first: training.time(data.train(epoch, first), _num_examples),
                lambda: validating.time(held_out(), lambda batch: len(batch[1])),
            ),
        )
    return {
        "seconds_to_count_labels": found - started,
        "num_rows_timed": training.num_rows,
        "seconds": training.end - training.start,
        "rows_per_second": training.rate,
        "validation_rows_per_second": validating.rate,
        "memory_quarter_peak_bytes": quarter_peaks(curve.samples, training.start, training.end),
        "memory_peak_bytes": max(size for _, size in curve.samples),
    }


def _feed(run: TrainRun, validation_fraction: float) -> TrainingFeed:
    return TrainingFeed(
        urls=run.urls,
        column="features",
        num_classes=run.num_classes,
        batch_size=run.batch_size,
        validation_fraction=validation_fraction,
        class_balance="none",
        seed=0,
    )


def _train(run: TrainRun, data: TrainingData) -> None:
    """Train one epoch with the settings of the stage; the model is thrown away."""
    settings = TrainSettings()
    plan = TopModelPlan(
        num_classes=run.num_classes,
        feature_size=FEATURE_SIZE,
        hidden_units=settings.hidden_units,
        dropout=settings.dropout,
        learning_rate=settings.learning_rate,
        label_smoothing=settings.label_smoothing,
        seed=settings.seed,
    )
    training = Training(LoopPlan(epochs=1, label_smoothing=settings.label_smoothing), data)
    with tempfile.TemporaryDirectory() as folder:
        train_top_model(plan, training, landmark_ids=np.arange(run.num_classes, dtype=np.int64), folder=Path(folder))


def _num_examples(batch: Batch) -> int:
    return batch.num_examples


def _main(arguments: str) -> None:
    values = json.loads(arguments)
    run = TrainRun(**values | {"urls": tuple(values["urls"])})
    prepare_framework(num_threads=run.num_threads, gpus=None)
    measured = measure_pairs(run) if run.num_pairs else measure_epoch(run)
    Path(run.answer).write_text(json.dumps(measured))


if __name__ == "__main__":
    _main(sys.argv[1])
