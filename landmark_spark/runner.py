"""Plans and runs stages on a store; skips what is up to date."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from landmark_spark.commits import WHOLE, Commit, Stamp
from landmark_spark.core.records import HeaderError
from landmark_spark.core.submission import parse_solution
from landmark_spark.pipeline import STAGES, Expectation, Input, Output, Stage, expectations, upstream_of
from landmark_spark.planning import (
    Choice,
    Inventory,
    PlanError,
    PlannedStage,
    decide,
    input_digests,
    missing_inputs,
    mixed_inputs,
    plan_stages,
)
from landmark_spark.progress import listed_counts, told_progress
from landmark_spark.resources import SparkResources, accelerator_workers
from landmark_spark.row_counts import count_by_first
from landmark_spark.schemas import METRICS, Artifact, Table
from landmark_spark.session import cause_of
from landmark_spark.settings import Config, ConfigError
from landmark_spark.stages.context import Context
from landmark_spark.store import Store
from landmark_spark.toy.server import serve_folder
from landmark_spark.toy.world import make_world

__all__ = ["StageError", "StageResult", "plan", "read_metrics", "resolve_inputs", "run"]

Tell = Callable[[str], None]
Stamps = dict[int, Stamp]


class StageError(RuntimeError):
    """A stage failed; the message says which, and the cause in one line."""


@dataclass(frozen=True)
class StageResult:
    """What a run did with one stage."""

    stage: str
    num_shards: int
    num_rows: int
    seconds: float
    reason: str


def resolve_inputs(config: Config) -> Config:
    """Return the configuration with its csv files: the toy world's, made in the store, where none are given.

    Raises ConfigError where the store is not on this machine's file system, or the served folder is not there.
    """
    if config.serve_folder and not Path(config.serve_folder).is_dir():
        raise ConfigError(f"serve_folder should be a folder. Received: {config.serve_folder}")
    if config.inputs.train_csv:
        return config
    if "://" in config.store and not config.store.startswith("file://"):
        raise ConfigError(f"store should be a local folder for the toy world. Received: {config.store}")
    folder = Path(config.store.removeprefix("file://")) / "toy_world"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        make_world(folder, **dataclasses.asdict(config.toy))
    except (OSError, ValueError) as error:
        raise ConfigError(f"store should be a folder that the toy world can be made in. Received: {error}") from error
    names = ("train_csv", "test_csv", "non_landmark_csv", "landmarks_csv")
    paths = {name: str(folder / f"{name.removesuffix('_csv')}.csv") for name in names}
    solution = folder / "solution.csv"
    with solution.open("rb") as file:  # a handful of test photos may show no landmark at all: nothing to measure by
        shows_any = any(parse_solution(file, source=str(solution)).values())
    inputs = dataclasses.replace(config.inputs, solution_csv=str(solution) if shows_any else "", **paths)
    return dataclasses.replace(config, inputs=inputs, serve_folder=str(folder), base_url="")


def plan(config: Config, choice: Choice) -> list[PlannedStage]:
    """Say what a run would do now; starts nothing."""
    resolved = resolve_inputs(config)
    inventory = _take_inventory(Store(resolved.store), resolved)
    return plan_stages(resolved, choice, inventory, expectations(resolved))


def run(config: Config, choice: Choice, tell: Tell) -> list[StageResult]:
    """Run the chosen stages that are not up to date; Spark starts when the first of them needs it.

    Raises ConfigError, PlanError, StageError, and what a stage's preflight and opening the session raise.
    """
    resolved = resolve_inputs(config)
    store = Store(resolved.store)
    inventory = _take_inventory(store, resolved)
    for path, why in store.unreadable.items():
        tell(f"warning: {path} counts as not there: {why}")
    expected = expectations(resolved)
    for planned in plan_stages(resolved, choice, inventory, expected):
        if planned.shards and planned.stage.preflight is not None:
            planned.stage.preflight(resolved)
    everything = plan_stages(resolved, Choice(shard=choice.shard), inventory, expected)
    left_stale = {
        each.stage.name: each.reason for each in everything if each.shards and each.stage not in choice.stages
    }
    resources = SparkResources(resolved.spark, num_shards=resolved.index.num_shards, tell=tell)
    current = _Run(resolved, choice, store, resources, tell, left_stale, expected)
    return [current.bring_up_to_date(stage) for stage in choice.stages]


def _take_inventory(store: Store, config: Config, stages: Collection[Stage] = STAGES) -> Inventory:
    """Read the commits of what the stages read and write, and check that the files are there."""
    wanted = {each.name: each for stage in stages for each in (*stage.outputs, *(read.output for read in stage.reads))}
    commits: dict[str, dict[int, Commit]] = {}
    damaged: dict[str, dict[int, str]] = {}
    for output in wanted.values():
        kept = {key: each for key, each in store.commits(output).items() if key < config.index.num_shards}
        present = store.present_files(output) if kept else {}
        commits[output.name] = kept
        damaged[output.name] = {key: fault for key, each in kept.items() if (fault := _fault(each, present))}
    return Inventory(commits, damaged)


def _fault(commit: Commit, present: dict[str, int]) -> str:
    for file in commit.files:
        if file.path not in present:
            return f"{file.path} is missing"
        if present[file.path] != file.num_bytes:
            return f"{file.path} should have {file.num_bytes} bytes and has {present[file.path]}"
    return ""


@dataclass(frozen=True)
class _Run:
    """One run over a store: what was asked for, and what every stage needs."""

    config: Config
    choice: Choice
    store: Store
    resources: SparkResources
    tell: Tell
    left_stale: Mapping[str, str]
    expected: Mapping[str, Expectation]

    def bring_up_to_date(self, stage: Stage) -> StageResult:
        """Make what is missing or stale of one stage's outputs."""
        for output in stage.outputs:  # notes of tasks that were killed
            if isinstance(output, Table) and output.sharded:
                self.store.forget_notes(output, filter(self.choice.takes, range(self.config.index.num_shards)))
        inventory = _take_inventory(self.store, self.config, [stage])
        expected = self.expected[stage.name]
        decision = decide(stage, self.config, self.choice, inventory, expected=expected, will_change={})
        if not decision.shards:
            return StageResult(stage.name, 0, 0, 0.0, decision.reason)
        missing = missing_inputs(stage, decision.shards, self.config, inventory)
        if missing:
            raise PlanError(f"{stage.name} should have {', '.join(missing)}, not made yet: run what makes it first")
        if mixed := mixed_inputs(stage, inventory):
            raise PlanError(
                f"{stage.name} should read shards that were made with the same settings. Received: some of "
                f"{', '.join(mixed)} are of other settings; bring all their shards up to date first"
            )
        for maker in upstream_of(stage):
            if maker.name in self.left_stale:
                self.tell(f"{stage.name}: warning: {maker.name} is not up to date: {self.left_stale[maker.name]}")
        self.tell(f"{stage.name}: {_count(decision)} ({decision.reason})")
        started = time.monotonic()
        stamps = {
            shard: Stamp(stage.name, expected.fingerprint, expected.settings, input_digests(stage, shard, inventory))
            for shard in decision.shards
        }
        num_rows = self._make(stage, stamps, inventory, decision.retried)
        seconds = time.monotonic() - started
        result = StageResult(stage.name, len(decision.shards), num_rows, seconds, decision.reason)
        self.store.write_bytes(f"_runs/{stage.name}.json", json.dumps(dataclasses.asdict(result), indent=1).encode())
        made = "" if isinstance(stage.outputs[0], Artifact) else f"{num_rows} rows "
        self.tell(f"{stage.name}: {made}in {seconds:.1f} s")
        return result

    def _make(self, stage: Stage, stamps: Stamps, inventory: Inventory, retried: tuple[int, ...]) -> int:
        """Call the stage's function and commit what it returns; return the rows of its first output."""
        config = self.config
        with contextlib.ExitStack() as stack:
            if stage.fetches and config.serve_folder:
                _check_reach(str(self.resources.session.sparkContext.master))
                base_url = stack.enter_context(serve_folder(config.serve_folder))
                config = dataclasses.replace(config, base_url=base_url, serve_folder="")
            on_accelerator = stage.on_accelerator(config)
            context = Context(
                self.resources.session,
                self.store,
                config,
                tuple(stamps),
                self.tell,
                self._timings(),
                self.choice.retry,
                retried,
                self.resources.accelerator_profile if on_accelerator else None,
                self.choice.force,
            )
            totals = self._totals(stage, stamps, inventory)
            with _one_line_errors(stage), told_progress(context, stage.name, stage.outputs[0], totals):
                inputs = [self._read(each, context, inventory) for each in stage.reads]
                workers = accelerator_workers if on_accelerator else contextlib.nullcontext
                with workers(context.spark.sparkContext):
                    made = stage.function(context, *inputs)
                results = made if len(stage.outputs) > 1 else (made,)
                commits = [
                    self._commit(stage, output, result, stamps, inventory)
                    for output, result in zip(stage.outputs, results, strict=True)
                ]
            context.spark.catalog.clearCache()
        if counts := count_by_first([each.counts for each in commits[0]]):
            self.tell(f"{stage.name}: {listed_counts(counts)}")
        return sum(commit.num_rows for commit in commits[0])

    def _totals(self, stage: Stage, stamps: Stamps, inventory: Inventory) -> dict[int, int] | None:
        """Return the rows that each shard will have, where that is known beforehand."""
        if not stage.keeps_rows:
            return None
        source = inventory.commits[stage.reads[0].output.name]
        return {shard: source[shard].num_rows for shard in stamps}

    def _timings(self) -> tuple[tuple[str, int, float], ...]:
        found = []
        for stage in STAGES:
            with contextlib.suppress(ValueError, TypeError, KeyError):  # a damaged note costs its line in the report
                run = json.loads(self.store.read_bytes(f"_runs/{stage.name}.json") or b"null")
                found.append((stage.name, int(run["num_rows"]), float(run["seconds"])))
        return tuple(found)

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
    host = (urlsplit(master).hostname or "") if "://" in master else ""
    if not (master.startswith("local") or host in ("localhost", "127.0.0.1", "::1")):
        raise PlanError(
            "serve_folder should only be used where all executors are on this machine: it serves over loopback. "
            f"Received: master {master}. Serve the folder by a web server and set base_url"
        )


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


def read_metrics(config: Config) -> dict[str, Any] | None:
    """Return metrics.json of a store; None where there is none, or it is no longer what the run wrote."""
    data = Store(config.store).read_bytes(METRICS.path)
    try:
        metrics: dict[str, Any] | None = json.loads(data or b"null")
    except ValueError:
        return None
    return metrics
