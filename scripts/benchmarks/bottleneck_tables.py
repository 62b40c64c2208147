"""Writes bottleneck tables of any length, a row group at a time, with values such as VGG16's."""

from __future__ import annotations

from pathlib import Path

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from landmark_spark.schemas import BOTTLENECKS
from landmark_spark.shard_writer import ShardWriter

__all__ = ["FEATURE_SIZE", "write_bottlenecks"]

FEATURE_SIZE = 8192  # 4 x 4 x 512

# Of VGG16's last feature map on real photos of 128 x 128, RGB / 255: 76 % zeros, the others with a mean of 0.64 and
# close to exponential; Parquet's zstd makes 2.9 of 1, as of these.
_SHARE_OF_ZEROS = 0.76
_MEAN = 0.64
_NUM_VECTORS = 2048  # different ones
_ROWS_AT_ONCE = 512


def write_bottlenecks(folder: Path, *, num_rows: int, num_classes: int, num_files: int) -> list[str]:
    """Write training rows as the extraction stage would, and return the URLs of the files.

    Classes come in turn, so that with as many rows as classes each has one. holdout is even in [0, 1).
    """
    random = np.random.default_rng(0)
    vectors = _make_vectors(random)
    urls = []
    for shard, rows in enumerate(np.array_split(np.arange(num_rows), num_files)):
        writer = ShardWriter(fsspec.filesystem("file"), str(folder), BOTTLENECKS, shard)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            writer.append(_table(rows[start : start + _ROWS_AT_ONCE], num_classes, vectors, random))
        urls.append(f"file://{folder}/{writer.close().path}")
    return urls


def _make_vectors(random: np.random.Generator) -> npt.NDArray[np.float16]:
    shape = (_NUM_VECTORS, FEATURE_SIZE)
    vectors = random.standard_exponential(shape, np.float32) * _MEAN
    vectors[random.random(shape, np.float32) < _SHARE_OF_ZEROS] = 0
    return vectors.astype(np.float16)


def _table(
    rows: npt.NDArray[np.int64],
    num_classes: int,
    vectors: npt.NDArray[np.float16],
    random: np.random.Generator,
) -> pa.Table:
    labels = rows % num_classes
    return pa.table(
        {
            "id": [f"{row:016x}" for row in rows],
            "split": ["train"] * len(rows),
            "landmark_id": labels,
            "class_index": labels.astype(np.int32),
            "reference_rank": np.ones(len(rows), np.int32),
            "holdout": random.random(len(rows), np.float32),
            "features": [vectors[place].tobytes() for place in random.integers(0, len(vectors), len(rows))],
        },
        schema=BOTTLENECKS.schema,
    )
