"""Writes the Parquet file of one shard: the same rows give the same bytes, however they arrive."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from landmark_spark.commits import WHOLE, FileEntry, StoreError
from landmark_spark.schemas import Table

__all__ = ["ShardWriter"]

_ROWS_PER_GROUP = 512  # a row group of images is then about 30 MB, of bottlenecks 8 MB: what a reader holds at once


class ShardWriter:
    """Writes one Parquet file in row groups of a fixed number of rows: the same rows give the same bytes."""

    def __init__(self, file_system: Any, root: str, table: Table, shard: int) -> None:
        folder = table.name if shard == WHOLE else f"{table.name}/shard={shard}"
        self._relative = f"{folder}/part-{uuid.uuid4().hex}.parquet"
        self._schema = table.schema
        self._name = table.name
        file_system.makedirs(f"{root}/{folder}", exist_ok=True)
        self._file = _HashingFile(file_system.open(f"{root}/{self._relative}", "wb"))
        self._writer = pq.ParquetWriter(self._file, table.schema, compression="zstd")
        self._waiting: list[pa.Table] = []
        self._num_waiting = 0
        self._num_rows = 0

    def append(self, rows: pa.Table) -> None:
        """Take rows; write as many whole row groups as there are."""
        for each in self._schema:
            if not each.nullable and rows.column(each.name).null_count:
                raise StoreError(f"{self._name}.{each.name} should have a value in every row. Received: a null")
        self._waiting.append(rows.select(self._schema.names).cast(self._schema))
        self._num_waiting += rows.num_rows
        self._num_rows += rows.num_rows
        if self._num_waiting >= _ROWS_PER_GROUP:
            waiting = pa.concat_tables(self._waiting)
            full = waiting.num_rows - waiting.num_rows % _ROWS_PER_GROUP
            self._writer.write_table(waiting.slice(0, full), row_group_size=_ROWS_PER_GROUP)
            self._waiting, self._num_waiting = [waiting.slice(full)], waiting.num_rows - full

    def close(self) -> tuple[FileEntry, int]:
        """Write what is left; return the file and its number of rows."""
        if self._num_waiting:
            self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=_ROWS_PER_GROUP)
        self._writer.close()
        self._file.close()
        return FileEntry(self._relative, self._file.num_bytes, self._file.sha256()), self._num_rows


class _HashingFile:
    """A file for writing that knows its length and SHA-256."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.num_bytes = 0
        self.closed = False

    def write(self, data: Any) -> int:
        """Append bytes."""
        self._file.write(data)
        self._hash.update(data)
        self.num_bytes += len(data)
        return len(data)

    def tell(self) -> int:
        """Return the length so far."""
        return self.num_bytes

    def flush(self) -> None:
        """Nothing is held back here."""

    def close(self) -> None:
        """Close the file below; a second call does nothing."""
        if not self.closed:
            self.closed = True
            self._file.close()

    def sha256(self) -> str:
        """Return the digest of what was written, in hex."""
        return self._hash.hexdigest()
