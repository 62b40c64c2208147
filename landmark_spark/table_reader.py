"""Reads the Parquet files of a store on any file system that fsspec knows, without Spark's own reader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from landmark_spark.commits import WHOLE
from landmark_spark.ledger import Ledger
from landmark_spark.parquet_files import open_parquet

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

__all__ = ["TaskReader", "read_columns", "read_schema"]

_ROWS_A_BATCH = 128  # as session.py has it for Spark's own batches: few rows of images or vectors are many bytes


def read_columns(file_system: Any, path: str, columns: Sequence[str]) -> pa.Table:
    """Return some columns of a file; the bytes of the others are not asked for."""
    with open_parquet(file_system, path) as parquet:
        return parquet.read(columns=list(columns), use_threads=False).select(list(columns))


def read_schema(file_system: Any, path: str) -> pa.Schema:
    """Return the columns of a file; no row is read."""
    with open_parquet(file_system, path) as parquet:
        return parquet.schema_arrow


@dataclass(frozen=True)
class TaskReader:
    """Reads files inside Spark tasks: the store's own library and credentials reach it, Hadoop needs to know nothing.

    files: (shard, path relative to the store). Spark cannot see into it: all columns are read, whatever is selected,
    and all files, whatever is filtered.
    """

    url: str
    schema: pa.Schema
    files: tuple[tuple[int, str], ...]

    def frame(self, spark: SparkSession, schema: StructType) -> DataFrame:
        """Return the rows, one partition a file. schema: that of the rows, with ``shard`` where there are shards."""
        count = len(self.files)
        return spark.range(0, count, 1, count).mapInArrow(self, schema)

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the files whose numbers the batches hold."""
        return self._read(number for batch in batches for number in batch.column(0).to_pylist())

    def read(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows of all files, in their order, for who is in a task already."""
        return self._read(range(len(self.files)))

    def _read(self, numbers: Iterable[int]) -> Iterator[pa.RecordBatch]:
        ledger = Ledger(self.url)
        for number in numbers:
            shard, name = self.files[number]
            yield from self._rows(ledger, shard, name)

    def _rows(self, ledger: Ledger, shard: int, name: str) -> Iterator[pa.RecordBatch]:
        with open_parquet(ledger.file_system, ledger.path(name)) as parquet:
            for group in range(parquet.num_row_groups):  # one by one: all that are asked for at once are held at once
                batches = parquet.iter_batches(
                    _ROWS_A_BATCH, row_groups=[group], columns=self.schema.names, use_threads=False
                )
                yield from (self._with_shard(batch, shard) for batch in batches)

    def _with_shard(self, batch: pa.RecordBatch, shard: int) -> pa.RecordBatch:
        columns = [batch.column(each.name).cast(each.type) for each in self.schema]
        if shard == WHOLE:
            return pa.RecordBatch.from_arrays(columns, names=self.schema.names)
        numbers = pa.array([shard] * batch.num_rows, pa.int32())
        return pa.RecordBatch.from_arrays([*columns, numbers], names=[*self.schema.names, "shard"])
