"""Stage: bottlenecks, landmarks -> top_model/, on one GPU executor."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np

from landmark_spark.commits import FileEntry
from landmark_spark.core.top_model import TrainingData, TrainingPlan
from landmark_spark.core.top_model import train_top_model as train
from landmark_spark.feed import Batch, FeedError, Part, iterate_batches, load_feed
from landmark_spark.gpu import prepare_framework, task_gpus
from landmark_spark.schemas import BOTTLENECKS, LANDMARKS, TOP_MODEL
from landmark_spark.settings import TrainSettings
from landmark_spark.stages.context import Context
from landmark_spark.store import Store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["train_top_model"]


def train_top_model(context: Context, bottlenecks: DataFrame, landmarks: DataFrame) -> tuple[FileEntry, ...]:
    """Train the small fully connected net; the feed reads the Parquet files, so the frames only say that they exist."""
    del bottlenecks, landmarks
    store = context.store
    landmark_ids = store.read_arrow(LANDMARKS, ["class_index", "landmark_id"]).sort_by("class_index")
    task = _Training(
        settings=context.config.train,
        urls=tuple(store.url_of(name) for name in store.files(BOTTLENECKS, range(context.config.index.num_shards))),
        landmark_ids=tuple(landmark_ids.column("landmark_id").to_pylist()),
        store_url=store.url,
    )
    (files,) = context.spark.sparkContext.parallelize([task], 1).map(_run_apart).collect()
    return tuple(files)


@dataclass(frozen=True)
class _Training:
    """All that the training process needs."""

    settings: TrainSettings
    urls: tuple[str, ...]
    landmark_ids: tuple[int, ...]
    store_url: str

    def batches(self, part: Part, epoch: int) -> Iterator[Batch]:
        settings = self.settings
        return iterate_batches(
            self.urls,
            part,
            batch_size=settings.batch_size,
            validation_fraction=settings.validation_fraction,
            seed=settings.seed + epoch,
        )


def _run_apart(task: _Training) -> tuple[FileEntry, ...]:
    """Train in a process of its own: a Python worker used before keeps the threads and the device of its first job."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_train, task, task_gpus()).result()


def _train(task: _Training, gpus: tuple[str, ...] | None) -> tuple[FileEntry, ...]:
    settings = task.settings
    prepare_framework(num_threads=settings.num_threads, gpus=gpus)
    first = next((features for features, _ in task.batches("train", 0)), np.zeros((0, 0)))
    if not len(first):
        raise FeedError("bottlenecks should have at least one training image. Received: none, see images.status")
    _make_repeatable()
    plan = TrainingPlan(
        num_classes=len(task.landmark_ids),
        feature_size=first.shape[1],
        hidden_units=settings.hidden_units,
        dropout=settings.dropout,
        learning_rate=settings.learning_rate,
        label_smoothing=settings.label_smoothing,
        epochs=settings.epochs,
        seed=settings.seed,
    )
    held_out = any(len(labels) for _, labels in task.batches("validation", 0))
    data = TrainingData(
        train=load_feed(partial(task.batches, "train"), plan.feature_size),
        validation=load_feed(partial(task.batches, "validation"), plan.feature_size) if held_out else None,
        everything=load_feed(partial(task.batches, "everything"), plan.feature_size)
        if held_out and settings.refit
        else None,
    )
    with tempfile.TemporaryDirectory() as folder:
        train(plan, data, landmark_ids=np.asarray(task.landmark_ids, np.int64), folder=Path(folder))
        return Store(task.store_url).upload(Path(folder), f"{TOP_MODEL.path}/{uuid4().hex}")


def _make_repeatable() -> None:
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
