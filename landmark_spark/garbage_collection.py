"""Lists what no current stage needs of a store, then removes it."""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from landmark_spark.claims import ALL, EVERYTHING
from landmark_spark.commits import StoreError
from landmark_spark.core.records import HeaderError
from landmark_spark.ledger import LOCKS
from landmark_spark.pipeline import STAGES, Stage, settings_of
from landmark_spark.planning import Choice
from landmark_spark.run_lock import Asking, held_lock, living_claims
from landmark_spark.runner import plan
from landmark_spark.settings import Config, ConfigError
from landmark_spark.stages.training_process import checkpoint_folder
from landmark_spark.store import CHECKPOINTS, Store
from landmark_spark.store_entries import entries_below, modified_of
from landmark_spark.toy_inputs import described_inputs
from landmark_spark.unneeded import Unneeded, find_unneeded
from landmark_spark.whole_files import UNFINISHED, is_object_store

__all__ = ["Listing", "list_unneeded", "remove_unneeded"]

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Listing:
    """What is not needed. removable: and old enough; young: too young, by the store's own clock. min_age: seconds."""

    removable: tuple[Unneeded, ...]
    young: tuple[Unneeded, ...]
    notes: tuple[str, ...]
    min_age: float


def list_unneeded(config: Config, *, min_age: float) -> Listing:
    """List what could be removed; changes nothing. Raises NewerFormatError where a later release has written."""
    store = Store(config.store)
    holders = living_claims(store)
    found = _list(store, config, min_age, is_at_work=bool(holders))
    notes = [f"a run is at work, and has to end first: {each.holder}" for each in holders]
    return dataclasses.replace(found, notes=(*notes, *found.notes))


def remove_unneeded(config: Config, listing: Listing, tell: Tell) -> list[Unneeded]:
    """Remove what was listed and is still not needed, and the folders that it leaves empty; return what went.

    Takes the lock on everything: raises LockedError where a run is at work.
    """
    store = Store(config.store)
    listed = {each.entry.path for each in listing.removable}
    with held_lock(store, Asking("gc", {EVERYTHING: ALL}), tell):
        current = _list(store, config, listing.min_age, is_at_work=False).removable
        still = [each for each in current if each.entry.path in listed]
        taken = [each for each in listing.removable if _is_lock(each) and not store.exists(each.entry.path)]
        store.remove(each.entry.path for each in still if not each.entry.is_folder)
        if not is_object_store(store.file_system):
            _remove_empty(store, still)
    return [*still, *(each for each in taken if each not in still)]  # a dead run's lock goes as ours is taken


def _is_lock(each: Unneeded) -> bool:
    return each.entry.path.startswith(f"{LOCKS}/")


def _list(store: Store, config: Config, min_age: float, *, is_at_work: bool) -> Listing:
    unneeded = find_unneeded(store, config.index.num_shards, is_at_work=is_at_work)
    found = {each.entry.path: each for each in unneeded}
    notes = []
    try:
        checkpoints = list(_checkpoints(store, config)) if entries_below(store, CHECKPOINTS) else []
    except (ConfigError, HeaderError) as error:
        checkpoints = []
        notes.append(f"{CHECKPOINTS} is left as it is: whose they are cannot be said: {error}")
    found |= {each.entry.path: each for each in checkpoints}
    clock = _clock(store) if found else 0.0
    old: list[Unneeded] = []
    young: list[Unneeded] = []
    for _, each in sorted(found.items()):
        is_old = each.entry.modified is not None and clock - each.entry.modified >= min_age
        # A run that is known to have ended writes to its lock no more.
        (old if is_old or (_is_lock(each) and each.entry.name.endswith(".json")) else young).append(each)
    return Listing(tuple(old), tuple(young), tuple(notes), min_age)


def _clock(store: Store) -> float:
    """Return the time by the clock that dates the store's files, which may be another machine's."""
    path = f"{LOCKS}/{UNFINISHED}clock-{uuid.uuid4().hex}"
    try:
        store.write_bytes(path, b"what time is it?", durable=False)
        store.file_system.invalidate_cache()
        time = modified_of(store.file_system.info(store.path(path)))
    except Exception as error:  # the library of each kind of store has errors of its own: keys, networks, rights
        raise StoreError(f"store should be a place that can be written to. Received: {store.url} ({error})") from error
    finally:
        with contextlib.suppress(Exception):
            store.remove([path])
    if time is None:
        raise StoreError(f"store should say when its files were written. Received: {store.url} does not")
    return time


def _checkpoints(store: Store, config: Config) -> Iterator[Unneeded]:
    """Yield the checkpoints that no training goes on from."""
    stages = {stage.name: stage for stage in STAGES}
    current = {each.stage.name for each in plan(config, Choice()) if not each.shards}
    for each in entries_below(store, CHECKPOINTS):
        parts = each.path.split("/")
        stage = stages.get(parts[1]) if len(parts) > 2 else None
        if each.is_folder or each.name.startswith(UNFINISHED):
            continue  # found by find_unneeded
        if stage is None:
            yield Unneeded(each, "the checkpoint of no stage of this release")
        elif stage.name in current:
            yield Unneeded(each, f"a checkpoint of {stage.name}, which is up to date")
        elif not each.path.startswith(f"{_training_folder(store, config, stage)}/"):
            yield Unneeded(each, f"a checkpoint of {stage.name} with other settings, inputs or release")


def _training_folder(store: Store, config: Config, stage: Stage) -> str:
    with described_inputs(config) as (described, _):
        settings = settings_of(stage, described)
    return checkpoint_folder(stage.name, store, [each.output for each in stage.reads], settings)


def _remove_empty(store: Store, removed: Sequence[Unneeded]) -> None:
    """Remove the folders that are empty now, those that held what was removed included; rmdir refuses others."""
    folders = {each.entry.path for each in removed if each.entry.is_folder}
    for each in removed:
        parts = each.entry.path.split("/")[:-1]
        folders |= {"/".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
    for folder in sorted(folders, key=lambda path: -path.count("/")):
        with contextlib.suppress(OSError):
            if not store.file_system.ls(store.path(folder), detail=False):
                store.file_system.rmdir(store.path(folder))
