"""Notes how the last run of each stage went: what it made, or why it failed."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from typing import Any

from landmark_spark.claims import ALL, Part
from landmark_spark.commits import FORMAT, now
from landmark_spark.core.printable import printable
from landmark_spark.ledger import Ledger

__all__ = ["INTERRUPTED", "RUNS", "RunRecord", "read_record", "stage_recorded", "write_record"]

RUNS = "_runs"
"""Folder of the records: one file a stage, or one for each part of it that was run by itself."""

INTERRUPTED = "interrupted"
"""The error of a stage that Ctrl-C or SIGTERM ended: none of its own."""

_NAME = re.compile(r"(?P<stage>\w+)(\.(?P<index>[1-9]\d{0,8})-of-(?P<count>[1-9]\d{0,8}))?\.json", re.ASCII)


@dataclass(frozen=True)
class RunRecord:
    """How the last run of a stage that had something to do went.

    seconds: until it ended. reason: why it ran. error: in one line; "" where it succeeded. ended: UTC, ISO 8601.
    """

    stage: str
    num_shards: int
    num_rows: int
    seconds: float
    reason: str
    error: str = ""
    ended: str = dataclasses.field(default_factory=now)

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.num_rows / self.seconds if self.seconds > 0 else 0.0

    def fields(self) -> dict[str, Any]:
        """Return it for machines, as docs/progress.md says: all shards that were to be made, rows, seconds, why."""
        return {
            "stage": self.stage,
            "shards_total": self.num_shards,
            "rows": self.num_rows,
            "rows_per_second": round(self.rate, 3),
            "seconds": round(self.seconds, 3),
            "reason": self.reason,
        }


def write_record(ledger: Ledger, record: RunRecord, part: Part = ALL) -> None:
    """Replace the record of a stage, or that of one part of it: parts that run side by side have one each."""
    text = json.dumps({"format": FORMAT, **dataclasses.asdict(record)}, indent=1)
    path = _path(record.stage, part)
    ledger.write_bytes(path, text.encode())
    # Of all shards, it is newer than any of a part; and one of 8 says nothing beside those of 4.
    others = {name: found for name, found in _parts(ledger, record.stage).items() if found and name != path}
    ledger.remove(name for name, found in others.items() if part is None or found[1] != part[1])


def read_record(ledger: Ledger, stage: str) -> RunRecord | None:
    """Return the record of a stage; None where there is none, or it is damaged: it decides nothing.

    Of a stage that was run in parts it is that of all of them: their sums, and the first error. Its texts are made
    printable: what an error quotes may be anything.
    """
    names = _parts(ledger, stage)
    in_parts = [name for name, part in names.items() if part]
    found = [_read(ledger, stage, name) for name in in_parts or names]
    records = [each for each in found if each is not None]
    if not records:
        return None
    return RunRecord(
        stage=stage,
        num_shards=sum(each.num_shards for each in records),
        num_rows=sum(each.num_rows for each in records),
        seconds=sum(each.seconds for each in records),
        reason=records[0].reason,
        error=next((each.error for each in records if each.error), ""),
        ended=max(each.ended for each in records),
    )


def stage_recorded(name: str) -> str:
    """Return the stage that a file of RUNS is a record of, by its name; "" where it is none."""
    found = _NAME.fullmatch(name)
    return found["stage"] if found else ""


def _read(ledger: Ledger, stage: str, path: str) -> RunRecord | None:
    try:
        values = json.loads(ledger.read_bytes(path) or b"null")
        return RunRecord(
            stage=stage,
            num_shards=int(values["num_shards"]),
            num_rows=int(values["num_rows"]),
            seconds=float(values["seconds"]),
            reason=printable(str(values["reason"])),
            error=printable(str(values.get("error", ""))),
            ended=printable(str(values.get("ended", ""))),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, IsADirectoryError):
        return None


def _parts(ledger: Ledger, stage: str) -> dict[str, Part]:
    """Return the part of each record of a stage by path, in the order of the parts."""
    found: dict[str, Part] = {}
    for full in ledger.json_files(RUNS):
        named = _NAME.fullmatch(full.rpartition("/")[2])
        if named and named["stage"] == stage:
            part = (int(named["index"]), int(named["count"])) if named["index"] else ALL
            found[f"{RUNS}/{named[0]}"] = part
    return dict(sorted(found.items(), key=lambda each: each[1] or (0, 0)))


def _path(stage: str, part: Part) -> str:
    return f"{RUNS}/{stage}.json" if part is None else f"{RUNS}/{stage}.{part[0]}-of-{part[1]}.json"
