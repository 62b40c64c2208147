"""What makes a shard visible: the commit, which names its files, their digests, and what made them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["WHOLE", "Commit", "FileEntry", "Stamp", "StoreError", "digest_of"]

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


@dataclass(frozen=True)
class Commit:
    """One visible shard, or one whole output (shard WHOLE)."""

    output: str
    shard: int
    num_rows: int
    digest: str
    files: tuple[FileEntry, ...]
    stamp: Stamp
    host: str = field(default_factory=socket.gethostname)
    created: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))

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
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True) + "\n"


def digest_of(parts: Mapping[Any, str]) -> str:
    """Return one digest over named digests, whatever their order."""
    return hashlib.sha256(json.dumps(sorted((str(key), value) for key, value in parts.items())).encode()).hexdigest()
