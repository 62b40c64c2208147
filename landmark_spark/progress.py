"""Tells how far a stage is while Spark works on it: shards, rows a second, failures, time left."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from landmark_spark.commits import WHOLE, Commit, Note
from landmark_spark.core.counted import counted
from landmark_spark.core.statuses import matches_status
from landmark_spark.live_line import duration
from landmark_spark.messages import take_messages
from landmark_spark.row_counts import count_by_first
from landmark_spark.run_events import Event, Listener, listener_of
from landmark_spark.schemas import Artifact, Table
from landmark_spark.stages.context import Context

__all__ = ["Progress", "count_failed", "failures_of", "listed_counts", "told_progress"]

_SECONDS_TO_BEGIN = 60.0  # in which a free executor takes a task
_LOOKS_COST = 20  # times a look's own seconds: a store that is slow to list is asked less often


def count_failed(statuses: Mapping[str, int]) -> int:
    """Return how many rows failed, as ``--retry failed`` understands it; statuses: status -> rows."""
    return sum(count for status, count in statuses.items() if matches_status(status, ["failed"]))


def failures_of(output: Table | Artifact, counts: Mapping[str, int]) -> int | None:
    """Return how many rows of an output failed, of its rows by the first column that it counts.

    None where its rows have no status.
    """
    return count_failed(counts) if isinstance(output, Table) and output.counted[:1] == ("status",) else None


def listed_counts(counts: Mapping[str, int]) -> str:
    """Write counts in one line, the largest first."""
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return ", ".join(f"{count:,} {value}" for value, count in ordered)


@dataclass(frozen=True)
class Progress:
    """How far a stage is after some seconds.

    num_total is None where the number of rows is not known beforehand; num_failed where the table counts no status;
    accelerator_busy, a share, where there is none, or the stage does not compute on it. is_waiting: Spark has tasks for
    executors, and none has taken any.
    """

    num_shards: int
    num_done_shards: int
    num_rows: int
    num_total: int | None
    num_failed: int | None
    seconds: float
    num_running_tasks: int = 0
    num_failed_tasks: int = 0
    accelerator_busy: float | None = None
    is_waiting: bool = False

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
        rows = f"{self.num_rows:,} of {self.num_total:,} rows" if self.num_total else counted(self.num_rows, "row")
        parts = [f"{self.num_done_shards} of {self.num_shards} shards", rows, f"{self.rate:,.0f} rows/s"]
        if self.num_failed is not None:
            parts.append(f"{self.num_failed:,} failed")
        parts.append(f"{counted(self.num_running_tasks, 'task')} running")
        if self.num_failed_tasks:
            parts.append(f"{counted(self.num_failed_tasks, 'task attempt')} failed")
        if self.accelerator_busy is not None:
            parts.append(f"GPU {self.accelerator_busy:.0%} busy")
        if self.is_waiting and not self.num_rows and self.seconds >= _SECONDS_TO_BEGIN:
            parts.append("no executor takes a task: landmark-spark doctor --master MASTER says why")
        if self.seconds_left is not None:
            parts.append(f"about {duration(self.seconds_left)} left")
        return ", ".join(parts)

    def fields(self) -> dict[str, Any]:
        """Return it for machines, as docs/progress.md says."""
        return {
            "shards_done": self.num_done_shards,
            "shards_total": self.num_shards,
            "rows": self.num_rows,
            "rows_total": self.num_total,
            "rows_per_second": round(self.rate, 3),
            "failures": self.num_failed,
            "seconds": round(self.seconds, 1),
            "eta_seconds": None if self.seconds_left is None else round(self.seconds_left, 1),
            "tasks_running": self.num_running_tasks,
            "tasks_failed": self.num_failed_tasks,
            "accelerator_busy": self.accelerator_busy,
        }


@dataclass
class _Watch:
    """Looks at the store and at Spark's status tracker for one stage; busy: asked for the accelerators' share."""

    context: Context
    output: Table | Artifact
    totals: Mapping[int, int] | None
    busy: Callable[[], float | None] | None
    started: float = field(default_factory=time.monotonic)
    before: Mapping[int, Commit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.in_shards:
            self.before = self.context.store.commits(self.output)

    @property
    def in_shards(self) -> bool:
        """Whether it can be seen how far the result has come; others are there when they are finished."""
        return isinstance(self.output, Table) and self.output.sharded

    def look(self) -> Progress:
        busy, tasks = self.busy() if self.busy else None, self._tasks()
        seconds = time.monotonic() - self.started
        if not isinstance(self.output, Table) or not self.in_shards:
            return Progress(1, 0, 0, None, None, seconds, **tasks, accelerator_busy=busy)
        shards = set(self.context.shards)
        if WHOLE in shards:  # a stage that is made at once, of whose results this one has shards
            shards = set(range(self.context.config.index.num_shards))
        parts, num_done = self._parts(self.output, shards)
        return Progress(
            num_shards=len(shards),
            num_done_shards=num_done,
            num_rows=sum(each.num_rows for each in parts),
            num_total=sum(self.totals.values()) if self.totals else None,
            num_failed=failures_of(self.output, count_by_first(each.counts for each in parts)),
            seconds=seconds,
            **tasks,
            accelerator_busy=_mean_busy(parts) if busy is None else busy,
        )

    def _parts(self, table: Table, shards: Collection[int]) -> tuple[list[Commit | Note], int]:
        """Return what this run has made or has under way, and how many shards of it are made."""
        store = self.context.store
        notes = {shard: note for shard, note in store.notes(table).items() if shard in shards}
        done = {
            shard: commit
            for shard, commit in store.commits(table).items()
            if shard in shards and (shard not in self.before or commit.files != self.before[shard].files)
        }
        return [*done.values(), *(note for shard, note in notes.items() if shard not in done)], len(done)

    def _tasks(self) -> dict[str, Any]:
        tracker = self.context.spark.sparkContext.statusTracker()
        stages = [info for each in tracker.getActiveStageIds() if (info := tracker.getStageInfo(each))]
        num_running = sum(each.numActiveTasks for each in stages)
        return {
            "num_running_tasks": num_running,
            "num_failed_tasks": sum(each.numFailedTasks for each in stages),
            "is_waiting": bool(stages) and not num_running,
        }


def _mean_busy(parts: Iterable[Commit | Note]) -> float | None:
    """Return the busy share of the tasks' own GPUs, the mean over those that have noted one."""
    shares = [each.accelerator_busy for each in parts if isinstance(each, Note) and each.accelerator_busy is not None]
    return sum(shares) / len(shares) if shares else None


@contextlib.contextmanager
def told_progress(
    context: Context,
    name: str,
    output: Table | Artifact,
    totals: Mapping[int, int] | None,
    *,
    busy: Callable[[], float | None] | None = None,
    interval: float | None = None,
) -> Iterator[None]:
    """Tell how far a stage is every ``interval`` seconds within the block, or as often as whoever listens wants it.

    Of a result that is made whole there is no line for people. totals: the rows that each shard will have, where that
    is known. busy: returns the share of time in which the stage's accelerators compute, where this machine has them;
    else it is what the tasks have noted of their own.
    """
    listener = listener_of(context.tell)
    watch = _Watch(context, output, totals, busy)
    ended = threading.Event()
    interval = listener.interval if interval is None else interval
    told = partial(_tell_until, watch, name, ended, interval, listener)
    thread = threading.Thread(target=told, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _tell_until(watch: _Watch, name: str, ended: threading.Event, interval: float, listener: Listener) -> None:
    pause = interval
    while not ended.wait(pause):
        looked = time.monotonic()
        try:
            progress = watch.look()
        except Exception as error:  # a look that fails, as where Spark is ending, must not end the stage
            listener(f"{name}: progress is not known: {type(error).__name__}: {error}")
            return
        messages = take_messages(watch.context.store, name)
        line = f"{name}: {progress.line()}" if watch.in_shards else ""
        try:
            for each in messages:
                listener(f"{name}: {each}")
            listener.hear(Event("progress", line, {"stage": name, **progress.fields()}))
        except BrokenPipeError:  # nobody reads: the run itself learns of it when it says something
            return
        pause = max(interval, _LOOKS_COST * (time.monotonic() - looked))
