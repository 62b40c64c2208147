"""What makes a shard visible: the commit, which names its files, their digests, and what made them.

What says of a shard that it is under way: the note. What says of one that it must be made anew: the mark.
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

from landmark_spark.book_fields import WHOLE, are_counts, are_lines, is_count, is_name, is_shard
from landmark_spark.core.printable import printable

__all__ = [
    "FORMAT",
    "WHOLE",
    "Commit",
    "FileEntry",
    "Mark",
    "NewerFormatError",
    "Note",
    "Stamp",
    "StoreError",
    "digest_of",
    "now",
    "values_of",
]

FORMAT = 2
"""Of the files that the store keeps its books in. Commits without a number are of format 1: their stamps say neither
the stage's version nor the columns."""


class StoreError(RuntimeError):
    """The store lacks or refuses something; the message says what was wanted and what was received."""


class NewerFormatError(StoreError):
    """A later release wrote it: this one would misread it."""


@dataclass(frozen=True)
class FileEntry:
    """A committed file: path relative to the store, length in bytes, SHA-256 of its bytes in hex."""

    path: str
    num_bytes: int
    sha256: str

    def __post_init__(self) -> None:
        """Refuse a path that leads out of the store."""
        if not (isinstance(self.path, str) and all(map(is_name, self.path.split("/")))):
            raise ValueError(f"a committed file should lie below the store. Received: {self.path!r}")
        if not is_count(self.num_bytes) or not are_lines(self.sha256):
            raise ValueError(f"a committed file should have a length and a digest. Received: {self!r}")


@dataclass(frozen=True)
class Stamp:
    """What made an output: the stage, its settings, the digests of the inputs it read, and the code.

    version: of the stage. num_shards: of the tables. columns: of each output, as ``pipeline.columns_of`` writes them.
    code: release and digest of the sources. These are empty where a release before format 2 wrote the commit.
    """

    stage: str
    fingerprint: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    version: int = 0
    num_shards: int = 0
    columns: Mapping[str, str] = field(default_factory=dict)
    code: str = ""

    def __post_init__(self) -> None:
        """Refuse what the store would not have written."""
        texts = are_lines(self.stage, self.fingerprint, self.code)
        mappings = all(isinstance(each, Mapping) for each in (self.settings, self.inputs, self.columns))
        counts = is_count(self.version) and is_count(self.num_shards)
        if not (texts and mappings and counts and are_lines(*self.inputs.values(), *self.columns.values())):
            raise ValueError(f"a stamp should say what made an output. Received: {self!r}")


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

    def __post_init__(self) -> None:
        """Refuse what the store would not have written."""
        texts = are_lines(self.digest, self.host, self.created)
        numbers = is_shard(self.shard) and is_count(self.num_rows)
        if not (is_name(self.output) and texts and numbers and are_counts(self.counts)):
            raise ValueError(f"a commit should say what a shard is. Received: {self!r}")

    @classmethod
    def from_json(cls, text: str) -> Commit:
        """Read a commit, of this format or an earlier one.

        Raises StoreError for text that is none, NewerFormatError for one of a later format.
        """
        values = values_of(text, "a commit")
        try:
            values["files"] = tuple(FileEntry(**each) for each in values["files"])
            values["stamp"] = Stamp(**values["stamp"])
            return cls(**values)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise StoreError(f"a commit should be the JSON that the store wrote. Received: {text[:200]!r}") from error

    def to_json(self) -> str:
        """Write it for people to read too."""
        return _to_json(self)


@dataclass(frozen=True)
class Note:
    """How far a task has come with a shard that it has not committed yet.

    num_rows and counts: of the rows so far, as in a commit. started, updated: as ``now`` gives them; one that has not
    been updated for long is a dead task's. accelerator_busy: the share of time, 0 to 1, in which the GPU that Spark
    gave the task computed; None where that is not known.
    """

    output: str
    shard: int
    num_rows: int
    counts: Mapping[str, Any]
    started: str
    updated: str = field(default_factory=now)
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    accelerator_busy: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no task would have written."""
        texts = are_lines(self.started, self.updated, self.host)
        numbers = is_shard(self.shard) and is_count(self.num_rows) and is_count(self.pid)
        busy = self.accelerator_busy
        share = busy is None or (isinstance(busy, float | int) and 0 <= busy <= 1)
        if not (is_name(self.output) and texts and numbers and share and are_counts(self.counts)):
            raise ValueError(f"a note should say how far a shard is. Received: {self!r}")

    @classmethod
    def from_json(cls, text: str) -> Note:
        """Read a note; raises StoreError for text that is none."""
        values = values_of(text, "a note")
        try:
            return cls(**values)
        except (ValueError, TypeError, RecursionError) as error:
            raise StoreError(f"a note should be the JSON that a task wrote. Received: {text[:200]!r}") from error

    def to_json(self) -> str:
        """Write it for people to read too."""
        return _to_json(self)


@dataclass(frozen=True)
class Mark:
    """Says of a committed shard that it must be made anew, and why; the shard's next commit removes it.

    reason: of one line, which is printed.
    """

    output: str
    shard: int
    reason: str
    found: str = field(default_factory=now)

    def __post_init__(self) -> None:
        """Refuse what the store would not have written."""
        if not (is_name(self.output) and are_lines(self.reason, self.found) and is_shard(self.shard)):
            raise ValueError(f"a mark should say what is wrong with a shard. Received: {self!r}")

    @classmethod
    def from_json(cls, text: str) -> Mark:
        """Read a mark; raises StoreError for text that is none. Its reason is made printable: it may quote anything."""
        values = values_of(text, "a mark")
        try:
            if isinstance(values.get("reason"), str):
                values["reason"] = printable(values["reason"])
            return cls(**values)
        except (ValueError, TypeError) as error:
            raise StoreError(f"a mark should be the JSON that the store wrote. Received: {text[:200]!r}") from error

    def to_json(self) -> str:
        """Write it for people to read too."""
        return _to_json(self)


def values_of(text: str, what: str) -> dict[str, Any]:
    """Return what a file of the books says, without its format. Raises NewerFormatError, StoreError for any other text.

    what: the kind of file, for the message.
    """
    try:
        values = json.loads(text)
        found = values.pop("format", 1)
        if not isinstance(values, dict) or not is_count(found):
            raise ValueError
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(f"{what} should be the JSON that the store wrote. Received: {text[:200]!r}") from error
    if found > FORMAT:
        named = [printable(str(values[each]))[:80] for each in ("output", "shard") if each in values]
        name = f" for {named[0]} shard {named[1]}" if len(named) == 2 else ""
        raise NewerFormatError(
            f"the store should be of format {FORMAT} or earlier: a later release of landmark_spark has written to it. "
            f"Received: {what} of format {found}{name}"
        )
    return values


def _to_json(values: Commit | Note | Mark) -> str:
    return json.dumps({"format": FORMAT, **dataclasses.asdict(values)}, indent=1, sort_keys=True) + "\n"


def digest_of(parts: Mapping[Any, str]) -> str:
    """Return one digest over named digests, whatever their order."""
    return hashlib.sha256(json.dumps(sorted((str(key), value) for key, value in parts.items())).encode()).hexdigest()
