"""Looks up the rows of a few ids in a table of the store, without Spark: reads those row groups that may hold them."""

from __future__ import annotations

import contextlib
import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from landmark_spark.commits import StoreError
from landmark_spark.core.records import shard_of
from landmark_spark.parquet_files import open_parquet
from landmark_spark.schemas import Table
from landmark_spark.store import Store

__all__ = ["RowLookup", "look_up"]

_NUM_LOOKS = 10  # at the commits, where another run takes files away


def look_up(
    store: Store, table: Table, ids: Collection[str], *, columns: Sequence[str], num_shards: int
) -> dict[str, list[Any]]:
    """Return the rows of each id that is there, with these columns (and id) as attributes, as ``RowLookup`` finds them.

    num_shards: of the store.
    """
    return RowLookup(store, table, num_shards).rows(ids, columns)


class RowLookup:
    """Looks up rows of a table again and again; its commits are read once, and again where its files are gone.

    num_shards: of the store. is_pinned: another run's files are refused with a StoreError, where rows of different runs
    should not be mixed. num_threads: shards read at once.
    """

    def __init__(
        self, store: Store, table: Table, num_shards: int, *, is_pinned: bool = False, num_threads: int = 1
    ) -> None:
        self._store = store
        self._table = table
        self._num_shards = num_shards
        self._is_pinned = is_pinned
        self._num_threads = num_threads
        self._commits = store.commits(table)

    def rows(self, ids: Collection[str], columns: Sequence[str]) -> dict[str, list[Any]]:
        """Return the rows of each id that is there, with these columns (and id) as attributes.

        One row group of one file a thread is in memory besides what is returned; an id whose shard is not made yet is
        not found.
        """
        by_shard: dict[int, set[str]] = {}
        for each in ids:
            by_shard.setdefault(shard_of(each, self._num_shards), set()).add(each)
        found: dict[str, list[Any]] = {}
        shards = sorted(set(by_shard) & set(self._commits))
        with ThreadPoolExecutor(self._num_threads, thread_name_prefix="look-up") as pool:
            parts = pool.map(lambda shard: self._rows_of_shard(shard, by_shard[shard], ["id", *columns]), shards)
            for row in itertools.chain.from_iterable(parts):
                found.setdefault(row.id, []).append(row)
        return found

    def _rows_of_shard(self, shard: int, ids: Collection[str], columns: Sequence[str]) -> list[Any]:
        names: list[str] = []
        for _ in range(_NUM_LOOKS):
            names = [each.path for each in self._commits[shard].files] if shard in self._commits else names
            with contextlib.suppress(FileNotFoundError), _damage_told():
                return [row for name in names for row in _rows_of_file(self._store, name, ids, columns)]
            if self._is_pinned:
                break
            self._commits = self._store.commits(self._table)
        raise StoreError(f"{self._table.name} should have the files of its commits. Missing: some of {names}")


@contextlib.contextmanager
def _damage_told() -> Iterator[None]:
    """Say of a file that is no whole Parquet file what mends it."""
    try:
        yield
    except pa.ArrowInvalid as error:
        raise StoreError(
            f"the store should have whole Parquet files. Received: {error}. landmark-spark run makes a file again "
            "whose length is not as it was written, and one that is removed"
        ) from error


def _rows_of_file(store: Store, name: str, ids: Collection[str], columns: Sequence[str]) -> Iterator[Any]:
    wanted = pa.array(sorted(ids), pa.string())
    with open_parquet(store.file_system, store.path(name)) as parquet:
        for group, is_wanted in _groups_with(parquet, wanted):
            rows = parquet.read_row_group(group, columns=list(dict.fromkeys(columns)), use_threads=False)
            yield from (SimpleNamespace(**each) for each in rows.filter(is_wanted).to_pylist())


def _groups_with(parquet: pq.ParquetFile, wanted: pa.Array) -> list[tuple[int, pa.ChunkedArray]]:
    """Return the row groups that hold wanted ids, each with which of its rows they are; only the ids are read."""
    place = parquet.schema_arrow.names.index("id")
    sought = wanted.to_pylist()  # ascending
    groups = []
    for group in range(parquet.num_row_groups):
        span = parquet.metadata.row_group(group).column(place).statistics
        if span is None or not span.has_min_max or bisect_left(sought, span.min) < bisect_right(sought, span.max):
            groups.append(group)
    if not groups:
        return []
    ids = parquet.read_row_groups(groups, columns=["id"], use_threads=False).column("id")
    is_wanted = pa.compute.is_in(ids, value_set=wanted)
    found, start = [], 0
    for group in groups:
        count = parquet.metadata.row_group(group).num_rows
        mine = is_wanted.slice(start, count)
        start += count
        if pa.compute.any(mine).as_py():
            found.append((group, mine))
    return found
