"""Plans and runs stages on a store; skips what is up to date."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from landmark_spark.book_fields import are_lines, is_count
from landmark_spark.claims import ALL, Part
from landmark_spark.input_checks import DamagedInputError, StageError
from landmark_spark.interrupts import AGAIN, GOING_ON, Interrupted, Interrupts
from landmark_spark.inventory import take_inventory
from landmark_spark.leftovers import sweep, sweep_folder
from landmark_spark.pipeline import expectations
from landmark_spark.planning import Choice, PlannedStage, plan_stages
from landmark_spark.resources import SparkResources
from landmark_spark.run_events import Event, Listener, listener_of
from landmark_spark.run_lock import Asking, held_lock
from landmark_spark.run_records import RunRecord
from landmark_spark.schemas import METRICS, Table
from landmark_spark.settings import Config
from landmark_spark.stage_run import StageRun
from landmark_spark.store import CHECKPOINTS, Store
from landmark_spark.toy_inputs import TOY_WORLD, check_places, described_inputs, draw_inputs, has_inputs

__all__ = ["StageError", "claimed", "plan", "read_metrics", "run"]

Tell = Callable[[str], None]

_SECONDS_TO_END = 15.0  # for the tasks of a run that was interrupted
_SECONDS_A_LOOK = 0.5
_QUIET_LOOKS = 6  # without anything unfinished, after which the tasks have ended


def plan(config: Config, choice: Choice) -> list[PlannedStage]:
    """Say what a run would do now; starts nothing."""
    with described_inputs(config) as (described, stands_for):
        inventory = take_inventory(Store(config.store), described)
        return plan_stages(described, choice, inventory, expectations(described, stands_for=stands_for))


def claimed(choice: Choice, *, draws_world: bool = False) -> tuple[dict[str, Part], dict[str, Part]]:
    """Return what a run of these stages makes and what it reads, output -> part: what it needs the lock for.

    draws_world: the toy world too; parts of the same run draw the same one.
    """
    writes: dict[str, Part] = {}
    reads: dict[str, Part] = {}
    for stage in choice.stages:
        for output in stage.outputs:
            writes[output.name] = choice.shard if stage.sharded else ALL
        for each in stage.reads:
            part = choice.shard if stage.sharded and not each.whole else ALL
            reads[each.output.name] = part if reads.get(each.output.name, part) == part else ALL
    (writes if draws_world else reads)[TOY_WORLD] = choice.shard
    return writes, reads


def run(config: Config, choice: Choice, tell: Tell, *, wait: bool = False, command: str = "run") -> list[RunRecord]:
    """Run the chosen stages that are not up to date; Spark starts when the first of them needs it.

    tell: a Listener is told the run's events too. wait: for other runs at work on the same outputs to end. command:
    what they are told that this one is.
    Raises ConfigError, PlanError, StageError, LockedError, what a stage's preflight and opening the session raise, and
    Interrupted, a KeyboardInterrupt, once Spark's tasks have ended and nothing unfinished is left.
    """
    check_places(config)
    store = Store(config.store)
    listener = listener_of(tell)
    resources = SparkResources(config.spark, num_shards=config.index.num_shards, tell=listener)
    asking = Asking(command, *claimed(choice, draws_world=not has_inputs(config)), wait=wait)
    interruption = Interrupts(
        lambda line: listener.hear(Event("interrupt", line, {"message": line})), AGAIN if choice.force else GOING_ON
    )
    with interruption as interrupts, held_lock(store, asking, listener) as lock:
        store.lock = lock.path
        try:
            try:
                current = _begin(draw_inputs(config), choice, store, listener)
                return _run_stages(current(resources=resources, lock=lock, interrupts=interrupts))
            except Exception as error:
                if interrupts.came_with(error):
                    raise KeyboardInterrupt from error
                raise
        except KeyboardInterrupt:
            resources.cancel()
            _sweep_until_quiet(store, choice, config)
            raise Interrupted from None


def _begin(config: Config, choice: Choice, store: Store, tell: Listener) -> Callable[..., StageRun]:
    """Look over the store and what the chosen stages need, before the first of them runs."""
    inventory = take_inventory(store, config)
    for path, why in store.unreadable.items():
        tell(f"warning: {path} counts as not there: {why}")
    expected = expectations(config)
    for planned in plan_stages(config, choice, inventory, expected):
        if planned.shards and planned.stage.preflight is not None:
            planned.stage.preflight(config)
    everything = plan_stages(config, Choice(shard=choice.shard), inventory, expected)
    left_stale = {
        each.stage.name: each.reason for each in everything if each.shards and each.stage not in choice.stages
    }
    return functools.partial(StageRun, config, choice, store, tell=tell, left_stale=left_stale, expected=expected)


def _run_stages(current: StageRun) -> list[RunRecord]:
    """Bring one stage after the other up to date; go back to what has to be made anew."""
    stages = current.choice.stages
    records: dict[str, RunRecord] = {}
    tried: set[str] = set()  # what was damaged: a shard of another part than this run's is not made by going back
    number = 0
    while number < len(stages):
        try:
            record = current.bring_up_to_date(stages[number])
        except DamagedInputError as error:
            makers = [stages.index(maker) for maker in error.stages if maker in stages]
            if len(makers) < len(error.stages) or str(error) in tried:
                current.note_failure(stages[number], str(error))
                raise
            tried.add(str(error))
            current.tell(f"warning: {error}")
            number = min(makers)
            continue
        if record.num_shards or record.stage not in records:
            records[record.stage] = record
        number += 1
    return [records[stage.name] for stage in stages]


def _sweep_until_quiet(store: Store, choice: Choice, config: Config) -> None:
    """Remove what the tasks of an interrupted run left unfinished; they may take a moment to end."""
    shards = [shard for shard in range(config.index.num_shards) if choice.takes(shard)]
    outputs = [output for stage in choice.stages for output in stage.outputs]
    deadline = time.monotonic() + _SECONDS_TO_END
    quiet = 0
    while quiet < _QUIET_LOOKS and time.monotonic() < deadline:
        left = [path for output in outputs for path in sweep(store, output, shards)]
        left += [path for stage in choice.stages for path in sweep_folder(store, f"{CHECKPOINTS}/{stage.name}")]
        quiet = 0 if left else quiet + 1
        time.sleep(_SECONDS_A_LOOK)
    for output in outputs:
        if isinstance(output, Table) and output.sharded:
            store.forget_notes(output, shards)


def read_metrics(config: Config) -> dict[str, Any] | None:
    """Return metrics.json of a store; None where there is none, or it is no longer what the run wrote."""
    data = Store(config.store).read_bytes(METRICS.path)
    try:
        metrics: dict[str, Any] = json.loads(data or b"null")
        return metrics if _are_metrics(metrics) else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _are_metrics(values: Mapping[str, Any]) -> bool:
    """Tell whether values are what write_report writes, as far as it is shown."""
    counts, modes = values["counts"], values["modes"]
    numbers = [counts["rejects"], counts["failed_downloads"], *(each["num_predictions"] for each in modes.values())]
    shares = [each[name] for each in modes.values() for name in ("gap", "top1")]
    return (
        are_lines(values["submission_mode"], *modes)
        and all(map(is_count, numbers))
        and all(isinstance(each, int | float) and 0 <= each <= 1 for each in shares)
    )
