"""Tells how far a stage is while Spark works on it: shards, rows a second, failures, time left."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from landmark_spark.commits import WHOLE, Commit, Note
from landmark_spark.core.statuses import matches_status
from landmark_spark.messages import take_messages
from landmark_spark.row_counts import count_by_first
from landmark_spark.schemas import Artifact, Table
from landmark_spark.stages.context import Context

__all__ = ["Progress", "count_failed", "listed_counts", "told_progress"]

_INTERVAL = 10.0  # seconds between two lines
_LOOKS_COST = 20  # times a look's own seconds: a store that is slow to list is asked less often


def count_failed(statuses: Mapping[str, int]) -> int:
    """Return how many rows failed, as ``--retry failed`` understands it; statuses: status -> rows."""
    return sum(count for status, count in statuses.items() if matches_status(status, ["failed"]))


def listed_counts(counts: Mapping[str, int]) -> str:
    """Write counts in one line, the largest first."""
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return ", ".join(f"{count:,} {value}" for value, count in ordered)


@dataclass(frozen=True)
class Progress:
    """How far a stage is after some seconds.

    num_total is None where the number of rows is not known beforehand; num_failed where the table counts no status.
    """

    num_shards: int
    num_done_shards: int
    num_rows: int
    num_total: int | None
    num_failed: int | None
    seconds: float
    num_running_tasks: int = 0
    num_failed_tasks: int = 0

    @property
    def rate(self) -> float:
        """Rows a second since the start."""
        return self.num_rows / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds to the end at the rate so far; by rows where their number is known, else by shards."""
        done, total = (self.num_rows, self.num_total) if self.num_total else (self.num_done_shards, self.num_shards)
        return self.seconds * (total - done) / done if done else None

    def line(self) -> str:
        """Write it for people."""
        rows = f"{self.num_rows:,} of {self.num_total:,} rows" if self.num_total else f"{self.num_rows:,} rows"
        parts = [f"{self.num_done_shards} of {self.num_shards} shards", rows, f"{self.rate:,.0f} rows/s"]
        if self.num_failed is not None:
            parts.append(f"{self.num_failed:,} failed")
        parts.append(f"{self.num_running_tasks} tasks running")
        if self.num_failed_tasks:
            parts.append(f"{self.num_failed_tasks} task attempts failed")
        if self.seconds_left is not None:
            parts.append(f"about {_duration(self.seconds_left)} left")
        return ", ".join(parts)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


@dataclass
class _Watch:
    """Looks at the store and at Spark's status tracker for one stage."""

    context: Context
    table: Table
    totals: Mapping[int, int] | None
    started: float = field(default_factory=time.monotonic)
    before: Mapping[int, Commit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.before = self.context.store.commits(self.table)

    def look(self) -> Progress:
        shards = set(self.context.shards)
        if WHOLE in shards:  # a stage that is made at once, of whose results this one has shards
            shards = set(range(self.context.config.index.num_shards))
        store = self.context.store
        notes = {shard: note for shard, note in store.notes(self.table).items() if shard in shards}
        done = {
            shard: commit
            for shard, commit in store.commits(self.table).items()
            if shard in shards and (shard not in self.before or commit.files != self.before[shard].files)
        }
        parts: list[Commit | Note] = [*done.values(), *(note for shard, note in notes.items() if shard not in done)]
        num_rows = sum(each.num_rows for each in parts)
        num_failed = None
        if self.table.counted[:1] == ("status",):
            num_failed = count_failed(count_by_first(each.counts for each in parts))
        return Progress(
            num_shards=len(shards),
            num_done_shards=len(done),
            num_rows=num_rows,
            num_total=sum(self.totals.values()) if self.totals else None,
            num_failed=num_failed,
            seconds=time.monotonic() - self.started,
            **self._tasks(),
        )

    def _tasks(self) -> dict[str, int]:
        tracker = self.context.spark.sparkContext.statusTracker()
        stages = [info for each in tracker.getActiveStageIds() if (info := tracker.getStageInfo(each))]
        return {
            "num_running_tasks": sum(each.numActiveTasks for each in stages),
            "num_failed_tasks": sum(each.numFailedTasks for each in stages),
        }


@contextlib.contextmanager
def told_progress(
    context: Context, name: str, output: Table | Artifact, totals: Mapping[int, int] | None, interval: float = _INTERVAL
) -> Iterator[None]:
    """Tell a line every ``interval`` seconds within the block; nothing for a result that is made whole.

    totals: the rows that each shard will have, where that is known.
    """
    if isinstance(output, Artifact) or not output.sharded:
        yield
        return
    watch = _Watch(context, output, totals)
    ended = threading.Event()
    thread = threading.Thread(target=_tell_until, args=(watch, name, ended, interval), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _tell_until(watch: _Watch, name: str, ended: threading.Event, interval: float) -> None:
    pause = interval
    while not ended.wait(pause):
        looked = time.monotonic()
        try:
            progress = watch.look()
        except Exception as error:  # a look that fails, as where Spark is ending, must not end the stage
            watch.context.tell(f"{name}: progress is not known: {type(error).__name__}: {error}")
            return
        for line in [*take_messages(watch.context.store, name), progress.line()]:
            watch.context.tell(f"{name}: {line}")
        pause = max(interval, _LOOKS_COST * (time.monotonic() - looked))
