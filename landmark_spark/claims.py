"""What a run claims of a store, and whether two claims get in each other's way: pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import gcd
from typing import Any

from landmark_spark.book_fields import are_lines, is_count
from landmark_spark.commits import FORMAT, StoreError, values_of

__all__ = ["ALL", "EVERYTHING", "Claim", "Holder", "Part", "Process", "conflict"]

Part = tuple[int, int] | None
"""(i, n), i from 1: the shards s with s % n == i - 1; ALL for every shard."""

ALL: Part = None

EVERYTHING = "*"
"""Stands for every output of the store."""


@dataclass(frozen=True)
class Process:
    """A process as another on the same machine can look it up.

    machine: differs from machine to machine, from boot to boot and, on Linux, from container to container. started:
    when the process began, as the machine tells it: another process that was given the same number has another.
    """

    host: str
    machine: str
    pid: int
    started: str


@dataclass(frozen=True)
class Claim:
    """What a run makes and reads, output -> part, and who it is.

    run: a name of its own. command: for people. state: asking, then held. stage: what it is at. beat: counts up for as
    long as it lives, so that another machine, whose clock may differ, can see that it does.
    """

    run: str
    command: str
    process: Process
    since: str
    writes: Mapping[str, Part]
    reads: Mapping[str, Part] = field(default_factory=dict)
    state: str = "asking"
    stage: str = ""
    beat: int = 0

    def __post_init__(self) -> None:
        """Refuse what no run would have written."""
        process = self.process
        own = (self.run, self.command, self.since, self.state, self.stage, *self.writes, *self.reads)
        texts = are_lines(*own, process.host, process.machine, process.started)
        if not (texts and is_count(self.beat) and _is_pid(process.pid)):
            raise ValueError(f"a claim should say who holds what. Received: {self!r}")

    @classmethod
    def from_json(cls, text: str) -> Claim:
        """Read a claim; raises StoreError for text that is none, NewerFormatError for one of a later release."""
        values = values_of(text, "a lock")
        try:
            values["process"] = Process(**values["process"])
            for name in ("writes", "reads"):
                values[name] = {output: _part(each) for output, each in values[name].items()}
            return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreError(f"a lock should be the JSON that a run wrote. Received: {text[:200]!r}") from error

    def to_json(self) -> str:
        """Write it for people to read too."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=1, sort_keys=True) + "\n"

    @property
    def holder(self) -> str:
        """Say who it is, for a message."""
        at = f", now at {self.stage}" if self.stage else ""
        return f"'{self.command}' on host {self.process.host}, process {self.process.pid}, since {self.since}{at}"


@dataclass(frozen=True)
class Holder(Claim):
    """A claim that is held. known_to_live: its process was looked up; from another machine that cannot be done."""

    known_to_live: bool = True

    @classmethod
    def of(cls, claim: Claim, *, known_to_live: bool) -> Holder:
        """Return a claim with what is known of its process."""
        values = {each.name: getattr(claim, each.name) for each in dataclasses.fields(Claim)}
        return cls(**values, known_to_live=known_to_live)

    @property
    def holder(self) -> str:
        """Say who it is, for a message, and whether it may have ended."""
        who = super().holder
        return who if self.known_to_live else f"{who} (it may have ended: that cannot be told from here)"


def _is_pid(value: int) -> bool:
    """Tell whether a value may be the number of one process: 0 and less stand for groups of them."""
    return is_count(value) and 1 <= value < 2**31


def _part(value: Any) -> Part:
    if value is None:
        return ALL
    index, count = value
    if not (type(index) is int and type(count) is int and 1 <= index <= count):
        raise ValueError(f"a part should be (i, n) with 1 <= i <= n. Received: {value}")
    return index, count


def conflict(one: Claim, other: Claim) -> str:
    """Return the name of an output that one of two claims makes and the other makes or reads; "" where there is none.

    Parts of shards that no shard belongs to both of, as 1/8 and 2/8, are no conflict.
    """
    for maker, user in ((one, other), (other, one)):
        for used in (user.writes, user.reads):
            for output, part in maker.writes.items():
                for name, its_part in used.items():
                    if EVERYTHING in (output, name) and used:
                        return output if name == EVERYTHING else name
                    if output == name and _overlap(part, its_part):
                        return output
    return ""


def _overlap(one: Part, other: Part) -> bool:
    """Whether some shard is of both: x = i - 1 mod n and x = j - 1 mod m have a solution where i = j mod gcd(n, m)."""
    if one is None or other is None:
        return True
    return (one[0] - other[0]) % gcd(one[1], other[1]) == 0
