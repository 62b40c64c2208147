"""Verifies a made-up test set, whose landmarks follow Zipf's law, on the cluster it is submitted to.

Arguments: the folder for tables and notes, and the numbers of test images and of landmarks. The answer is in the
folder's notes/ and answer.json.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from landmark_spark.config import load_config
from landmark_spark.schemas import BOTTLENECKS, CANDIDATES, LANDMARKS, LOCAL_FEATURES, NO_CLASS, PREDICTIONS
from landmark_spark.session import open_session
from landmark_spark.stages import verify_landmarks
from landmark_spark.stages.verification_task import VerificationTask
from landmark_spark.store import arrow_schema, spark_schema
from scripts.benchmarks.verify_skew_task import MeasuredTask

__all__: list[str] = []

_NUM_REFERENCES = 4
_NUM_KEYPOINTS = 10  # few, so that 400,000 comparisons take a minute
_SIZES = {"keypoints": 8, "descriptors": 2 * 16, "features": 2 * 64}  # bytes: a keypoint's, a descriptor's, an image's


def _zipf_queries(num_queries: int, num_landmarks: int) -> np.ndarray:
    """Draw the landmark predicted for each test image: that of rank r with a chance in proportion to 1 / r."""
    chances = 1.0 / np.arange(1, num_landmarks + 1)
    return np.random.default_rng(0).choice(num_landmarks, size=num_queries, p=chances / chances.sum())


def _columns(numbers: np.ndarray, landmarks: np.ndarray, num_queries: int) -> dict[str, Any]:
    """Make up rows: numbers below num_queries are test images, those above the references, four a landmark."""
    is_query = numbers < num_queries
    places = np.maximum(numbers - num_queries, 0)
    of_queries = landmarks[np.minimum(numbers, num_queries - 1)]
    return {
        "id": [f"{number:016x}" for number in numbers.tolist()],
        "split": np.where(is_query, "test", "train"),
        "landmark_id": np.where(is_query, NO_CLASS, places // _NUM_REFERENCES),
        "class_index": np.where(is_query, NO_CLASS, places // _NUM_REFERENCES),
        "reference_rank": np.where(is_query, NO_CLASS, places % _NUM_REFERENCES),
        "predicted": of_queries,
        "shard": numbers % 8,
    }


def _features(schema: pa.Schema, landmarks: np.ndarray, num_queries: int) -> Any:
    """Return the function that makes rows of local_features or bottlenecks from a range."""

    def make(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            numbers = batch.column(0).to_numpy()
            draw = np.random.default_rng(int(numbers[0]))
            units = draw.normal(size=(len(numbers), _NUM_KEYPOINTS, 16))
            units /= np.linalg.norm(units, axis=2, keepdims=True)
            values = _columns(numbers, landmarks, num_queries) | {
                "holdout": np.zeros(len(numbers), np.float32),
                "width": np.full(len(numbers), 480),
                "height": np.full(len(numbers), 480),
                "num_keypoints": np.full(len(numbers), _NUM_KEYPOINTS),
                "keypoints": [each.tobytes() for each in draw.uniform(0, 480, (*units.shape[:2], 2)).astype("<f4")],
                "descriptors": [each.tobytes() for each in units.astype("<f2")],
                "features": [each.tobytes() for each in np.abs(draw.normal(size=(len(numbers), 64))).astype("<f2")],
            }
            arrays = [pa.array(values[each.name], type=each.type) for each in schema]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    return make


def _tables(spark: Any, folder: Path, landmarks: np.ndarray, num_landmarks: int) -> verify_landmarks.VerificationTables:
    num_queries = len(landmarks)
    count = num_queries + num_landmarks * _NUM_REFERENCES
    frames = {}
    for table in (LOCAL_FEATURES, BOTTLENECKS):
        make = _features(arrow_schema(table), landmarks, num_queries)
        made = spark.range(0, count, 1, 8).mapInArrow(make, spark_schema(table))
        made.write.parquet(str(folder / table.name))
        frames[table.name] = spark.read.schema(spark_schema(table)).parquet(str(folder / table.name))
    predicted = [
        (f"{number:016x}", 0, landmark, landmark, 0.5, number % 8) for number, landmark in enumerate(landmarks.tolist())
    ]
    sizes = [(landmark, landmark, 20, "") for landmark in range(num_landmarks)]
    return verify_landmarks.VerificationTables(
        spark.createDataFrame(predicted, spark_schema(PREDICTIONS), verifySchema=False),
        spark.createDataFrame([], spark_schema(CANDIDATES)),
        spark.createDataFrame(sizes, spark_schema(LANDMARKS), verifySchema=False),
        frames["local_features"],
        frames["bottlenecks"],
    )


def _main(folder: str, num_queries: str, num_landmarks: str) -> None:
    overrides = [f"verify.max_comparisons={_NUM_REFERENCES}", "index.num_shards=8"]
    config = load_config(None, overrides)
    spark = open_session(config.spark, num_shards=8)
    notes = Path(folder) / "notes"
    notes.mkdir()
    landmarks = _zipf_queries(int(num_queries), int(num_landmarks))
    tables = _tables(spark, Path(folder), landmarks, int(num_landmarks))

    def measured(settings: Any) -> MeasuredTask:
        return MeasuredTask(VerificationTask(settings), str(notes))

    verify_landmarks.VerificationTask = measured  # type: ignore[assignment,misc]
    started = time.monotonic()
    num_rows = verify_landmarks.verify_candidates(config, tables).count()
    answer = {
        "num_rows": num_rows,
        "seconds": time.monotonic() - started,
        "parallelism": spark.sparkContext.defaultParallelism,
        "largest_landmark": int(np.bincount(landmarks).max()),
    }
    (Path(folder) / "answer.json").write_text(json.dumps(answer))


if __name__ == "__main__":
    _main(*sys.argv[1:])
