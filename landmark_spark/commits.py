"""What makes a shard visible: the commit, which names its files, their digests, and what made them.

And what says of a shard that it is under way: the note.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["WHOLE", "Commit", "FileEntry", "Note", "Stamp", "StoreError", "digest_of", "now"]

WHOLE = -1
"""Shard number of an output that is not sharded."""


class StoreError(RuntimeError):
    """The store lacks or refuses something; the message says what was wanted and what was received."""


@dataclass(frozen=True)
class FileEntry:
    """A committed file: path relative to the store, length in bytes, SHA-256 of its bytes."""

    path: str
    num_bytes: int
    sha256: str


@dataclass(frozen=True)
class Stamp:
    """What made an output: stage, code version, settings, and the digests of the inputs it read."""

    stage: str
    fingerprint: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)


def now() -> str:
    """Return the time as commits and notes say it: UTC, ISO 8601, in whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@dataclass(frozen=True)
class Commit:
    """One visible shard, or one whole output (shard WHOLE).

    counts: rows by the values of the table's ``counted`` columns, nested in their order; see row_counts.py.
    """

    output: str
    shard: int
    num_rows: int
    digest: str
    files: tuple[FileEntry, ...]
    stamp: Stamp
    host: str = field(default_factory=socket.gethostname)
    created: str = field(default_factory=now)
    counts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str) -> Commit:
        """Read a commit; raises StoreError for text that is none."""
        try:
            values = json.loads(text)
            values["files"] = tuple(FileEntry(**each) for each in values["files"])
            values["stamp"] = Stamp(**values["stamp"])
            return cls(**values)
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError(f"a commit should be the JSON that the store wrote. Received: {text[:200]!r}") from error

    def to_json(self) -> str:
        """Write it for people to read too."""
        return _to_json(self)


@dataclass(frozen=True)
class Note:
    """How far a task has come with a shard that it has not committed yet.

    num_rows and counts: of the rows so far, as in a commit. started, updated: as ``now`` gives them; one that has not
    been updated for long is a dead task's.
    """

    output: str
    shard: int
    num_rows: int
    counts: Mapping[str, Any]
    started: str
    updated: str = field(default_factory=now)
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)

    @classmethod
    def from_json(cls, text: str) -> Note:
        """Read a note; raises StoreError for text that is none."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise StoreError(f"a note should be the JSON that a task wrote. Received: {text[:200]!r}") from error

    def to_json(self) -> str:
        """Write it for people to read too."""
        return _to_json(self)


def _to_json(values: Commit | Note) -> str:
    return json.dumps(dataclasses.asdict(values), indent=1, sort_keys=True) + "\n"


def digest_of(parts: Mapping[Any, str]) -> str:
    """Return one digest over named digests, whatever their order."""
    return hashlib.sha256(json.dumps(sorted((str(key), value) for key, value in parts.items())).encode()).hexdigest()
