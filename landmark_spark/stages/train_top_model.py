"""Stage: bottlenecks, landmarks -> top_model/, on one GPU executor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from landmark_spark.commits import FileEntry
from landmark_spark.core.checkpoints import Checkpoints
from landmark_spark.core.refitting import Phase, Training
from landmark_spark.core.top_model import TopModelPlan
from landmark_spark.core.top_model import train_top_model as train
from landmark_spark.core.training_loop import LoopPlan
from landmark_spark.result_settings import results_of
from landmark_spark.schemas import BOTTLENECKS, LANDMARKS, TOP_MODEL
from landmark_spark.settings import TrainSettings
from landmark_spark.stages.context import Context
from landmark_spark.stages.training_feed import TrainingFeed, as_they_are
from landmark_spark.stages.training_process import Place, TrainingTask, checkpoint_folder, run_training

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["landmarks_of", "train_top_model"]


def train_top_model(context: Context, bottlenecks: DataFrame, landmarks: DataFrame) -> tuple[FileEntry, ...]:
    """Train the small fully connected net; the feed reads the Parquet files, so the frames only say that they exist."""
    del bottlenecks, landmarks
    store, settings = context.store, context.config.train
    landmark_ids = landmarks_of(context)
    names = store.files(BOTTLENECKS, range(context.config.index.num_shards))
    feed = TrainingFeed(
        urls=tuple(store.url_of(name) for name in names),
        column="features",
        num_classes=len(landmark_ids),
        batch_size=settings.batch_size,
        validation_fraction=settings.validation_fraction,
        class_balance=settings.class_balance,
        seed=settings.seed,
    )
    task = _TopModelTask(
        store_url=store.url,
        checkpoints=checkpoint_folder(
            "train_top_model", store, (BOTTLENECKS, LANDMARKS), results_of(context.config, TrainSettings)
        ),
        num_threads=settings.num_threads,
        settings=settings,
        feed=feed,
        landmark_ids=landmark_ids,
    )
    return run_training(context, task, TOP_MODEL, num_workers=settings.num_workers)


def landmarks_of(context: Context) -> tuple[int, ...]:
    """Return the landmark of each class."""
    rows = context.store.read_arrow(LANDMARKS, ["class_index", "landmark_id"]).sort_by("class_index")
    return tuple(rows.column("landmark_id").to_pylist())


@dataclass(frozen=True)
class _TopModelTask(TrainingTask):
    """All that the training process needs."""

    settings: TrainSettings
    feed: TrainingFeed
    landmark_ids: tuple[int, ...]

    def train(self, place: Place, checkpoints: Mapping[Phase, Checkpoints], folder: Path) -> None:
        """Train; leave the files of the model in the folder."""
        settings = self.settings
        feed = replace(self.feed, rank=place.rank, num_ranks=place.num_ranks)
        measured = feed.data("train", as_they_are)
        anew = settings.refit and measured.validation is not None
        training = Training(
            plan=LoopPlan(
                epochs=settings.epochs,
                label_smoothing=settings.label_smoothing,
                patience=settings.early_stopping_patience,
                checkpoint_steps=settings.checkpoint_steps,
            ),
            measured=measured,
            everything=feed.data("everything", as_they_are) if anew else None,
            checkpoints=checkpoints,
        )
        plan = TopModelPlan(
            num_classes=len(self.landmark_ids),
            feature_size=feed.feature_size(),
            hidden_units=settings.hidden_units,
            dropout=settings.dropout,
            learning_rate=settings.learning_rate,
            label_smoothing=settings.label_smoothing,
            seed=settings.seed,
            head=settings.head,
            scale=settings.scale,
            margin=settings.margin,
        )
        train(plan, training, landmark_ids=np.asarray(self.landmark_ids, np.int64), folder=folder, build=place.build)
