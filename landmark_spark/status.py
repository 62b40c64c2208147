"""Says where a store stands: every stage, and what became of the downloads, while they run and afterwards."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from landmark_spark.claims import Holder
from landmark_spark.commits import Commit, Note
from landmark_spark.core.printable import printable
from landmark_spark.planning import Choice, PlannedStage
from landmark_spark.row_counts import count_by_first
from landmark_spark.run_lock import living_claims
from landmark_spark.run_records import INTERRUPTED, read_record
from landmark_spark.runner import plan
from landmark_spark.schemas import IMAGES, RECORDS
from landmark_spark.settings import Config
from landmark_spark.store import Store

__all__ = ["Downloads", "StageState", "Status", "take_status"]


@dataclass(frozen=True)
class StageState:
    """One stage, and why it would run.

    state: running, and a process of this machine is at it; failed or interrupted, in its last run; up to date; partial,
    some shards are; stale, none is; or not made. wanting: the shards that are not up to date; empty for what is made
    whole. made: when its newest shard was committed, UTC; "" where there is none. seconds: of its last run; None where
    it has not run. error: of its last run, in one line, "" where that succeeded or was interrupted.
    """

    stage: str
    state: str
    num_current_shards: int
    num_shards: int
    num_rows: int
    seconds: float | None
    reason: str
    wanting: tuple[int, ...] = ()
    made: str = ""
    error: str = ""


@dataclass(frozen=True)
class Downloads:
    """The rows of ``images`` so far, by status and by host; ``hosts``: host -> status -> rows."""

    num_rows: int
    num_records: int
    statuses: Mapping[str, int]
    hosts: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Status:
    """Where a store stands.

    in_work: the shards that a task has begun and not committed, with its last note. holders: the runs at work on it,
    and those of which it cannot be told from here whether they have ended.
    """

    store: str
    stages: tuple[StageState, ...]
    downloads: Downloads
    in_work: tuple[Note, ...]
    holders: tuple[Holder, ...] = ()

    def to_json(self) -> str:
        """Write it for machines."""
        return json.dumps(dataclasses.asdict(self), indent=1)


def take_status(config: Config) -> Status:
    """Read where the store of a configuration stands; starts nothing, and works while a run is under way."""
    store = Store(config.store)
    planned = plan(config, Choice())
    notes = [note for each in planned for note in _notes(store, each)]
    holders = living_claims(store)
    running = {claim.stage for claim in holders if claim.known_to_live}
    return Status(
        store=store.url,
        stages=tuple(_state(store, each, config.index.num_shards, running) for each in planned),
        downloads=_downloads(store, [note for note in notes if note.output == IMAGES.name]),
        in_work=tuple(sorted(notes, key=lambda note: (note.output, note.shard))),
        holders=tuple(holders),
    )


def _notes(store: Store, planned: PlannedStage) -> list[Note]:
    tables = [each for each in planned.stage.outputs if each.sharded]
    return [note for table in tables for note in store.notes(table).values()]  # type: ignore[arg-type]


def _state(store: Store, planned: PlannedStage, num_shards: int, running: Collection[str]) -> StageState:
    commits = store.commits(planned.stage.outputs[0])
    total = num_shards if planned.stage.sharded else 1
    current = total - len(planned.shards)
    record = read_record(store, planned.stage.name)
    error = record.error if record and planned.shards else ""
    state = "partial" if current else "stale" if commits else "not made"
    if not planned.shards:
        state = "up to date"
    elif planned.stage.name in running:
        state = "running"
    elif error:
        state = INTERRUPTED if error == INTERRUPTED else "failed"
    return StageState(
        stage=planned.stage.name,
        state=state,
        num_current_shards=current,
        num_shards=total,
        num_rows=sum(each.num_rows for each in commits.values()),
        seconds=record.seconds if record and not record.error else None,
        reason=planned.reason if planned.shards else "",
        wanting=planned.shards if planned.stage.sharded else (),
        made=max((each.created for each in commits.values()), default=""),
        error="" if error == INTERRUPTED else error,
    )


def _downloads(store: Store, notes: list[Note]) -> Downloads:
    in_work = {note.shard: note for note in notes}
    done = {shard: each for shard, each in store.commits(IMAGES).items() if shard not in in_work}
    parts: list[Commit | Note] = [*done.values(), *in_work.values()]
    hosts: dict[str, Counter[str]] = {}
    for each in parts:
        for status, by_host in each.counts.items():
            for host, count in by_host.items():
                hosts.setdefault(printable(host), Counter())[printable(status)] += count
    statuses = count_by_first(each.counts for each in parts)
    return Downloads(
        num_rows=sum(each.num_rows for each in parts),
        num_records=sum(each.num_rows for each in store.commits(RECORDS).values()),
        statuses={printable(status): count for status, count in sorted(statuses.items())},
        hosts={host: dict(sorted(counts.items())) for host, counts in sorted(hosts.items())},
    )
