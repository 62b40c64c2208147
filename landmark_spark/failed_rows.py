"""Lists the rows of the csv files that give no picture: those refused, and those whose download or decoding failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from landmark_spark.core.photo_names import called
from landmark_spark.core.printable import printable
from landmark_spark.core.statuses import matches_status
from landmark_spark.schemas import IMAGES, REJECTS, Table
from landmark_spark.settings import Config
from landmark_spark.store import Store

__all__ = ["FailedRow", "read_failed"]


@dataclass(frozen=True)
class FailedRow:
    """A row without a picture.

    photo: as core.photo_names.called has it; of a refused row its csv file and line, ``train.csv:7``. status: a word
    of core.records.REASONS or core.statuses.STATUSES. id: empty where a refused row has none.
    """

    photo: str
    status: str
    split: str
    id: str


def read_failed(config: Config) -> list[FailedRow]:
    """Return refused rows in the order of their lines, then those that failed by status, split and photo.

    Reads what is committed so far, without Spark, also while a run is at work. What opted out did not fail.
    """
    store = Store(config.store)
    refused = _read(store, REJECTS, ["source", "line_number", "reason", "split", "id"])
    rows = [
        FailedRow(
            f"{printable(row['source'])}:{row['line_number']}", row["reason"], row["split"], printable(row["id"] or "")
        )
        for row in refused
    ]
    failed = [
        FailedRow(called(row["url"], is_served=bool(config.serve_folder)), row["status"], row["split"], row["id"])
        for row in _read(store, IMAGES, ["url", "status", "split", "id"])
        if matches_status(row["status"], ["failed"])
    ]
    return rows + sorted(failed, key=lambda each: (each.status, each.split, each.photo))


def _read(store: Store, table: Table, columns: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = store.read_arrow(table, columns, so_far=True).to_pylist()
    return rows
