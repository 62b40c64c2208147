"""Checks one committed shard, or one output that is made whole: its commit, its files, its rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from landmark_spark.commits import WHOLE, Commit, FileEntry, digest_of
from landmark_spark.contents import check_file
from landmark_spark.core.archive_checks import file_fault
from landmark_spark.kept_rows import KeptRows
from landmark_spark.ledger import Ledger, Output
from landmark_spark.parquet_files import open_parquet
from landmark_spark.schemas import METRICS, Artifact, Table
from landmark_spark.table_checks import RowChecks, schema_fault

__all__ = ["PlaceReport", "check_place", "misplaced"]

_ROWS_A_BATCH = 512


@dataclass(frozen=True)
class PlaceReport:
    """What was found of one place. rows: what is kept of a table's; None where they are not to be relied on."""

    commit: Commit
    faults: tuple[str, ...]
    rows: KeptRows | None = None

    @property
    def num_bytes(self) -> int:
        """Length of its files as committed."""
        return sum(each.num_bytes for each in self.commit.files)


def misplaced(output: Output, commit: Commit) -> str:
    """Return what is wrong with where a commit's files lie: below its own shard's folder, and nowhere else."""
    for file in commit.files:
        if not _is_its_own(output, commit.shard, file.path):
            return f"should name files of its own. Received: {file.path}"
    return ""


def _is_its_own(output: Output, shard: int, path: str) -> bool:
    if isinstance(output, Artifact):
        return path == output.path or path.startswith(f"{output.path}/")
    return path.startswith(f"{output.name}/" if shard == WHOLE else f"{output.name}/shard={shard}/")


def check_place(ledger: Ledger, output: Output, commit: Commit, num_shards: int) -> PlaceReport:
    """Read all files of a commit; num_shards: of the table when it was written."""
    faults = [fault for each in commit.files if (fault := check_file(ledger, each))]
    faults = faults or _digest_fault(output, commit)
    if faults:
        return PlaceReport(commit, tuple(faults))
    if isinstance(output, Artifact):
        return PlaceReport(commit, tuple(_artifact_faults(ledger, output, commit)))
    return _check_rows(ledger, output, commit, num_shards)


def _digest_fault(output: Output, commit: Commit) -> list[str]:
    files = commit.files
    if isinstance(output, Artifact):
        wanted = digest_of({each.path.rpartition("/")[2]: each.sha256 for each in files})
    elif len(files) == 1:
        wanted = files[0].sha256
    else:
        return [f"should have one file. Received: {len(files)}"]
    return [] if commit.digest == wanted else ["has a commit whose digest is not that of its files"]


def _artifact_faults(ledger: Ledger, artifact: Artifact, commit: Commit) -> Iterator[str]:
    if not commit.files:
        yield "should have a file. Received: none"
    for each in commit.files:
        with ledger.file_system.open(ledger.path(each.path), "rb") as file:
            fault = file_fault(each.path, file)
        if fault:
            yield f"{each.path} {fault}"
        elif artifact == METRICS:
            yield from _metrics_faults(ledger, each)


def _metrics_faults(ledger: Ledger, entry: FileEntry) -> Iterator[str]:
    values = json.loads(ledger.read_bytes(entry.path) or b"null")
    if not (isinstance(values, dict) and isinstance(values.get("modes"), dict) and "counts" in values):
        yield f"{entry.path} should have modes and counts. Received: {str(values)[:100]}"


def _check_rows(ledger: Ledger, table: Table, commit: Commit, num_shards: int) -> PlaceReport:
    checks = RowChecks(table, commit.shard, num_shards)
    path = commit.files[0].path
    try:
        with open_parquet(ledger.file_system, ledger.path(path)) as parquet:
            if fault := schema_fault(table, parquet.schema_arrow):
                return PlaceReport(commit, (f"{path} {fault}",))
            for rows in _batches(parquet):
                checks.add(rows)
    except (pa.ArrowException, OSError, ValueError) as error:
        return PlaceReport(commit, (f"{path} should be a whole Parquet file. Received: {error}",))
    faults, kept = checks.finish()
    if checks.num_rows != commit.num_rows:
        faults.append(f"should have {commit.num_rows} rows, as its commit says. Received: {checks.num_rows}")
    elif _says_counts(commit) and dict(commit.counts) != checks.counts.nested():
        faults.append(f"has a commit whose counts by {', '.join(table.counted)} are not those of its rows")
    return PlaceReport(commit, tuple(faults), None if faults else kept)


def _says_counts(commit: Commit) -> bool:
    """Commits of releases before they counted have no counts, and say no version."""
    return bool(commit.counts or commit.stamp.version)


def _batches(parquet: Any) -> Iterator[pa.Table]:
    for group in range(parquet.num_row_groups):  # one by one: all that are asked for at once are held at once
        for batch in parquet.iter_batches(_ROWS_A_BATCH, row_groups=[group], use_threads=False):
            yield pa.Table.from_batches([batch])
