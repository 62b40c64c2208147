"""Writes the Parquet file of one shard: the same rows give the same bytes, however they arrive."""

from __future__ import annotations

import contextlib
import uuid
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from landmark_spark.commits import WHOLE, FileEntry, StoreError
from landmark_spark.row_counts import RowCounts
from landmark_spark.schemas import Table
from landmark_spark.whole_files import WholeFile

__all__ = ["ShardWriter"]


class ShardWriter:
    """Writes one Parquet file in row groups of a fixed number of rows; ``close`` shows it, ``discard`` drops it.

    num_rows: of what was appended so far. counts: those rows by the values of the table's ``counted`` columns.
    """

    def __init__(self, file_system: Any, root: str, table: Table, shard: int) -> None:
        folder = table.name if shard == WHOLE else f"{table.name}/shard={shard}"
        self._relative = f"{folder}/part-{uuid.uuid4().hex}.parquet"
        self._schema = table.schema
        self._name = table.name
        self._rows_per_group = table.rows_per_group
        self._file = WholeFile(file_system, f"{root}/{self._relative}")
        self._writer = pq.ParquetWriter(self._file, table.schema, compression="zstd")
        self._waiting: list[pa.Table] = []
        self._num_waiting = 0
        self.num_rows = 0
        self.counts = RowCounts(table.counted)

    def append(self, rows: pa.Table) -> None:
        """Take rows; write as many whole row groups as there are."""
        missing = sorted(set(self._schema.names) - set(rows.schema.names))
        if missing:
            raise StoreError(f"{self._name} should have the columns {', '.join(missing)}. Received: none of that name")
        for each in self._schema:
            if not each.nullable and rows.column(each.name).null_count:
                raise StoreError(f"{self._name}.{each.name} should have a value in every row. Received: a null")
        self._waiting.append(rows.select(self._schema.names).cast(self._schema))
        self._num_waiting += rows.num_rows
        self.num_rows += rows.num_rows
        self.counts.add(self._waiting[-1])
        if self._num_waiting >= self._rows_per_group:
            waiting = pa.concat_tables(self._waiting)
            full = waiting.num_rows - waiting.num_rows % self._rows_per_group
            self._writer.write_table(waiting.slice(0, full), row_group_size=self._rows_per_group)
            self._waiting, self._num_waiting = [waiting.slice(full)], waiting.num_rows - full

    def close(self) -> FileEntry:
        """Write what is left, and show the file whole at its name."""
        if self._num_waiting:
            self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=self._rows_per_group)
            self._waiting, self._num_waiting = [], 0
        self._writer.close()
        self._file.place()
        return FileEntry(self._relative, self._file.num_bytes, self._file.sha256())

    def discard(self) -> None:
        """Remove what was written; nothing after ``close``."""
        with contextlib.suppress(Exception):  # such as a full disk: the footer goes with the file
            self._writer.close()
        self._file.discard()
