"""Brings one stage up to date: reads its inputs, calls it, commits what it returns."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from landmark_spark.accelerator_load import AcceleratorLoad
from landmark_spark.claims import ALL, Part
from landmark_spark.commits import WHOLE, Commit, FileEntry, Stamp
from landmark_spark.contents import find_damage
from landmark_spark.core.counted import counted
from landmark_spark.core.records import HeaderError
from landmark_spark.input_checks import DamagedInputError, FileChecks, StageError, check_inputs
from landmark_spark.interrupts import Interrupts
from landmark_spark.inventory import take_inventory
from landmark_spark.leftovers import sweep, sweep_folder
from landmark_spark.messages import take_messages
from landmark_spark.pipeline import STAGES, Expectation, Input, Output, Stage, upstream_of
from landmark_spark.planning import (
    Choice,
    Inventory,
    PlanError,
    PlannedStage,
    decide,
    input_digests,
)
from landmark_spark.progress import failures_of, listed_counts, told_progress
from landmark_spark.resources import SparkResources, accelerator_workers
from landmark_spark.row_counts import count_by_first
from landmark_spark.run_events import Event, Listener
from landmark_spark.run_lock import RunLock
from landmark_spark.run_records import INTERRUPTED, RunRecord, read_record, write_record
from landmark_spark.schemas import Artifact, Table
from landmark_spark.session import cause_of
from landmark_spark.settings import Config, ConfigError
from landmark_spark.stages.context import Context
from landmark_spark.store import CHECKPOINTS, Store
from landmark_spark.toy.server import serve_folder

__all__ = ["StageRun"]

Stamps = dict[int, Stamp]


@dataclass(frozen=True)
class StageRun:
    """One run over a store: what was asked for, and what every stage needs.

    trusted: paths of the files that this run has made, or read and compared with their commits.
    """

    config: Config
    choice: Choice
    store: Store
    resources: SparkResources
    tell: Listener
    left_stale: Mapping[str, str]
    expected: Mapping[str, Expectation]
    lock: RunLock
    interrupts: Interrupts
    trusted: set[str] = field(default_factory=set)

    def bring_up_to_date(self, stage: Stage) -> RunRecord:
        """Make what is missing or stale of one stage's outputs.

        Raises ConfigError, PlanError, StageError and, where an input turns out to be damaged, DamagedInputError.
        """
        self.lock.at(stage.name)
        self._clear_up(stage)
        inventory = take_inventory(self.store, self.config, [stage])
        expected = self.expected[stage.name]
        decision = decide(stage, self.config, self.choice, inventory, expected=expected, will_change={})
        if not decision.shards:
            self.tell.hear(Event("stage_skip", fields={"stage": stage.name, "reason": decision.reason}))
            return RunRecord(stage.name, 0, 0, 0.0, decision.reason)
        started = time.monotonic()
        try:
            commits = self._run(stage, decision, inventory)
        except DamagedInputError:
            raise  # what makes the input may be run first
        except (KeyboardInterrupt, Exception) as error:
            said = INTERRUPTED if self.interrupts.came_with(error) else str(error)
            self.note_failure(stage, said, decision, time.monotonic() - started)
            raise
        self._clear_up(stage)
        seconds = time.monotonic() - started
        num_rows = sum(commit.num_rows for commit in commits)
        done = RunRecord(stage.name, len(decision.shards), num_rows, seconds, decision.reason)
        write_record(self.store, done, self._part(stage))
        self._tell_end(stage, done, count_by_first([each.counts for each in commits]))
        return done

    def _tell_end(self, stage: Stage, done: RunRecord, counts: Mapping[str, int]) -> None:
        """Say how a stage went; counts: its rows by the first column that its table counts."""
        if counts:
            self.tell(f"{stage.name}: {listed_counts(counts)}")
        made = "" if isinstance(stage.outputs[0], Artifact) else f"{counted(done.num_rows, 'row')} "
        line = f"{stage.name}: {made}in {done.seconds:.1f} s"
        failures = failures_of(stage.outputs[0], counts)
        self.tell.hear(Event("stage_end", line, {**done.fields(), "failures": failures, "counts": dict(counts)}))

    def note_failure(
        self, stage: Stage, error: str, decision: PlannedStage | None = None, seconds: float = 0.0
    ) -> None:
        """Note why a stage failed, for ``status``. Never fails itself: the disk may be full, and there is an error."""
        shards, reason = (decision.shards, decision.reason) if decision else ((), "")
        failed = RunRecord(stage.name, len(shards), 0, seconds, reason, error)
        with contextlib.suppress(Exception):
            self.tell.hear(Event("stage_error", fields={**failed.fields(), "error": error}))
        with contextlib.suppress(Exception):
            write_record(self.store, failed, self._part(stage))

    def _part(self, stage: Stage) -> Part:
        return self.choice.shard if stage.sharded else ALL

    def _clear_up(self, stage: Stage) -> None:
        """Remove the notes and the unfinished files of tasks that were killed, before a stage and after it."""
        shards = [shard for shard in range(self.config.index.num_shards) if self.choice.takes(shard)]
        for output in stage.outputs:
            sweep(self.store, output, shards)
            if isinstance(output, Table) and output.sharded:
                self.store.forget_notes(output, shards)
        sweep_folder(self.store, f"{CHECKPOINTS}/{stage.name}")

    def _run(self, stage: Stage, decision: PlannedStage, inventory: Inventory) -> Collection[Commit]:
        self._check_inputs(stage, decision, inventory)
        begun = {"stage": stage.name, "shards_total": len(decision.shards), "reason": decision.reason}
        self.tell.hear(Event("stage_start", f"{stage.name}: {_count(decision)} ({decision.reason})", begun))
        expected = self.expected[stage.name]
        stamps = {shard: expected.stamp(input_digests(stage, shard, inventory)) for shard in decision.shards}
        return self._make(stage, stamps, inventory, decision.retried)

    def _check_inputs(self, stage: Stage, decision: PlannedStage, inventory: Inventory) -> None:
        check_inputs(stage, decision.shards, self.config, inventory, self.expected)
        files = FileChecks(self.config, self.store, self.trusted, partial(self._find_damage, stage))
        files.check(stage, decision, inventory)
        for maker in upstream_of(stage):
            if maker.name in self.left_stale:
                self.tell(f"{stage.name}: warning: {maker.name} is not up to date: {self.left_stale[maker.name]}")

    def _find_damage(self, stage: Stage, files: Sequence[FileEntry]) -> dict[str, str]:
        session = self._session()
        with _one_line_errors(stage):
            return find_damage(session, self.store.url, files)

    def _session(self) -> Any:
        session = self.resources.session
        self.interrupts.install()  # Spark has put a handler of its own there
        return session

    def _make(self, stage: Stage, stamps: Stamps, inventory: Inventory, retried: tuple[int, ...]) -> Collection[Commit]:
        """Call the stage's function and commit what it returns; return the commits of its first output."""
        config = self.config
        with contextlib.ExitStack() as stack:
            serves = stage.fetches and bool(config.serve_folder)
            if serves:
                _check_reach(str(self._session().sparkContext.master))
                base_url = stack.enter_context(serve_folder(config.serve_folder))
                config = dataclasses.replace(config, base_url=base_url, serve_folder="")
            on_accelerator = stage.on_accelerator(config)
            context = Context(
                self._session(),
                self.store,
                config,
                tuple(stamps),
                self.tell,
                self._timings(),
                self.choice.retry,
                retried,
                self.resources.accelerator_profile if on_accelerator else None,
                self.choice.force,
                stage.version,
                serves,
            )
            totals = self._totals(stage, stamps, inventory)
            busy = _busy_share(str(context.spark.sparkContext.master)) if on_accelerator else None
            told = told_progress(context, stage.name, stage.outputs[0], totals, busy=busy)
            with _one_line_errors(stage), told:
                inputs = [self._read(each, context, inventory) for each in stage.reads]
                workers = accelerator_workers if on_accelerator else contextlib.nullcontext
                with workers(context.spark.sparkContext):
                    made = stage.function(context, *inputs)
                results = made if len(stage.outputs) > 1 else (made,)
                commits = [
                    self._commit(stage, output, result, stamps, inventory)
                    for output, result in zip(stage.outputs, results, strict=True)
                ]
                self.trusted.update(file.path for each in commits for commit in each for file in commit.files)
            context.spark.catalog.clearCache()
        for line in take_messages(self.store, stage.name):
            self.tell(f"{stage.name}: {line}")
        return commits[0]

    def _totals(self, stage: Stage, stamps: Stamps, inventory: Inventory) -> dict[int, int] | None:
        """Return the rows that each shard will have, where that is known beforehand."""
        if not stage.keeps_rows:
            return None
        source = inventory.commits[stage.reads[0].output.name]
        return {shard: source[shard].num_rows for shard in stamps}

    def _timings(self) -> tuple[tuple[str, int, float], ...]:
        records = [read_record(self.store, stage.name) for stage in STAGES]
        return tuple((each.stage, each.num_rows, each.seconds) for each in records if each and not each.error)

    def _read(self, each: Input, context: Context, inventory: Inventory) -> Any:
        if isinstance(each.output, Artifact):
            return inventory.commits[each.output.name][WHOLE]
        shards = range(self.config.index.num_shards) if each.whole else context.shards
        return self.store.read(context.spark, each.output, list(shards))

    def _commit(
        self, stage: Stage, output: Output, result: Any, stamps: Stamps, inventory: Inventory
    ) -> Collection[Commit]:
        stamp = next(iter(stamps.values()))
        if isinstance(output, Artifact):
            return [self.store.commit_artifact(output, result, stamp)]
        if not output.sharded:
            return self.store.write(result, output, {WHOLE: stamp}).values()
        num_shards = self.config.index.num_shards
        wanted = stamps if WHOLE not in stamps else dict.fromkeys(range(num_shards), stamp)
        source = inventory.commits[stage.reads[0].output.name] if stage.keeps_rows else {}
        expected_rows = {shard: commit.num_rows for shard, commit in source.items()}
        commits = self.store.write(result, output, wanted, expected_rows=expected_rows)
        self.store.forget_shards(output, num_shards)
        return commits.values()


def _check_reach(master: str) -> None:
    """Refuse to serve a folder over loopback to executors on other machines: every row would fail."""
    if not _is_here(master):
        raise PlanError(
            "serve_folder should only be used where all executors are on this machine: it serves over loopback. "
            f"Received: master {master}. Serve the folder by a web server and set base_url"
        )


def _is_here(master: str) -> bool:
    """Tell whether all executors of a master are on this machine, as far as its address says."""
    host = (urlsplit(master).hostname or "") if "://" in master else ""
    return master.startswith("local") or host in ("localhost", "127.0.0.1", "::1")


def _busy_share(master: str) -> Callable[[], float | None] | None:
    """Return what says how busy the accelerators of the tasks are: nothing where those may be on other machines."""
    return AcceleratorLoad().busy if _is_here(master) else None


def _count(decision: PlannedStage) -> str:
    if decision.shards == (WHOLE,):
        return "running"
    return f"running {len(decision.shards)} shard{'s' if len(decision.shards) > 1 else ''}"


@contextlib.contextmanager
def _one_line_errors(stage: Stage) -> Iterator[None]:
    """Turn what Spark wraps in stack traces into one line that names the stage and the cause."""
    try:
        yield
    except (ConfigError, HeaderError, PlanError):
        raise  # the caller's mistake, said in its own words
    except Exception as error:
        raise StageError(f"{stage.name} failed: {cause_of(error)}") from error
