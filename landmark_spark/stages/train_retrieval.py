"""Stage: global_descriptors, landmarks -> retrieval_model/, in one task."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
import pyarrow as pa

from landmark_spark.commits import FileEntry
from landmark_spark.core.counted import counted
from landmark_spark.core.model_files import write_json
from landmark_spark.core.retrieval_model import MIN_TO_WHITEN, Described, RetrievalLearning, learn_retrieval
from landmark_spark.schemas import GLOBAL_DESCRIPTORS, RETRIEVAL_MODEL
from landmark_spark.settings import RetrievalSettings
from landmark_spark.stages.context import Context
from landmark_spark.stages.train_top_model import landmarks_of
from landmark_spark.store import Store
from landmark_spark.table_reader import TaskReader

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["NOTE_FILE", "read_descriptors", "train_retrieval"]

NOTE_FILE = "no_images.json"
"""Stands alone in the folder where there is no training image to compare with."""

_NONE = (
    "no training image has a descriptor, and retrieval names no landmark: see images.status and download.large_images"
)

_COLUMNS = ("id", "split", "class_index", "reference_rank", "descriptor")


def train_retrieval(context: Context, descriptors: DataFrame, landmarks: DataFrame) -> tuple[FileEntry, ...]:
    """Learn whitening and heads, also without each fold; nothing but a note where no training image is described."""
    del descriptors, landmarks
    store = context.store
    task = _Learning(
        settings=context.config.retrieval,
        store_url=store.url,
        files=tuple(store.files(GLOBAL_DESCRIPTORS, range(context.config.index.num_shards))),
        num_classes=len(landmarks_of(context)),
    )
    ((files, num_images),) = context.spark.sparkContext.parallelize([task], 1).map(_learn).collect()
    if not num_images and context.config.descriptors.is_wanted:
        context.tell(f"train_retrieval: warning: {_NONE}")
    elif 0 < num_images < MIN_TO_WHITEN:
        context.tell(
            f"train_retrieval: warning: {counted(num_images, 'image')} to learn from: descriptors are not whitened"
        )
    return tuple(files)


@dataclass(frozen=True)
class _Learning:
    """All that the task needs."""

    settings: RetrievalSettings
    store_url: str
    files: tuple[str, ...]
    num_classes: int


def _learn(task: _Learning) -> tuple[tuple[FileEntry, ...], int]:
    """Return the files of the model, and how many images it was learned from; 0 where none is of a landmark."""
    settings, store = task.settings, Store(task.store_url)
    plan = RetrievalLearning(
        dimensions=settings.dimensions,
        shrinkage=settings.shrinkage,
        has_head=settings.head == "linear",
        head_penalty=settings.head_penalty,
        head_class_power=settings.head_class_power,
        head_non_landmark_weight=settings.head_non_landmark_weight,
        max_training_images=settings.max_training_images,
        max_calibration_images=settings.max_calibration_images,
        num_folds=settings.num_folds,
        seed=settings.seed,
    )
    images = _described(store, task.files, task.num_classes)
    has_landmarks = bool((images.classes < images.num_classes).any())
    with tempfile.TemporaryDirectory() as folder:
        if has_landmarks:
            learn_retrieval(images, plan).save(Path(folder))
        else:
            write_json(Path(folder) / NOTE_FILE, {"num_images": 0})
        files = store.upload(Path(folder), f"{RETRIEVAL_MODEL.path}/{uuid4().hex}")
    return files, len(images.ids) if has_landmarks else 0


def _described(store: Store, files: Sequence[str], num_classes: int) -> Described:
    """Read the training and non-landmark images of the files."""
    schema = pa.schema([GLOBAL_DESCRIPTORS.schema.field(each) for each in _COLUMNS])
    ids: list[str] = []
    parts, classes, ranks = [], [], []
    for batch in TaskReader(store.url, schema, tuple((0, each) for each in files)).read():
        known = batch.filter(pa.array([each != "test" for each in batch["split"].to_pylist()]))
        ids += known["id"].to_pylist()
        parts.append(read_descriptors(known))
        classes.append(known["class_index"].to_numpy().astype(np.int64))
        ranks.append(known["reference_rank"].to_numpy().astype(np.int64))
    labels = np.concatenate([np.zeros(0, np.int64), *classes])
    return Described(
        ids,
        np.concatenate([each for each in parts if len(each)] or [np.zeros((0, 0), np.float32)]),
        np.where(labels < 0, num_classes, labels),
        np.concatenate([np.zeros(0, np.int64), *ranks]),
        num_classes,
    )


def read_descriptors(batch: pa.RecordBatch) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Return the descriptors (N, C) float32 of rows of global_descriptors; (0, 0) of none."""
    rows = [np.frombuffer(each, "<f2") for each in batch["descriptor"].to_pylist()]
    return np.stack(rows).astype(np.float32) if rows else np.zeros((0, 0), np.float32)
