"""Reads everything again that a store holds, says what is wrong with it, and marks what must be made anew."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

from landmark_spark.chain_verification import Places, chain_faults
from landmark_spark.claims import ALL, EVERYTHING, Claim
from landmark_spark.commits import WHOLE, Commit, Mark, now
from landmark_spark.core.records import HeaderError
from landmark_spark.ledger import Output
from landmark_spark.pipeline import STAGES, columns_of
from landmark_spark.place_checks import PlaceReport, check_place, misplaced
from landmark_spark.planning import Choice, Inventory, input_digests
from landmark_spark.run_lock import Asking, held_lock, living_claims
from landmark_spark.runner import plan
from landmark_spark.schemas import Table
from landmark_spark.settings import Config, ConfigError
from landmark_spark.store import Store
from landmark_spark.unneeded import OUTPUTS, SET_ASIDE, find_unneeded, shard_named

__all__ = ["Fault", "OutputSummary", "Verification", "verify_store"]

Tell = Callable[[str], None]
Place = tuple[str, int]
Commits = Mapping[str, Mapping[int, Commit]]

_MAX_THREADS = 8  # a row group each in memory
_NUM_LOOKS = 3  # at a shard that a run replaces meanwhile


@dataclass(frozen=True)
class Fault:
    """What is wrong with one shard; shard: WHOLE where the output has none.

    remedy: mark, where making it anew mends it; set_aside, for a commit that is none; run, where nothing is there.
    """

    output: str
    shard: int
    problem: str
    remedy: Literal["mark", "set_aside", "run"] = "mark"

    @property
    def place(self) -> str:
        """Name the output and, where it has any, the shard."""
        return self.output if self.shard == WHOLE else f"{self.output} shard {self.shard}"


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
    unreadable: dict[Place, str] = field(default_factory=dict)


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
    _look_at_commits(store, num_shards, found)
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
    notes += _notes(store, num_shards, found, is_at_work=bool(holders))
    return Verification(
        store.url,
        tuple(found.faults),
        tuple(_summaries(found, num_shards)),
        tuple(notes),
        next_run=_next_run(config),
    )


def _num_wanted(output: Output, num_shards: int) -> int:
    return num_shards if output.sharded else 1


# Commits


def _look_at_commits(store: Store, num_shards: int, found: _Found) -> None:
    """Read the commits; note those that are none, that are of a wrong place, and those that are lost."""
    for name, output in OUTPUTS.items():
        commits = store.commits(output)
        found.kept[name] = {}
        for shard, commit in commits.items():
            if fault := _commit_fault(output, commit, num_shards):
                found.unreadable[name, shard] = fault
            elif shard < num_shards:
                found.kept[name][shard] = commit
    books = store.path("_commits/")
    for path, why in store.unreadable.items():
        number = shard_named(path)
        if path.startswith(books) and number is not None:
            name = path.removeprefix(books).partition("/")[0]
            found.unreadable[name, number] = f"has a commit that is none: {why}"
    found.faults += [Fault(*place, problem, "set_aside") for place, problem in sorted(found.unreadable.items())]
    found.faults += [
        Fault(name, shard, "is not there any more, and others were made of it", "run")
        for name, shard in _lost(found.kept, num_shards)
        if (name, shard) not in found.unreadable
    ]


def _commit_fault(output: Output, commit: Commit, num_shards: int) -> str:
    """Return why a commit that can be read should not be where it is."""
    if (commit.shard == WHOLE) is output.sharded:
        return "has a commit of a shard where it is made whole, or of the whole where it has shards"
    if commit.shard >= num_shards and commit.stamp.num_shards == num_shards:
        return f"should be one of {num_shards} shards, as its commit says too"
    return misplaced(output, commit)


def _lost(commits: Commits, num_shards: int) -> list[Place]:
    """Return what is not there though something was made of it: no run that is still to come leaves such gaps."""
    wanted: set[Place] = set()
    for stage in STAGES:
        made = {output.name: _of_this_number(commits[output.name], num_shards) for output in stage.outputs}
        for each in stage.reads:
            for output in stage.outputs:
                for shard, commit in made[output.name].items():
                    if each.output.name in commit.stamp.inputs:
                        wanted |= _read_for(each.output, shard, num_shards, is_whole=each.whole)
        names = list(made)  # committed in this order
        for place, name in enumerate(names):
            if any(made[later] for later in names[place + 1 :]):
                wanted |= _read_for(OUTPUTS[name], WHOLE, num_shards, is_whole=True)
    return sorted(place for place in wanted if place[1] not in commits[place[0]])


def _of_this_number(commits: Mapping[int, Commit], num_shards: int) -> dict[int, Commit]:
    return {shard: each for shard, each in commits.items() if each.stamp.num_shards == num_shards}


def _read_for(output: Output, shard: int, num_shards: int, *, is_whole: bool) -> set[Place]:
    if not output.sharded:
        return {(output.name, WHOLE)}
    shards = range(num_shards) if is_whole or shard == WHOLE else [shard]
    return {(output.name, each) for each in shards}


# Files and rows


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
        if _is_foreign(output, commit):
            return PlaceReport(commit, ())
        report = check_place(store, output, commit, commit.stamp.num_shards or num_shards)
        current = Store(store.url).commits(output).get(commit.shard) if report.faults else commit
        if current is None or current == commit:
            return report
        commit = current
    return report


def _is_foreign(output: Output, commit: Commit) -> bool:
    """Whether another release wrote it in other columns, which its commit names: it is read by nobody, and stale."""
    columns = commit.stamp.columns.get(output.name)
    return columns is not None and columns != columns_of(output)


# What is no fault


def _notes(store: Store, num_shards: int, found: _Found, *, is_at_work: bool) -> Iterator[str]:
    books = store.path("_commits/")
    for path in store.unreadable:
        if path.startswith(books) and shard_named(path) is None:
            yield f"{path.removeprefix(store.path(''))} has no commit's name: nobody reads it"
    yield from _gaps(num_shards, found)
    yield from _stale(num_shards, found.kept)
    for name, output in OUTPUTS.items():
        for shard, mark in store.marks(output).items():
            yield f"{Fault(name, shard, '').place} is marked, and will be made anew: {mark.reason}"
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    unneeded = find_unneeded(store, num_shards, is_at_work=is_at_work)
    for each in [one for one in unneeded if not one.entry.is_folder]:
        counts[each.why] += 1
        sizes[each.why] += each.entry.num_bytes
    for why, count in sorted(counts.items()):
        yield f"not needed: {count} file{'s' if count > 1 else ''}, {sizes[why]} bytes: {why}"
    if counts:
        yield "landmark-spark gc lists and removes what is not needed"


def _gaps(num_shards: int, found: _Found) -> Iterator[str]:
    faulty = {(each.output, each.shard) for each in found.faults}
    for name, output in OUTPUTS.items():
        wanted = range(num_shards) if output.sharded else [WHOLE]
        lacking = [each for each in wanted if each not in found.kept[name] and (name, each) not in faulty]
        if len(lacking) == len(wanted):
            yield f"{name} is not made yet"
        elif lacking:
            yield f"{_where(name, lacking)} {'are' if len(lacking) > 1 else 'is'} not made yet"


def _stale(num_shards: int, commits: Commits) -> Iterator[str]:
    inventory = Inventory(commits)
    makers = {output.name: stage for stage in STAGES for output in stage.outputs}
    for name, by_shard in commits.items():
        reasons: dict[str, list[int]] = {}
        for shard, commit in by_shard.items():
            stamp = commit.stamp
            current = input_digests(makers[name], shard if makers[name].sharded else WHOLE, inventory)
            if stamp.num_shards not in (0, num_shards):
                reason = f"made of {stamp.num_shards} shards, index.num_shards is {num_shards}"
            elif _is_foreign(OUTPUTS[name], commit):
                reason = f"another release wrote it in other columns, and its rows are not looked at ({stamp.code})"
            else:
                reason = ", ".join(each for each, digest in current.items() if stamp.inputs.get(each, digest) != digest)
                reason = reason and f"{reason} changed since"
            if reason:
                reasons.setdefault(reason, []).append(shard)
        for reason, shards in reasons.items():
            yield f"stale: {_where(name, shards)}: {reason}"


def _where(name: str, shards: Sequence[int]) -> str:
    if list(shards) == [WHOLE]:
        return name
    listed = ", ".join(map(str, shards[:8])) + (f" and {len(shards) - 8} more" if len(shards) > 8 else "")
    return f"{name} shard{'s' if len(shards) > 1 else ''} {listed}"


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


# Repair


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
            store.mark(Mark(output, shard, reason=found[0].problem))
            yield f"marked: {found[0].place}"


def _set_aside(store: Store, output: str, shard: int) -> Iterator[str]:
    path = f"_commits/{output}/{'whole' if shard == WHOLE else f'shard={shard}'}.json"
    data = store.read_bytes(path)
    if data is not None:
        aside = f"{SET_ASIDE}/{now().replace(':', '')}/{path}"
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
