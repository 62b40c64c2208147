"""Runs a training on an executor: in a process of its own, with checkpoints in the store that a rerun goes on from."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import landmark_spark
from landmark_spark.barrier import run_together
from landmark_spark.child_process import die_with_parent
from landmark_spark.commits import FileEntry, digest_of
from landmark_spark.core.checkpoints import Checkpoints
from landmark_spark.core.data_parallel import Rank, Ranks, join_ranks
from landmark_spark.core.refitting import Phase
from landmark_spark.core.training_loop import BuildTrainee, build_trainee
from landmark_spark.gpu import prepare_framework, task_gpus
from landmark_spark.ledger import Output
from landmark_spark.schemas import Artifact
from landmark_spark.settings import Config, ConfigError
from landmark_spark.stages.context import Context
from landmark_spark.store import CHECKPOINTS, Store

__all__ = [
    "Files",
    "Place",
    "TrainingKilledError",
    "TrainingTask",
    "check_workers",
    "checkpoint_folder",
    "run_training",
]

Files = tuple[FileEntry, ...]

_PHASES: tuple[Phase, ...] = ("measured", "kept")


class TrainingKilledError(RuntimeError):
    """The process that trains was killed."""


@dataclass(frozen=True)
class Place:
    """Which of the workers that train together this process is, and what it does for all."""

    rank: int = 0
    num_ranks: int = 1
    build: BuildTrainee = build_trainee


@dataclass(frozen=True)
class TrainingTask(ABC):
    """A training as it is sent to the executors.

    checkpoints: folder of its checkpoints in the store. num_threads: of a process on a CPU.
    """

    store_url: str
    checkpoints: str
    num_threads: int

    @abstractmethod
    def train(self, place: Place, checkpoints: Mapping[Phase, Checkpoints], folder: Path) -> None:
        """Train; leave the files of the model in the folder."""


def check_workers(config: Config) -> None:
    """Raise ConfigError for several workers on a backend of Keras that cannot train together."""
    if config.train.num_workers > 1 and _backend() != "tensorflow":
        raise ConfigError(
            f"KERAS_BACKEND should be tensorflow where train.num_workers is above 1. Received: {_backend()}"
        )


def _backend() -> str:
    return os.environ.get("KERAS_BACKEND", "tensorflow")


def run_training(context: Context, task: TrainingTask, artifact: Artifact, *, num_workers: int) -> Files:
    """Train on one executor, or on several together, and return the files of the model, in the store.

    A training that is killed goes on from its last checkpoint when the stage is run again.
    """
    spark = context.spark.sparkContext
    if num_workers > 1:
        function = partial(_train_together, artifact.path, task)
        return run_together(spark, function, num_workers, profile=context.accelerator_profile)[0]
    tasks = spark.parallelize([task], 1)
    if context.accelerator_profile is not None:
        tasks = tasks.withResources(context.accelerator_profile)
    (files,) = tasks.map(partial(_run_apart, artifact.path)).collect()
    return tuple(files)


def _run_apart(path: str, task: TrainingTask) -> Files:
    """Train in a process of its own: a Python worker used before keeps the threads and the device of its first job."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "mimalloc")  # the feed reads twice as fast as with jemalloc
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_train_alone, path, task, task_gpus()).result()
        except BrokenProcessPool:
            raise TrainingKilledError(
                "the training process should end by itself. Received: it was killed, as for want of memory; "
                "the same command goes on from its last checkpoint"
            ) from None


def _train_alone(path: str, task: TrainingTask, gpus: Sequence[str] | None) -> Files:
    die_with_parent()  # or it would train on beside the one that takes its place
    _prepare(task, gpus)
    store = Store(task.store_url)
    return _upload_trained(path, task, Place(), {phase: _checkpoints(store, task, phase) for phase in _PHASES})


def _train_together(path: str, task: TrainingTask, rank: Rank, gpus: Sequence[str] | None) -> Files:
    """Train as one of several; the first one reads and writes for all."""
    _prepare(task, gpus)
    ranks = join_ranks(rank)
    place = Place(ranks.number, ranks.count, ranks.build_trainee)
    shared = {phase: _shared(_checkpoints(Store(task.store_url), task, phase), ranks) for phase in _PHASES}
    return _upload_trained(path, task, place, shared)


def _prepare(task: TrainingTask, gpus: Sequence[str] | None) -> None:
    prepare_framework(num_threads=task.num_threads, gpus=gpus)
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()  # the same training gives the same bytes


def _upload_trained(path: str, task: TrainingTask, place: Place, checkpoints: Mapping[Phase, Checkpoints]) -> Files:
    with tempfile.TemporaryDirectory() as folder:
        task.train(place, checkpoints, Path(folder))
        if place.rank:
            return ()
        return Store(task.store_url).upload(Path(folder), f"{path}/{uuid4().hex}")


def _checkpoints(store: Store, task: TrainingTask, phase: Phase) -> Checkpoints:
    """Return where the checkpoints of one of the two trainings are: a file, replaced whole."""
    path = f"{task.checkpoints}/{phase}.npz"
    return Checkpoints(partial(store.read_bytes, path), partial(store.write_bytes, path))


def _shared(checkpoints: Checkpoints, ranks: Ranks) -> Checkpoints:
    def read() -> bytes | None:
        return ranks.from_first(checkpoints.read() if ranks.is_first else None)

    return Checkpoints(read, checkpoints.write if ranks.is_first else None)


def checkpoint_folder(stage: str, store: Store, inputs: Sequence[Output], decides: Mapping[str, Any]) -> str:
    """Return where the checkpoints of a training are, by all that decides what it gives.

    inputs: what it reads, as it is committed now. decides: settings and whatever else. A rerun on another node finds
    the checkpoints there; one with another setting, other inputs, another release or another backend does not.
    """
    digests = {
        each.name: digest_of({shard: commit.digest for shard, commit in store.commits(each).items()}) for each in inputs
    }
    made_by = [landmark_spark.__version__, version("keras"), _backend()]
    text = json.dumps([decides, digests, made_by], sort_keys=True, default=str)
    return f"{CHECKPOINTS}/{stage}/{hashlib.sha256(text.encode()).hexdigest()[:16]}"
