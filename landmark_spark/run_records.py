"""Notes how the last run of each stage went: what it made, or why it failed."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from landmark_spark.commits import FORMAT, now
from landmark_spark.core.printable import printable
from landmark_spark.ledger import Ledger

__all__ = ["RUNS", "RunRecord", "read_record", "write_record"]

RUNS = "_runs"
"""Folder of the records: one file a stage."""


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


def write_record(ledger: Ledger, record: RunRecord) -> None:
    """Replace the record of a stage."""
    text = json.dumps({"format": FORMAT, **dataclasses.asdict(record)}, indent=1)
    ledger.write_bytes(_path(record.stage), text.encode())


def read_record(ledger: Ledger, stage: str) -> RunRecord | None:
    """Return the record of a stage; None where there is none, or it is damaged: it decides nothing.

    Its texts are made printable: what an error quotes may be anything.
    """
    try:
        values = json.loads(ledger.read_bytes(_path(stage)) or b"null")
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


def _path(stage: str) -> str:
    return f"{RUNS}/{stage}.json"
