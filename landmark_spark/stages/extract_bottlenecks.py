"""Stage: images -> bottlenecks, on GPU executors."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from landmark_spark.core.backbone import NetworkPlan, build_network
from landmark_spark.core.jpeg_batches import JpegDecoder
from landmark_spark.core.model_runner import ModelRunner, compile_model, with_float16_outputs
from landmark_spark.core.network_probe import probe_network
from landmark_spark.core.networks import check_network
from landmark_spark.core.precision import gpu_capability
from landmark_spark.core.prefetching import run_ahead
from landmark_spark.core.published_weights import describe_weights, resolve_network_weights
from landmark_spark.gpu import claim_device, limit_native_threads
from landmark_spark.messages import teller
from landmark_spark.schemas import BOTTLENECKS
from landmark_spark.settings import BackboneSettings, Config, ConfigError
from landmark_spark.stages.context import Context
from landmark_spark.store import Store, arrow_schema, conform, spark_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = [
    "BackboneTask",
    "BatchTooLargeError",
    "backbone_task",
    "default_decode_threads",
    "extract_bottlenecks",
    "extract_rows",
    "find_weights",
    "num_decode_threads",
    "regroup",
    "ship_weights",
    "weights_digest",
]

_BATCHES_AHEAD = 2  # decoded, or being decoded, while the model runs: docs/performance.md says what they cost
_MAX_DECODE_THREADS = 8  # of one task with a GPU
_MAX_COLUMN_BYTES = 2**31 - 1  # of a column of Arrow's binary type, whose places are int32


class BatchTooLargeError(ValueError):
    """A batch that is larger than a column of Arrow can be; the message says what to lower."""


def weights_digest(config: Config) -> dict[str, str]:
    """Return what identifies the weights that would be used; nothing for random ones."""
    return describe_weights(config.backbone.name, config.backbone.weights)


def find_weights(config: Config) -> None:
    """Raise ConfigError for a network there is not, WeightsNotFound or WeightsError where no weights fit it."""
    try:
        check_network(config.backbone.name, config.download.image_size)
    except ValueError as error:
        raise ConfigError(f"backbone.name, download.image_size: {error}") from error
    weights = resolve_network_weights(config.backbone.name, config.backbone.weights)
    if weights is not None:
        probe_network(config.backbone.name, image_size=config.download.image_size, weights=weights)


def extract_bottlenecks(context: Context, images: DataFrame) -> DataFrame:
    """Run the convolutional base over every image that could be fetched."""
    from pyspark.sql import functions as F

    task = backbone_task(context.config, context.store)
    wanted = [name for name in arrow_schema(BOTTLENECKS).names if name != "features"]
    found = images.where(F.col("status") == "ok").select(*wanted, "image")
    features = found.mapInArrow(task, spark_schema(BOTTLENECKS), profile=context.accelerator_profile)
    return conform(features, BOTTLENECKS)


def backbone_task(config: Config, store: Store) -> BackboneTask:
    """Return what makes features of images, its weights put where every executor reads: into the store."""
    weights = ship_weights(store, config.backbone)
    return BackboneTask(config.backbone, config.download.image_size, store.url, weights)


def ship_weights(store: Store, settings: BackboneSettings) -> str:
    """Put the weights where every executor reads: into the store, named by what they hold."""
    path = resolve_network_weights(settings.name, settings.weights)
    if path is None:
        return ""
    data = path.read_bytes()
    suffix = ".weights.h5" if path.name.endswith(".weights.h5") else path.suffix  # Keras tells its formats by name
    relative = f"_weights/{hashlib.sha256(data).hexdigest()}{suffix}"
    shipped = store.path(relative)
    if not store.file_system.exists(shipped) or store.file_system.size(shipped) != len(data):
        store.write_bytes(relative, data)
    return relative


@dataclass(frozen=True)
class BackboneTask:
    """Makes features of the images of one partition inside a Spark task.

    Small and hashable, so that a Python worker loads the network once. weights: of the store, below ``store_url``.
    """

    settings: BackboneSettings
    image_size: int
    store_url: str
    weights: str

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Turn the rows of images into those of bottlenecks, in their order."""
        claim_device(num_threads=self.settings.num_threads)
        runner, num_threads = _load(self)
        with JpegDecoder(self.image_size, num_threads=num_threads) as decoder:
            yield from extract_rows(batches, decoder, runner, num_rows=self.settings.batch_size)


def extract_rows(
    batches: Iterable[pa.RecordBatch], decoder: JpegDecoder, runner: ModelRunner, *, num_rows: int
) -> Iterator[pa.RecordBatch]:
    """Turn rows of images into rows of bottlenecks, ``num_rows`` at a time; the next are decoded meanwhile."""
    decoded = run_ahead(
        regroup(batches, num_rows),
        lambda batch: decoder.start(batch["image"].to_pylist(), batch["id"].to_pylist()),
        ahead=_BATCHES_AHEAD,
    )
    # One batch is on its way to the device while the features of the one before are fetched.
    for (batch, _), features in run_ahead(decoded, lambda pair: runner.start(pair[1]), ahead=1):
        yield _rows(batch, features)


@lru_cache(maxsize=1)
def _load(task: BackboneTask) -> tuple[ModelRunner, int]:
    """Load the network, once a Python worker; say how many threads decode."""
    settings = task.settings
    limit_native_threads()
    with Store(task.store_url).local_file(task.weights) as weights:
        plan = NetworkPlan(
            name=settings.name,
            weights=weights,
            image_size=task.image_size,
            preprocessing=settings.preprocessing,
            pooling=settings.pooling,
            gem_power=settings.gem_power,
            precision=settings.precision,
        )
        model = compile_model(with_float16_outputs(build_network(plan)))
    runner = ModelRunner(
        model, batch_size=settings.batch_size, tell=teller(task.store_url, extract_bottlenecks.__name__)
    )
    return runner, num_decode_threads(settings)


def num_decode_threads(settings: BackboneSettings) -> int:
    """Return how many threads of a task decode; call it once the framework is loaded."""
    return settings.num_decode_threads or default_decode_threads()


def default_decode_threads() -> int:
    """Return how many threads of a task decode where no setting says; call it once the framework is loaded."""
    if gpu_capability() is None:
        return 1  # Spark runs a task on each core
    return min(_MAX_DECODE_THREADS, len(os.sched_getaffinity(0)))


def regroup(batches: Iterable[pa.RecordBatch], num_rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the same rows in batches of ``num_rows``, the last one of what is left."""
    parts: list[pa.RecordBatch] = []
    num_waiting = 0
    for batch in batches:
        start = 0
        while start < batch.num_rows:
            part = batch.slice(start, num_rows - num_waiting)
            parts.append(part)
            start += part.num_rows
            num_waiting += part.num_rows
            if num_waiting == num_rows:
                yield _joined(parts)
                parts, num_waiting = [], 0
    if parts:
        yield _joined(parts)


def _joined(parts: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(parts) == 1:
        return parts[0]
    joined = pa.Table.from_batches(parts).combine_chunks().to_batches()
    if len(joined) > 1:
        raise BatchTooLargeError(
            f"a batch of {sum(each.num_rows for each in joined)} rows should have less than 2 GiB in a column: lower "
            f"batch_size. Received: {sum(each.nbytes for each in joined):,} bytes"
        )
    return joined[0]


def _rows(batch: pa.RecordBatch, features: npt.NDArray[np.float16]) -> pa.RecordBatch:
    schema = arrow_schema(BOTTLENECKS)
    columns = [_vectors(features) if each.name == "features" else batch[each.name] for each in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _vectors(features: npt.NDArray[np.float16]) -> pa.BinaryArray:
    """Return (B, ...) features as a column of little-endian bytes, without copying them."""
    values = np.ascontiguousarray(features, "<f2")
    if values.nbytes > _MAX_COLUMN_BYTES:
        raise BatchTooLargeError(
            f"the features of a batch should be at most {_MAX_COLUMN_BYTES:,} bytes: lower backbone.batch_size or set "
            f"backbone.pooling. Received: {values.nbytes:,} for {len(values)} images"
        )
    ends = np.arange(len(values) + 1, dtype=np.int32) * (values.nbytes // max(len(values), 1))
    buffers = [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.binary(), len(values), buffers)
