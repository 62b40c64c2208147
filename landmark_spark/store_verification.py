"""Reads everything again that a store holds, says what is wrong with it, and marks what must be made anew."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from landmark_spark.chain_verification import Places, chain_faults
from landmark_spark.claims import ALL, EVERYTHING, Claim
from landmark_spark.commit_checks import Fault, Place, check_commits, is_foreign
from landmark_spark.commits import WHOLE, Commit, Mark, now
from landmark_spark.core.printable import printable
from landmark_spark.core.records import HeaderError
from landmark_spark.ledger import Output
from landmark_spark.place_checks import PlaceReport, check_place
from landmark_spark.planning import Choice, Inventory
from landmark_spark.run_lock import Asking, held_lock, living_claims
from landmark_spark.runner import plan
from landmark_spark.schemas import Table
from landmark_spark.settings import Config, ConfigError
from landmark_spark.store import Store
from landmark_spark.unneeded import OUTPUTS, SET_ASIDE
from landmark_spark.verification_notes import list_notes

__all__ = ["Fault", "OutputSummary", "Verification", "verify_store"]

Tell = Callable[[str], None]

_MAX_THREADS = 8  # a row group each in memory
_NUM_LOOKS = 3  # at a shard that a run replaces meanwhile


@dataclass(frozen=True)
class OutputSummary:
    """What an output has: shards there and wanted, rows, bytes, faults."""

    output: str
    num_shards: int
    num_wanted: int
    num_rows: int
    num_bytes: int
    num_faults: int


@dataclass(frozen=True)
class Verification:
    """What was found in a store.

    notes: what is no fault: stale, not made yet, needed by nothing. repairs: what was done. next_run: what it will do.
    """

    store: str
    faults: tuple[Fault, ...]
    outputs: tuple[OutputSummary, ...]
    notes: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()
    next_run: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Write it for machines."""
        return json.dumps(dataclasses.asdict(self), indent=1)


@dataclass
class _Found:
    """What is gathered on the way through a store. kept: the commits of this configuration's shards."""

    faults: list[Fault] = field(default_factory=list)
    reports: dict[Place, PlaceReport] = field(default_factory=dict)
    kept: dict[str, dict[int, Commit]] = field(default_factory=dict)


def verify_store(config: Config, tell: Tell, *, repair: bool = False) -> Verification:
    """Read everything again; ``repair``: mark the faulty shards, so that the next run makes them anew.

    Nothing is removed: a commit that is none is moved aside. Without Spark; a few row groups are in memory at once, and
    some thirty bytes of each row. Raises NewerFormatError where a later release has written, LockedError where a run is
    at work that a repair would get in the way of.
    """
    store = Store(config.store)
    if not repair:
        return _verify(store, config, tell, holders=living_claims(store))
    with held_lock(store, Asking("verify-store --repair", {EVERYTHING: ALL}), tell):
        found = _verify(store, config, tell)
        repairs = tuple(_repair(store, found.faults))
    return dataclasses.replace(found, repairs=repairs, next_run=_next_run(config) if found.outputs else ())


def _verify(store: Store, config: Config, tell: Tell, *, holders: Sequence[Claim] = ()) -> Verification:
    found = _Found()
    num_shards = config.index.num_shards
    found.kept, found.faults = check_commits(store, num_shards)
    if not any(found.kept.values()) and not found.faults:
        return Verification(store.url, (), (), ("nothing is in this store yet",))
    for name, commits in found.kept.items():
        if commits:
            num_bytes = sum(file.num_bytes for each in commits.values() for file in each.files)
            tell(
                f"reading {name}: {len(commits)} of {_num_wanted(OUTPUTS[name], num_shards)} shards, {num_bytes} bytes"
            )
            _check_places(store, OUTPUTS[name], num_shards, found)
    places = Places(
        {key: report.rows for key, report in found.reports.items() if report.rows is not None},
        Inventory(found.kept),
        num_shards,
    )
    found.faults += [Fault(*place, problem) for place, problem in chain_faults(store, config, places)]
    notes = [f"a run is at work and changes the store meanwhile: {each.holder}" for each in holders]
    faulty = {(each.output, each.shard) for each in found.faults}
    notes += list_notes(store, num_shards, found.kept, faulty, is_at_work=bool(holders))
    return Verification(
        store.url,
        tuple(found.faults),
        tuple(_summaries(found, num_shards)),
        tuple(notes),
        next_run=_next_run(config),
    )


def _num_wanted(output: Output, num_shards: int) -> int:
    return num_shards if output.sharded else 1


def _check_places(store: Store, output: Output, num_shards: int, found: _Found) -> None:
    commits = found.kept[output.name]
    with ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1, len(commits))) as pool:
        reports = pool.map(lambda commit: _check_place(store, output, commit, num_shards), commits.values())
        for shard, report in zip(commits, reports, strict=True):
            found.reports[output.name, shard] = report
            found.faults += [Fault(output.name, shard, problem) for problem in report.faults]
    found.kept[output.name] = {shard: found.reports[output.name, shard].commit for shard in commits}


def _check_place(store: Store, output: Output, commit: Commit, num_shards: int) -> PlaceReport:
    """Check a shard; where a run has replaced it meanwhile, check what is there now."""
    for _ in range(_NUM_LOOKS):
        if is_foreign(output, commit):
            return PlaceReport(commit, ())
        report = check_place(store, output, commit, commit.stamp.num_shards or num_shards)
        current = Store(store.url).commits(output).get(commit.shard) if report.faults else commit
        if current is None or current == commit:
            return report
        commit = current
    return report


def _summaries(found: _Found, num_shards: int) -> Iterator[OutputSummary]:
    faults = Counter(each.output for each in found.faults)
    for name, commits in found.kept.items():
        yield OutputSummary(
            name,
            len(commits),
            _num_wanted(OUTPUTS[name], num_shards),
            sum(each.num_rows for each in commits.values()) if isinstance(OUTPUTS[name], Table) else 0,
            sum(found.reports[name, shard].num_bytes for shard in commits),
            faults[name],
        )


def _repair(store: Store, faults: Iterable[Fault]) -> Iterator[str]:
    """Mark what is faulty, put aside the commits that are none; say what was done."""
    by_place: dict[Place, list[Fault]] = {}
    for each in faults:
        by_place.setdefault((each.output, each.shard), []).append(each)
    for (output, shard), found in by_place.items():
        remedies = {each.remedy for each in found}
        if "set_aside" in remedies:
            yield from _set_aside(store, output, shard)
        elif "mark" in remedies:
            store.mark(Mark(output, shard, reason=printable(found[0].problem)))
            yield f"marked: {found[0].place}"


def _set_aside(store: Store, output: str, shard: int) -> Iterator[str]:
    path = f"_commits/{output}/{'whole' if shard == WHOLE else f'shard={shard}'}.json"
    aside = f"{SET_ASIDE}/{now().replace(':', '')}/{path}"
    try:
        data = store.read_bytes(path)
    except IsADirectoryError:
        store.move_folder(path, aside)
        yield f"moved aside: {path} to {aside}"
        return
    if data is not None:
        store.write_bytes(aside, data)
        store.remove([path])
        yield f"moved aside: {path} to {aside}"


def _next_run(config: Config) -> tuple[str, ...]:
    """Say what a run would do now, stage by stage."""
    try:
        planned = plan(config, Choice())
    except (ConfigError, HeaderError) as error:
        return (f"cannot be said: {error}",)
    return tuple(
        f"{each.stage.name}: {len(each.shards)} shard{'s' if len(each.shards) > 1 else ''} ({each.reason})"
        if each.stage.sharded
        else f"{each.stage.name} ({each.reason})"
        for each in planned
        if each.shards
    )
