"""Lists what lies below a folder of a store, on every kind of file system: files and empty folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from landmark_spark.store import Store
from landmark_spark.whole_files import is_object_store

__all__ = ["Entry", "entries_below", "entry_of", "modified_of"]

_TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")  # what fsspec's file systems call it


@dataclass(frozen=True)
class Entry:
    """A file, or an empty folder, of a store: path relative to it; modified: seconds since 1970, None if unknown."""

    path: str
    num_bytes: int
    modified: float | None
    is_folder: bool = False

    @property
    def name(self) -> str:
        """Its last part."""
        return self.path.rpartition("/")[2]


def entries_below(store: Store, folder: str) -> list[Entry]:
    """Return all files below a folder of the store, and the empty folders; links are passed over."""
    if is_object_store(store.file_system):
        return [entry_of(store, each) for each in _objects(store, folder)]
    return list(_walk(store, folder))


def modified_of(info: Mapping[str, Any]) -> float | None:
    """Return when a file system says that something was written, in seconds since 1970; None where it does not say."""
    value = next((info[name] for name in _TIMES if info.get(name) is not None), None)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return float(value) if isinstance(value, int | float) else None


def entry_of(store: Store, info: Mapping[str, Any], *, is_folder: bool = False) -> Entry:
    """Return an entry as a file system tells of it."""
    num_bytes = 0 if is_folder else int(info["size"] or 0)
    return Entry(str(info["name"]).removeprefix(store.path("")), num_bytes, modified_of(info), is_folder)


def _objects(store: Store, folder: str) -> Iterator[Mapping[str, Any]]:
    try:
        found = store.file_system.find(store.path(folder), detail=True)
    except FileNotFoundError:
        return
    yield from (each for path, each in found.items() if not path.endswith("/"))  # a folder's mark


def _walk(store: Store, folder: str) -> Iterator[Entry]:
    try:
        listed = store.file_system.ls(store.path(folder), detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return
    if not listed:
        yield entry_of(store, store.file_system.info(store.path(folder)), is_folder=True)
    for each in listed:
        if each.get("islink"):
            continue  # the store makes none
        if each["type"] != "directory":
            yield entry_of(store, each)
        else:
            yield from _walk(store, each["name"].removeprefix(store.path("")))
