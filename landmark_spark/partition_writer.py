"""Writes and commits the shards of one partition; runs inside a Spark task."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute

from landmark_spark.accelerator_load import AcceleratorLoad
from landmark_spark.commits import WHOLE, Commit, Note, Stamp, StoreError, now
from landmark_spark.gpu import task_gpus
from landmark_spark.ledger import Ledger
from landmark_spark.schemas import Table
from landmark_spark.shard_writer import ShardWriter

__all__ = ["PartitionWriter"]

_SECONDS_A_NOTE = 5.0


@dataclass(frozen=True)
class PartitionWriter:
    """Writes the shards that ``stamps`` names; one that should have ``expected_rows`` fails with another number.

    A shard whose number of rows is known is committed with its last row, the others at the end of the partition.
    ``lock``: of the run, relative to the store, without which nothing is committed; "" for none.
    """

    url: str
    table: Table
    stamps: dict[int, Stamp]
    expected_rows: dict[int, int]
    lock: str = ""

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Write and commit what the batches hold; yield the shards, as one batch of column ``shard``."""
        ledger = Ledger(self.url)
        open_shards: dict[int, _OpenShard] = {}
        try:
            for batch in batches:
                for shard, rows in _split_by_shard(batch, self.table):
                    if shard not in open_shards:
                        open_shards[shard] = self._open(ledger, shard)
                    open_shards[shard].append(rows)
                    if open_shards[shard].writer.num_rows == self.expected_rows.get(shard):
                        self._commit(ledger, shard, open_shards[shard])
            for shard, each in open_shards.items():
                if not each.is_committed:
                    self._commit(ledger, shard, each)
        finally:
            for each in open_shards.values():
                each.writer.discard()  # where something failed; nothing is left to discard where all went well
        yield pa.RecordBatch.from_arrays([pa.array(sorted(open_shards), pa.int32())], names=["shard"])

    def write_empty(self, shard: int) -> None:
        """Commit a shard without rows; on the driver, once the job has shown that there are none."""
        ledger = Ledger(self.url)
        opened = _OpenShard(ledger, self.table, shard)
        try:
            self._commit(ledger, shard, opened)
        finally:
            opened.writer.discard()

    def _open(self, ledger: Ledger, shard: int) -> _OpenShard:
        if shard not in self.stamps:
            raise StoreError(f"{self.table.name} should have shards {sorted(self.stamps)}. Received: {shard}")
        return _OpenShard(ledger, self.table, shard)

    def _commit(self, ledger: Ledger, shard: int, opened: _OpenShard) -> None:
        writer = opened.writer
        num_rows = writer.num_rows
        expected = self.expected_rows.get(shard, num_rows)
        if num_rows != expected:
            raise StoreError(f"shard {shard} of {self.table.name} should have {expected} rows. Received: {num_rows}")
        entry = writer.close()
        stamp = self.stamps[shard]
        commit = Commit(self.table.name, shard, num_rows, entry.sha256, (entry,), stamp, counts=writer.counts.nested())
        ledger.check_lock(self.lock, entry.path)
        ledger.commit(commit)
        opened.is_committed = True
        ledger.forget_notes(self.table, [shard])


class _OpenShard:
    """A shard being written, and its note: left when it is opened, then at most every few seconds."""

    def __init__(self, ledger: Ledger, table: Table, shard: int) -> None:
        self.writer = ShardWriter(ledger.file_system, ledger.path(), table, shard)
        self.is_committed = False
        self._ledger = ledger
        self._name = table.name
        self._shard = shard
        self._started = now()
        self._leave_note()

    def append(self, rows: pa.Table) -> None:
        """Write rows."""
        if self.is_committed:
            raise StoreError(
                f"shard {self._shard} of {self._name} should have {self.writer.num_rows} rows. Received: more"
            )
        self.writer.append(rows)
        if time.monotonic() >= self._next_note:
            self._leave_note()

    def _leave_note(self) -> None:
        writer = self.writer
        busy = _task_load().busy(wait=0)  # writing goes on; the answer is in the next note
        counts = writer.counts.nested()
        self._ledger.leave_note(
            Note(self._name, self._shard, writer.num_rows, counts, started=self._started, accelerator_busy=busy)
        )
        self._next_note = time.monotonic() + _SECONDS_A_NOTE  # counted from its end: a slow store is asked less often


def _task_load() -> AcceleratorLoad:
    """Return the load of the GPUs that Spark gave this task; of none where it manages none."""
    return _load_of(task_gpus() or ())


@functools.cache
def _load_of(gpus: tuple[str, ...]) -> AcceleratorLoad:
    """Keep it from task to task of a worker: a shard may take less time than an answer."""
    return AcceleratorLoad(gpus)


def _split_by_shard(batch: pa.RecordBatch, table: Table) -> Iterator[tuple[int, pa.Table]]:
    rows = pa.Table.from_batches([batch])
    if not table.sharded:
        if rows.num_rows:
            yield WHOLE, rows
        return
    for shard in sorted(set(rows.column("shard").to_pylist())):
        mine = pa.compute.equal(rows.column("shard"), shard)
        yield shard, rows.filter(mine).drop_columns(["shard"])
