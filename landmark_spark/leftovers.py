"""Finds and removes what killed writers left unfinished."""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterable

from landmark_spark.ledger import BOOKS, Ledger, Output
from landmark_spark.schemas import Artifact
from landmark_spark.whole_files import UNFINISHED, is_object_store

__all__ = ["sweep", "sweep_folder"]


def sweep(ledger: Ledger, output: Output, shards: Collection[int]) -> list[str]:
    """Remove the unfinished files of some shards (WHOLE: all of the output's); return their paths in the store.

    For who holds the lock on these shards. A writer that is still at it, a task whose driver died, fails when it comes
    to show its file.
    """
    if is_object_store(ledger.file_system):
        return []  # a put is all or nothing there
    ledger.file_system.invalidate_cache()  # tasks have written since this file system last looked
    folders = {f"shard={shard}" for shard in shards}
    found = [path for path in _unfinished(ledger, output) if not output.sharded or _shard_of(path) in folders]
    ledger.remove(found)
    return found


def sweep_folder(ledger: Ledger, folder: str) -> list[str]:
    """Do as ``sweep`` does for all files below a folder of the store, such as a training's checkpoints."""
    if is_object_store(ledger.file_system):
        return []
    ledger.file_system.invalidate_cache()
    found = _of_unfinished_names(ledger, ledger.file_system.find(ledger.path(folder)))
    ledger.remove(found)
    return found


def _unfinished(ledger: Ledger, output: Output) -> list[str]:
    top = output.path if isinstance(output, Artifact) else output.name
    places = [top, *(f"{books}/{output.name}" for books in BOOKS)]
    paths = [path for place in places for path in ledger.file_system.find(ledger.path(place))]
    if isinstance(output, Artifact):  # a single file is written beside its place
        paths += ledger.file_system.glob(f"{glob.escape(ledger.path(''))}{UNFINISHED}{output.path}-*")
    return _of_unfinished_names(ledger, paths)


def _of_unfinished_names(ledger: Ledger, paths: Iterable[str]) -> list[str]:
    relative = (path.removeprefix(ledger.path("")) for path in paths)
    return [path for path in relative if path.rpartition("/")[2].startswith(UNFINISHED)]


def _shard_of(path: str) -> str:
    """Return ``shard=3`` of images/shard=3/_writing-part-... and of _commits/images/_writing-shard=3.json-..."""
    folder, _, name = path.rpartition("/")
    if folder.startswith(tuple(f"{books}/" for books in BOOKS)):
        return name.removeprefix(UNFINISHED).partition(".")[0]
    return folder.rpartition("/")[2]
