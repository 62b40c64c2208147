"""Arrow rows of a training table -> labels, and groups of arrays that share the rows' memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from landmark_spark.core.batching import RowGroup
from landmark_spark.core.training_rows import RowChoice

__all__ = ["LABEL", "FeedError", "check_columns", "chosen_labels", "feature_groups", "picture_groups"]

LABEL = "class_index"


class FeedError(ValueError):
    """The table cannot feed a training; the message says what was wanted and what was received."""


def check_columns(schema: pa.Schema, columns: Sequence[str]) -> None:
    """Raise FeedError for a column that is not there, or a label that is not an integer."""
    lacking = [name for name in columns if name not in schema.names]
    if lacking:
        raise FeedError(f"the table should have columns {', '.join(columns)}. Received: none of {', '.join(lacking)}")
    kind = schema.field(LABEL).type
    if not pa.types.is_integer(kind):
        raise FeedError(f"{LABEL} should be an integer in every row. Received: a column of type {kind}")


def chosen_labels(tables: Iterable[pa.Table], choice: RowChoice) -> Iterator[npt.NDArray[np.int32]]:
    """Yield the labels (M,) of the chosen rows, a group of rows at a time."""
    for rows in _batches(tables):
        labels, chosen = _choose(rows, choice)
        yield labels[chosen]


def feature_groups(tables: Iterable[pa.Table], choice: RowChoice, column: str) -> Iterator[RowGroup]:
    """Yield groups of features (N, D) float16; D is the same in all."""
    size: int | None = None
    for rows in _batches(tables):
        labels, chosen = _choose(rows, choice)
        if not len(chosen):
            continue
        features = _matrix(rows.column(column), column)
        size = features.shape[1] if size is None else size
        if features.shape[1] != size:
            raise FeedError(f"{column} should have {size} values in every row. Received: {features.shape[1]}")
        if 2 * len(chosen) < len(labels):  # a few rows should not keep all the others in memory
            features, labels, chosen = features[chosen], labels[chosen], np.arange(len(chosen))
        yield RowGroup(features, labels, chosen)


def picture_groups(tables: Iterable[pa.Table], choice: RowChoice, column: str) -> Iterator[RowGroup]:
    """Yield groups of encoded pictures, as byte strings."""
    for rows in _batches(tables):
        labels, chosen = _choose(rows, choice)
        pictures = rows.column(column).take(pa.array(chosen))
        if pictures.null_count:
            raise FeedError(f"{column} should be there in every row whose status is ok. Received: a null")
        yield RowGroup(pictures.to_pylist(), labels[chosen], np.arange(len(chosen)))


def _batches(tables: Iterable[pa.Table]) -> Iterator[pa.RecordBatch]:
    for table in tables:
        yield from table.to_batches()


def _choose(rows: pa.RecordBatch, choice: RowChoice) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.intp]]:
    """Return the labels (N,) and the places of the chosen rows (M,)."""
    columns = {name: rows.column(name).to_numpy(zero_copy_only=False) for name in choice.columns}
    is_training = choice.is_training(columns)
    values = rows.column(LABEL)
    if values.null_count and np.any(is_training & values.is_null().to_numpy(zero_copy_only=False)):
        raise FeedError(f"{LABEL} should be an integer in every row. Received: a null in a training row")
    labels: npt.NDArray[np.int32] = values.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    if np.any(labels[is_training] < 0):
        raise FeedError(f"{LABEL} should be 0 or more for training rows. Received: rows without a class")
    return labels, choice.places(columns)


def _matrix(values: Any, column: str) -> npt.NDArray[np.float16]:
    """Return N equally long byte strings as (N, D) float16, without a copy."""
    _, offset_bytes, data = values.buffers()
    offsets = np.frombuffer(offset_bytes, np.int32)[values.offset : values.offset + len(values) + 1]
    lengths = np.diff(offsets)
    if values.null_count or lengths.min() != lengths.max() or lengths[0] == 0 or lengths[0] % 2:
        raise FeedError(
            f"{column} should have the same number of float16 values in every row. "
            f"Received: {lengths.min()} to {lengths.max()} bytes, {values.null_count} nulls"
        )
    matrix: npt.NDArray[np.float16] = (
        np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]].view("<f2").reshape(len(values), -1)
    )
    return matrix
