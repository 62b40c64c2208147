"""Finds what lies in a store and no commit, run or task needs: what killed writers, old settings and releases left."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from landmark_spark.claims import Claim
from landmark_spark.commits import WHOLE, Commit, Mark, NewerFormatError, Note, StoreError
from landmark_spark.ledger import BOOKS, LOCKS, Output
from landmark_spark.messages import MESSAGES
from landmark_spark.pipeline import STAGES
from landmark_spark.processes import is_gone
from landmark_spark.run_records import RUNS, stage_recorded
from landmark_spark.schemas import RECORDS, REPORT, Artifact
from landmark_spark.store import CHECKPOINTS, Store
from landmark_spark.store_entries import Entry, entries_below, entry_of
from landmark_spark.toy_inputs import TOY_WORLD
from landmark_spark.whole_files import UNFINISHED, is_local

__all__ = ["OUTPUTS", "SET_ASIDE", "Unneeded", "find_unneeded", "shard_named"]

SET_ASIDE = "_set_aside"
"""Folder of what verify-store --repair has put out of the way."""

OUTPUTS: Mapping[str, Output] = {output.name: output for stage in STAGES for output in stage.outputs}
"""Every output of this release by name."""

_PLACE = re.compile(r"(whole|shard=(0|[1-9][0-9]*))\.json")
_PART = re.compile(r"(shard=[0-9]+/)?part-[^/]+\.parquet")
_VERSION = re.compile(r"[0-9a-f]+/.+")  # of a model: a folder of its own each time it is made
_UNFINISHED_WHY = "unfinished: its writer ended, or is still at it"


@dataclass(frozen=True)
class Unneeded:
    """A file, or an empty folder, that nothing needs, and why."""

    entry: Entry
    why: str


@dataclass
class _Known:
    """What the commits say. named: the files that are needed."""

    named: set[str] = field(default_factory=set)
    committed: set[str] = field(default_factory=set)  # output/whole.json, output/shard=3.json
    beyond: dict[str, str] = field(default_factory=dict)  # path -> why
    sealed: list[str] = field(default_factory=list)  # folders whose commit cannot be read
    is_at_work: bool = False


def find_unneeded(store: Store, num_shards: int, *, is_at_work: bool) -> list[Unneeded]:
    """Return what is not needed, in order of path; is_at_work: a run is, and its tasks' notes are needed.

    Only what the store's layout knows is looked at: the folders of outputs and of books. Files of a shard whose commit
    cannot be read are left out: somebody may mend it. Raises NewerFormatError where a later release has written.
    """
    store.file_system.invalidate_cache()  # others have written since this file system last looked
    known = _know(store, num_shards)
    known.is_at_work = is_at_work
    finders: tuple[Callable[[Store, _Known], Iterator[Unneeded]], ...] = (
        _in_outputs,
        _in_books,
        _in_runs,
        _in_messages,
        _in_locks,
        _in_checkpoints,
        _at_the_top,
        _of_other_releases,
    )
    found = {each.entry.path: each for find in finders for each in find(store, known)}
    return [found[path] for path in sorted(found)]


def shard_named(path: str) -> int | None:
    """Return the shard of a commit's or a mark's file by its name; None for another name."""
    found = _PLACE.fullmatch(path.rpartition("/")[2])
    return None if found is None else WHOLE if found[1] == "whole" else int(found[2])


def _know(store: Store, num_shards: int) -> _Known:
    known = _Known()
    commits = {name: store.commits(output) for name, output in OUTPUTS.items()}
    books = store.path("_commits/")
    for place in [path.removeprefix(books) for path in store.unreadable if path.startswith(books)]:
        name, shard = place.partition("/")[0], shard_named(place)
        known.committed.add(place)
        if name in OUTPUTS:
            known.sealed.append(_folder_of(OUTPUTS[name], shard))
    # With another configuration than the store's, every shard could seem to be one too many.
    records = {shard: each.stamp.num_shards for shard, each in commits[RECORDS.name].items() if shard < num_shards}
    is_of_this_number = records == dict.fromkeys(range(num_shards), num_shards)
    for name, output in OUTPUTS.items():
        for shard, commit in commits[name].items():
            paths = [each.path for each in commit.files]
            place = f"{name}/{'whole' if shard == WHOLE else f'shard={shard}'}.json"
            if is_of_this_number and output.sharded and shard >= num_shards:
                why = f"of shard {shard}: there are {num_shards} (index.num_shards)"
                known.beyond |= dict.fromkeys([*paths, *(f"{book}/{place}" for book in BOOKS)], why)
            else:
                known.named.update(paths)
                known.committed.add(place)
    return known


def _folder_of(output: Output, shard: int | None) -> str:
    if isinstance(output, Artifact):
        return output.path
    return output.name if shard in (None, WHOLE) else f"{output.name}/shard={shard}"


def _in_outputs(store: Store, known: _Known) -> Iterator[Unneeded]:
    for output in OUTPUTS.values():
        folder = _folder_of(output, None)
        # Without any commit of it the folder may be somebody's photos, or lack nothing but its books.
        is_ours = any(path == folder or path.startswith(f"{folder}/") for path in known.named)
        for each in entries_below(store, folder):
            is_sealed = any(each.path == sealed or each.path.startswith(f"{sealed}/") for sealed in known.sealed)
            if each.name.startswith(UNFINISHED):
                yield Unneeded(each, _UNFINISHED_WHY)
            elif each.path in known.beyond and each.path not in known.named:
                yield Unneeded(each, known.beyond[each.path])
            elif not is_ours:
                continue
            elif each.is_folder:
                yield Unneeded(each, "an empty folder")
            elif each.path not in known.named and not is_sealed and _is_written_by_us(each.path, output):
                yield Unneeded(each, "named by no commit")


def _is_written_by_us(path: str, output: Output) -> bool:
    """Tell by its name whether the store wrote a file: what somebody else has put beside them is not to go."""
    if isinstance(output, Artifact):
        return path.startswith(f"{REPORT.path}/") or bool(_VERSION.fullmatch(path.removeprefix(f"{output.path}/")))
    return bool(_PART.fullmatch(path.removeprefix(f"{output.name}/")))


def _in_books(store: Store, known: _Known) -> Iterator[Unneeded]:
    for book in BOOKS:
        for each in entries_below(store, book):
            place = each.path.removeprefix(f"{book}/")
            if each.name.startswith(UNFINISHED):
                yield Unneeded(each, _UNFINISHED_WHY)
            elif each.is_folder:
                continue
            elif each.path in known.beyond:
                yield Unneeded(each, known.beyond[each.path])
            elif place.partition("/")[0] not in OUTPUTS or not each.name.endswith(".json"):
                continue  # see _of_other_releases
            elif book == "_marks":
                yield from _mark(store, each, is_committed=place in known.committed)
            elif book == "_progress" and not known.is_at_work:
                yield Unneeded(each, "the note of a task that has ended")


def _mark(store: Store, entry: Entry, *, is_committed: bool) -> Iterator[Unneeded]:
    if not is_committed:
        yield Unneeded(entry, "the mark of a shard that is not there")
    elif not _is_readable(store, entry, Mark.from_json):
        yield Unneeded(entry, "a mark that cannot be read")


def _is_readable(store: Store, entry: Entry, read: Callable[[str], Commit | Mark | Note]) -> bool:
    try:
        read((store.read_bytes(entry.path) or b"").decode(errors="replace"))
    except NewerFormatError:
        raise
    except StoreError:
        return False
    return True


def _in_runs(store: Store, _: _Known) -> Iterator[Unneeded]:
    names = {stage.name for stage in STAGES}
    for each in entries_below(store, RUNS):
        if each.name.startswith(UNFINISHED):
            yield Unneeded(each, _UNFINISHED_WHY)
        elif each.name.endswith(".json") and stage_recorded(each.name) not in names:
            yield Unneeded(each, "the record of no stage of this release")


def _in_messages(store: Store, known: _Known) -> Iterator[Unneeded]:
    for each in entries_below(store, MESSAGES):
        if each.name.startswith(UNFINISHED):
            yield Unneeded(each, _UNFINISHED_WHY)
        elif not (known.is_at_work or each.is_folder):
            yield Unneeded(each, "a line that a task left for a run that ended")


def _in_locks(store: Store, _: _Known) -> Iterator[Unneeded]:
    for each in entries_below(store, LOCKS):
        if each.name.startswith(UNFINISHED):
            yield Unneeded(each, _UNFINISHED_WHY)
        elif each.name.endswith(".json") and not each.is_folder:
            yield from _lock(store, each)


def _lock(store: Store, entry: Entry) -> Iterator[Unneeded]:
    data = store.read_bytes(entry.path)
    try:
        claim = Claim.from_json((data or b"").decode(errors="replace"))
    except NewerFormatError:
        raise
    except StoreError:
        if data is not None:
            yield Unneeded(entry, "a lock that cannot be read, and holds nothing")
        return
    if is_gone(claim.process):
        yield Unneeded(entry, f"the lock of a run that has ended: {claim.holder}")


def _in_checkpoints(store: Store, _: _Known) -> Iterator[Unneeded]:
    for each in entries_below(store, CHECKPOINTS):
        if each.name.startswith(UNFINISHED):
            yield Unneeded(each, _UNFINISHED_WHY)
        elif each.is_folder:
            yield Unneeded(each, "an empty folder")


def _at_the_top(store: Store, _: _Known) -> Iterator[Unneeded]:
    for each in entries_below(store, SET_ASIDE):
        yield Unneeded(each, "set aside by verify-store --repair")
    try:
        listed = store.file_system.ls(store.path(""), detail=True)
    except FileNotFoundError:
        return
    artifacts = tuple(f"{UNFINISHED}{each.path}-" for each in OUTPUTS.values() if isinstance(each, Artifact))
    for info in listed:
        each = entry_of(store, info)
        if info["type"] == "file" and each.name.startswith(artifacts):
            yield Unneeded(each, _UNFINISHED_WHY)
        elif is_local(store.file_system) and info["type"] == "directory" and each.name.startswith(f".{TOY_WORLD}."):
            yield from _world(entries_below(store, each.path))


def _world(entries: Iterable[Entry]) -> Iterator[Unneeded]:
    """A world that is being drawn is as young as its newest file: half of it must not go."""
    entries = list(entries)
    times = [each.modified for each in entries]
    newest = None if None in times else max((each for each in times if each is not None), default=None)
    for each in entries:
        entry = Entry(each.path, each.num_bytes, newest, each.is_folder)
        yield Unneeded(entry, "a toy world whose drawing was killed")


def _of_other_releases(store: Store, known: _Known) -> Iterator[Unneeded]:
    for book in BOOKS:
        for each in entries_below(store, book):
            name, _, rest = each.path.removeprefix(f"{book}/").partition("/")
            if name in OUTPUTS or not rest or each.is_folder or shard_named(rest) is None:
                continue
            why = f"of {name}, which no stage of this release makes"
            yield Unneeded(each, why)
            if book == "_commits":
                paths = _files_named(store, each, known)
                yield from (Unneeded(file, why) for file in _present(store, paths))


def _files_named(store: Store, entry: Entry, known: _Known) -> list[str]:
    """Return the files that another release's commit names, without any that could be this one's, or an input."""
    try:
        commit = Commit.from_json((store.read_bytes(entry.path) or b"").decode(errors="replace"))
    except NewerFormatError:
        raise
    except StoreError:
        return []
    tops = {_folder_of(output, None) for output in OUTPUTS.values()} | {TOY_WORLD}
    paths = [each.path for each in commit.files if each.path not in known.named]
    tried = [path for path in paths if path.partition("/")[0] not in tops and not path.endswith((".csv", ".csv.gz"))]
    return [path for path in tried if not path.startswith(("_", "."))]


def _present(store: Store, paths: Iterable[str]) -> Iterator[Entry]:
    for path in paths:
        try:
            info = store.file_system.info(store.path(path))
        except FileNotFoundError:
            continue
        if info["type"] == "file":
            yield entry_of(store, info)
