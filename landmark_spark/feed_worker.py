"""Reads row groups of Parquet files as Arrow tables, each once, for petastorm's pools to run ahead with."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from landmark_spark.core.training_rows import RowChoice

__all__ = ["RowGroupName", "RowGroupWorker", "Reading", "name_of", "read_footers"]

RowGroupName = tuple[str, int]
"""Path of a file, and the number of a row group in it."""

_NAME = b"row_group"  # in the metadata of a table
_FOOTER_THREADS = 16  # a store far away answers each in some 30 ms


def read_footers(file_system: Any, paths: Sequence[str]) -> dict[str, pq.FileMetaData]:
    """Read the footers of Parquet files, several at a time; keys are the paths, in their order."""

    def read(path: str) -> pq.FileMetaData:
        with file_system.open(path) as source:
            return pq.read_metadata(source)

    with ThreadPoolExecutor(_FOOTER_THREADS) as threads:
        return dict(zip(paths, threads.map(read, paths), strict=True))


def name_of(table: pa.Table) -> RowGroupName:
    """Return which row group a worker's table is."""
    path, number = json.loads(table.schema.metadata[_NAME])
    return path, number


@dataclass(frozen=True)
class Reading:
    """What to read; petastorm takes it where it wants the class of a worker.

    Its own worker reads a file's footer anew for each row group, and hands over a Python object for each value.
    footers: of the files, by path. seed: of the order of the row groups; None is that of the files.
    """

    footers: dict[str, pq.FileMetaData]
    choice: RowChoice
    columns: tuple[str, ...]
    seed: int | None

    def wanted(self) -> list[RowGroupName]:
        """Return the row groups that may have chosen rows: the others are not read."""
        return [
            (path, number)
            for path, footer in self.footers.items()
            for number in range(footer.num_row_groups)
            if self.choice.may_be_within(_bounds(footer.row_group(number)))
        ]

    def __call__(self, worker_id: int, publish: Callable[[Any], None], arguments: Sequence[Any]) -> RowGroupWorker:
        """Make a worker; of petastorm's arguments the first is the file system and the fifth has all row groups."""
        wanted = frozenset(self.wanted())
        names = [(piece.path, piece.row_group) for piece in arguments[4]]
        if self.seed is not None:
            order = np.random.default_rng(self.seed).permutation(len(names))
            names = [names[place] for place in order]
        return RowGroupWorker(
            worker_id, publish, self, arguments[0], [each if each in wanted else None for each in names]
        )

    def new_results_queue_reader(self) -> Reading:
        """Return what petastorm takes results from its pool with."""
        return self

    def read_next(self, pool: Any, schema: Any, ngram: Any) -> pa.Table:  # noqa: ARG002
        """Return a result as a worker gave it, without petastorm's turning it into arrays of objects."""
        return pool.get_results()


class RowGroupWorker:
    """petastorm's protocol of a worker: ``process`` is called for each row group, and publishes a table."""

    def __init__(
        self,
        worker_id: int,
        publish: Callable[[Any], None],
        reading: Reading,
        file_system: Any,
        names: Sequence[RowGroupName | None],
    ) -> None:
        self.worker_id = worker_id
        self.publish_func = publish
        self._reading = reading
        self._file_system = file_system
        self._names = names

    def process(self, piece_index: int, **_: Any) -> None:
        """Publish the columns of a row group, but for one that is not wanted."""
        name = self._names[piece_index]
        if name is None:
            return
        path, number = name
        with (
            self._file_system.open(path) as source,
            pq.ParquetFile(source, metadata=self._reading.footers[path]) as file,
        ):
            table = file.read_row_group(number, columns=list(self._reading.columns), use_threads=False)
        self.publish_func(table.replace_schema_metadata({_NAME: json.dumps(name)}))

    def shutdown(self) -> None:
        """Do nothing: a worker holds nothing between two row groups."""


def _bounds(row_group: pq.RowGroupMetaData) -> dict[str, tuple[Any, Any]]:
    """Return the least and the largest value of each column of which the file says them."""
    columns = [row_group.column(number) for number in range(row_group.num_columns)]
    return {
        column.path_in_schema: (column.statistics.min, column.statistics.max)
        for column in columns
        if column.is_stats_set and column.statistics.has_min_max
    }
