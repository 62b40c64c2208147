"""The sides of the inference benchmark on one JPEG column: our task, ``predict_batch_udf`` and two pandas UDFs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from landmark_spark.core.images import decode_jpeg
from landmark_spark.schemas import BOTTLENECKS
from landmark_spark.stages.extract_bottlenecks import BackboneTask
from landmark_spark.store import arrow_schema, spark_schema
from scripts.benchmarks.inference_tasks import FreeTask, PlainModel, StampedTask, read_stamps
from scripts.benchmarks.report_lines import BenchmarkError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = [
    "SparkRun",
    "frame_of_ours",
    "frame_of_predict_batch_udf",
    "frame_of_two_udfs",
    "read_images",
    "run_frame",
    "write_images",
]


@dataclass(frozen=True)
class SparkRun:
    """One run of one side. seconds: from the first rows in a worker to the last; wall_seconds: of the whole action."""

    num_images: int
    seconds: float
    wall_seconds: float

    @property
    def rate(self) -> float:
        """Images a second, from the first rows to the last."""
        return self.num_images / self.seconds


def write_images(folder: Path, jpegs: list[bytes], *, num_images: int, num_files: int) -> list[str]:
    """Write rows of images as the extraction reads them, one partition a file, the pictures in turn."""
    paths = []
    for part in range(num_files):
        numbers = range(part, num_images, num_files)
        values: dict[str, list[Any]] = {
            "id": [f"{number:016x}" for number in numbers],
            "split": ["train"] * len(numbers),
            "landmark_id": list(numbers),
            "class_index": list(numbers),
            "reference_rank": [0] * len(numbers),
            "holdout": [0.5] * len(numbers),
            "shard": [part] * len(numbers),
            "image": [jpegs[number % len(jpegs)] for number in numbers],
        }
        types = {each.name: each.type for each in arrow_schema(BOTTLENECKS)} | {"image": pa.binary()}
        paths.append(str(folder / f"part-{part:02d}.parquet"))
        pq.write_table(pa.table({name: pa.array(column, types[name]) for name, column in values.items()}), paths[-1])
    return paths


def frame_of_ours(images: DataFrame, task: BackboneTask | FreeTask, stamps: Path) -> DataFrame:
    """Return the features as the stage makes them."""
    return images.mapInArrow(StampedTask(task, str(stamps)), spark_schema(BOTTLENECKS))


def frame_of_predict_batch_udf(images: DataFrame, model: PlainModel, *, batch_size: int) -> DataFrame:
    """Return the features by Spark's own function for models: array<float>, as its documentation has it."""
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql.types import ArrayType, FloatType

    udf = predict_batch_udf(model.predict, return_type=ArrayType(FloatType()), batch_size=batch_size)
    return images.select("id", udf("image").alias("features"))


def frame_of_two_udfs(images: DataFrame, model: PlainModel, *, image_size: int, batch_size: int) -> DataFrame:
    """Return the features by two pandas UDFs, from JPEG to list and from list to list, as public benchmarks have it."""
    from pyspark.sql.pandas.functions import pandas_udf

    def decode(jpegs: pd.Series) -> pd.Series:
        return jpegs.map(lambda data: decode_jpeg(data).flatten().tolist())

    def predict(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        for batch in batches:
            pixels = np.stack(list(batch)).astype(np.uint8).reshape(-1, image_size, image_size, 3)
            parts = [pixels[start : start + batch_size] for start in range(0, len(pixels), batch_size)]
            yield pd.Series([each.flatten().tolist() for part in parts for each in model.predict_pixels(part)])

    make_udf: Any = pandas_udf  # its stubs know no plain function
    decoded = make_udf(_typed(decode), "array<int>")("image")
    return images.select("id", make_udf(_typed_iterator(predict), "array<float>")(decoded).alias("features"))


def _typed(function: Callable[[pd.Series], pd.Series]) -> Callable[[pd.Series], pd.Series]:
    function.__annotations__ = {"jpegs": pd.Series, "return": pd.Series}  # Spark resolves no names of later imports
    return function


def _typed_iterator(function: Callable[..., Any]) -> Callable[..., Any]:
    function.__annotations__ = {"batches": Iterator[pd.Series], "return": Iterator[pd.Series]}
    return function


def run_frame(frame: DataFrame, stamps: Path, num_images: int) -> SparkRun:
    """Compute every row and throw it away. Raises BenchmarkError where rows are missing."""
    started = time.perf_counter()
    frame.write.format("noop").mode("overwrite").save()
    wall_seconds = time.perf_counter() - started
    seconds, num_rows = read_stamps(stamps)
    if num_rows != num_images:
        raise BenchmarkError(f"a run should make {num_images} rows. Received: {num_rows}")
    return SparkRun(num_images, seconds, wall_seconds)


def read_images(spark: SparkSession, paths: list[str]) -> DataFrame:
    """Return the rows that ``write_images`` wrote."""
    return spark.read.parquet(*paths)
