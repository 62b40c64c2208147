"""Makes a copy of a store that shares its data: what differs is made anew there, and the original stays as it is."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

__all__ = ["copy_store", "link_or_copy"]

_NEVER_LINKED = ("toy_world", "_progress")  # written in place, or by who is at work
_NEVER_COPIED = ("_locks", "_messages")  # of runs on the original


def copy_store(store: Path, copy: Path) -> None:
    """Copy a store, where there is one, with hard links where they can be made.

    A store's data files are never overwritten, and what is replaced is renamed into its place.
    """
    if store.is_dir():
        ignore = shutil.ignore_patterns(*_NEVER_COPIED)
        shutil.copytree(store, copy, copy_function=link_or_copy, ignore=ignore)


def link_or_copy(source: str, target: str) -> None:
    """Link a file, or copy it where that cannot be done, or where it may be written in place."""
    if not set(Path(source).parts) & set(_NEVER_LINKED):
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copy2(source, target)
