"""Gives a task that runs again the rows of the shards that its earlier attempt committed before it was lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from landmark_spark.commits import FileEntry
from landmark_spark.ledger import Ledger
from landmark_spark.schemas import IMAGES
from landmark_spark.table_reader import TaskReader

__all__ = ["Earlier"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Earlier:
    """What was committed since the stage began; ``before``: the files of each shard when it did."""

    store_url: str
    before: Mapping[int, tuple[FileEntry, ...]]

    def rows(self, rows: Iterable[Row]) -> Iterator[tuple[Row, bool]]:
        """Yield each row and False; where an earlier attempt of this task has made it, the row it made and True.

        A shard's rows must come together and in the order of its table, as those of every table do.
        """
        if not _attempt_number():
            yield from ((row, False) for row in rows)
            return
        shard = -1
        made: Iterator[Row] = iter(())
        for row in rows:
            if row["shard"] != shard:
                shard = row["shard"]
                made = self._made(shard)
            stored = next(made, None)
            yield (row, False) if stored is None else (stored, True)

    def _made(self, shard: int) -> Iterator[Row]:
        commit = Ledger(self.store_url).commits(IMAGES).get(shard)
        if commit is None or commit.files == self.before.get(shard):
            return iter(())
        files = tuple((shard, each.path) for each in commit.files)
        numbers = pa.RecordBatch.from_pydict({"id": list(range(len(files)))})
        batches = TaskReader(self.store_url, IMAGES.schema, files)([numbers])
        return (row for batch in batches for row in batch.to_pylist())


def _attempt_number() -> int:
    """Return how often Spark has tried this task before; 0 outside of one."""
    from pyspark import TaskContext

    context = TaskContext.get()
    return context.attemptNumber() if context is not None else 0
