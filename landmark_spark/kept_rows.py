"""What is kept in memory of a table's rows to compare tables with each other: some twenty bytes a row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from landmark_spark.schemas import Table

__all__ = ["KeptRows", "RowKeeper", "id_digests"]

_KEPT: Mapping[str, tuple[str, ...]] = {
    "records": ("is_test", "landmark_id", "line_number"),
    "rejects": ("is_test", "is_duplicate", "line_number"),
    "landmarks": ("landmark_id", "num_train_images"),
    "images": ("is_test", "is_ok", "is_large"),
    "bottlenecks": ("num_bytes",),
    "predictions": ("rank", "landmark_id"),
    "global_descriptors": ("is_test", "num_bytes"),
    "candidates": ("is_test", "rank", "landmark_id"),
    "local_features": ("is_test", "num_dimensions"),
    "verifications": ("landmark_id", "is_verified"),
    "scores": ("rank", "landmark_id"),
}
_WORDS = {
    "is_test": ("split", "test"),
    "is_ok": ("status", "ok"),
    "is_duplicate": ("reason", "duplicate_id"),
}


@dataclass(frozen=True)
class KeptRows:
    """The rows of one shard, in their order.

    ids: (N,) uint64, digests of the ids; 0 for a null, and where the table has no id. columns: (N,) each; by name.
    """

    ids: NDArray[np.uint64]
    columns: Mapping[str, NDArray[Any]]

    def where(self, mask: NDArray[np.bool_]) -> KeptRows:
        """Return some of the rows; mask: (N,) bool."""
        return KeptRows(self.ids[mask], {name: values[mask] for name, values in self.columns.items()})


def id_digests(ids: Iterable[str | None]) -> NDArray[np.uint64]:
    """Return 64 bits of each id, (N,) uint64: of a million ids two are the same by chance once in forty million times.

    A null is 0.
    """
    digests = (hashlib.blake2b(each.encode(), digest_size=8).digest() if each is not None else bytes(8) for each in ids)
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64, copy=False)


class RowKeeper:
    """Takes the rows of one shard as they pass, and keeps what the table's checks need."""

    def __init__(self, table: Table) -> None:
        self._names = _KEPT.get(table.name, ())
        self._has_id = "id" in table.schema.names
        self._ids: list[NDArray[np.uint64]] = [np.zeros(0, np.uint64)]
        self._columns: dict[str, list[NDArray[Any]]] = {name: [] for name in self._names}

    def add(self, rows: pa.Table) -> None:
        """Take more rows."""
        has_id = self._has_id
        self._ids.append(id_digests(rows.column("id").to_pylist()) if has_id else np.zeros(rows.num_rows, np.uint64))
        for name in self._names:
            self._columns[name].append(_values(name, rows))

    def kept(self) -> KeptRows:
        """Return what is kept."""
        empty = np.zeros(0, np.int64)
        columns = {name: np.concatenate(parts) if parts else empty for name, parts in self._columns.items()}
        return KeptRows(np.concatenate(self._ids), {name: _typed(name, each) for name, each in columns.items()})


def _typed(name: str, values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(bool) if name.startswith("is_") else values


def _values(name: str, rows: pa.Table) -> NDArray[Any]:
    if name in _WORDS:
        column, word = _WORDS[name]
        return np.asarray(pa.compute.equal(rows.column(column), word))
    if name == "is_large":  # it keeps a larger copy
        return np.asarray(pa.compute.is_valid(rows.column("large_image")))
    if name == "num_bytes":  # of a feature map, or of the descriptor of a whole image
        column = "features" if "features" in rows.column_names else "descriptor"
        return np.asarray(pa.compute.binary_length(rows.column(column)))
    if name == "num_dimensions":  # of a descriptor of two bytes a value; 0 where there is no keypoint
        lengths = np.asarray(pa.compute.binary_length(rows.column("descriptors")))
        sizes: NDArray[Any] = lengths // np.maximum(2 * np.asarray(rows.column("num_keypoints")), 1)
        return sizes
    return np.asarray(rows.column(name))
