"""Reads, writes, conforms and commits; alone knows the store's paths and file systems.

Layout, below the store's URL (any file system that fsspec knows)::

    images/shard=3/part-<unique>.parquet   the data: a new name each time it is written, never overwritten
    images/shard=3/_writing-part-...       data that is being written, or that a killed task left
    _commits/images/shard=3.json           the commit: which files are the shard, their digest, and what made them
    _marks/images/shard=3.json             the mark: why the shard must be made anew
    _progress/images/shard=3.json          the note of a task that writes the shard: how far it is
    _locks/<run>.json                      the lock of a run: what it makes, and who it is
    _runs/download_images.json             how the last run of a stage went
    _checkpoints/train_top_model/<what decides the training>/  from which a killed training goes on
    submission.csv, metrics.json, report/  results at the names people look for

A shard is what its commit says. The commit is written last and replaced in one step, so that a reader sees a shard
whole or not at all; data that no commit names, as a killed task leaves it, does not exist for any reader. Whatever
has its final name is whole.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from landmark_spark.commits import WHOLE, Commit, FileEntry, Stamp, StoreError, digest_of
from landmark_spark.ledger import Ledger, Output
from landmark_spark.partition_writer import PartitionWriter
from landmark_spark.schemas import Artifact, Table
from landmark_spark.table_reader import TaskReader, read_columns
from landmark_spark.whole_files import protocols

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

__all__ = ["CHECKPOINTS", "MadeInTasks", "Store", "arrow_schema", "conform", "gather", "spark_schema"]

CHECKPOINTS = "_checkpoints"
"""Folder of the checkpoints of trainings that are under way, or were killed: one below it for each stage."""

_SHARD = pa.field("shard", pa.int32(), nullable=False)
_NUM_LOOKS = 10  # at the commits, for a reader that other runs take files away from


def spark_schema(table: Table) -> StructType:
    """Return the Spark type of a table's rows, its partition column ``shard`` included where it is sharded."""
    from pyspark.sql.pandas.types import from_arrow_schema

    return from_arrow_schema(arrow_schema(table))


def conform(frame: DataFrame, table: Table) -> DataFrame:
    """Select exactly the table's columns, in order; raise StoreError for one that is missing or of another type."""
    wanted = {each.name: each.dataType.simpleString() for each in spark_schema(table)}
    received = {each.name: each.dataType.simpleString() for each in frame.schema}
    wrong = [name for name, kind in wanted.items() if received.get(name) != kind]
    if wrong:
        raise StoreError(
            f"{table.name} should have the columns {_listed(wanted, wrong)}. Received: {_listed(received, wrong)}"
        )
    return frame.select(*wanted)


@dataclass(frozen=True)
class MadeInTasks:
    """A table's rows as a function makes them of each partition, to be written by the task that made them.

    Rows that are written where they were made do not go to the JVM and back. ``frames``: what is read, each shard
    within one partition; function: from their Arrow batches to the table's.
    """

    frames: tuple[DataFrame, ...]
    function: Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def gather(frame: DataFrame, table: Table, num_shards: int) -> DataFrame:
    """Bring every shard's rows into one partition, in the table's order: for stages that shuffle."""
    rows = conform(frame, table)
    if not table.sharded:
        return rows.repartition(1).sortWithinPartitions(*table.order)
    return rows.repartition(num_shards, "shard").sortWithinPartitions("shard", *table.order)


def _written(made: DataFrame | MadeInTasks, table: Table, write: PartitionWriter) -> DataFrame:
    """Return the shards that the tasks write, as column ``shard``."""
    if not isinstance(made, MadeInTasks):
        return conform(made, table).mapInArrow(write, "shard int")
    make = made.function
    parts = [frame.mapInArrow(lambda batches: write(make(batches)), "shard int") for frame in made.frames]
    return reduce(lambda one, other: one.unionByName(other), parts)


def _all_shards(table: Table, commits: Mapping[int, Commit]) -> list[int]:
    """Return the shards of a whole table: as many as its commits say there are."""
    numbers = {commit.stamp.num_shards for commit in commits.values()} - {0}  # 0: an earlier release did not say
    if len(numbers) > 1:
        listed = " and ".join(str(each) for each in sorted(numbers))
        raise StoreError(f"{table.name} should be of one number of shards. Received: {listed}; bring it up to date")
    return sorted(commits) if not (table.sharded and numbers) else list(range(numbers.pop()))


def _listed(columns: Mapping[str, str], names: Iterable[str]) -> str:
    return ", ".join(f"{name} {columns.get(name, '(missing)')}" for name in names)


def arrow_schema(table: Table) -> pa.Schema:
    """Return the Arrow type of a table's rows, with ``shard`` as ``spark_schema`` has it."""
    return table.schema.append(_SHARD) if table.sharded else table.schema


class Store(Ledger):
    """All tables and results of one run, below one URL.

    lock: path of the run's lock, relative to the store, without which nothing is committed; "" for none.
    """

    lock: str = ""

    def url_of(self, relative: str) -> str:
        """Return the URL of a file of the store, for readers that take URLs."""
        if self._is_local:
            return f"file://{self.path(relative)}"  # not quoted: neither Spark nor petastorm unquotes it
        return f"{self.url.rstrip('/')}/{relative}"  # with the scheme as it was given: s3a stays s3a

    def present_files(self, output: Output) -> dict[str, int]:
        """Return the length of every file below an output's path, by path relative to the store."""
        top = self.path(output.path if isinstance(output, Artifact) else output.name)
        entries = self.file_system.find(top, detail=True)
        prefix = self.path("")
        return {path.removeprefix(prefix): int(entry["size"]) for path, entry in entries.items()}

    # Tables

    def files(self, table: Table, shards: Sequence[int] | None = None) -> list[str]:
        """Return the committed files of a table, relative to the store, in shard order."""
        return [name for _, name in self._committed(table, shards)]

    def _committed(self, table: Table, shards: Sequence[int] | None = None) -> list[tuple[int, str]]:
        commits = self.commits(table)
        chosen = _all_shards(table, commits) if shards is None or not table.sharded else sorted(shards)
        missing = [shard for shard in chosen if shard not in commits]
        if missing or not commits:
            raise StoreError(f"{table.name} should have the shards asked for. Missing: {missing or 'all'}")
        return [(shard, each.path) for shard in chosen for each in commits[shard].files]

    def read(self, spark: SparkSession, table: Table, shards: Sequence[int] | None = None) -> DataFrame:
        """Return a table, or some of its shards, as a DataFrame with one partition a file.

        Spark's own reader (to whose partitions session.py sees) reads folders and hdfs, and of them only the columns
        and shards that are used. Of other stores, which it needs Hadoop's libraries for, the tasks read whole files.
        """
        if not (self._is_local or "hdfs" in protocols(self.file_system)):
            files = tuple(self._committed(table, shards))
            return conform(TaskReader(self.url, table.schema, files).frame(spark, spark_schema(table)), table)
        urls = [self.url_of(name) for name in self.files(table, shards)]
        reader = spark.read.schema(spark_schema(table)).option("basePath", self.url_of(table.name))
        return conform(reader.parquet(*urls), table)

    def read_arrow(self, table: Table, columns: Sequence[str], *, so_far: bool = False) -> pa.Table:
        """Return some columns of a table in memory, without Spark; for small columns only.

        Another run may replace a shard in the meantime: then its new commit is looked for. so_far: of the shards that
        are made, of which there may be none; else StoreError is raised where one is missing.
        """
        schema = pa.schema([table.schema.field(name) for name in columns])
        for _ in range(_NUM_LOOKS):
            shards = sorted(self.commits(table)) if so_far else None
            names = [] if shards == [] else self.files(table, shards)
            with contextlib.suppress(FileNotFoundError):
                parts = [read_columns(self.file_system, self.path(name), columns) for name in names]
                return pa.concat_tables([schema.empty_table(), *(each.cast(schema) for each in parts)])
        raise StoreError(f"{table.name} should have the files of its commits. Missing: some of {names}")

    def write(
        self,
        frame: DataFrame | MadeInTasks,
        table: Table,
        stamps: Mapping[int, Stamp],
        *,
        expected_rows: Mapping[int, int] | None = None,
    ) -> dict[int, Commit]:
        """Write the shards that ``stamps`` names from a frame whose every shard lies within one partition.

        Each task commits its own shards as it finishes them, so that a run that dies loses only what was in flight.
        ``expected_rows``: for a stage that keeps its input's rows; a shard with another number fails uncommitted.
        """
        self.check_places(table, stamps)
        before = self.commits(table)
        write = PartitionWriter(self.url, table, dict(stamps), dict(expected_rows or {}), self.lock)
        done = {row.shard for row in _written(frame, table, write).collect()}
        for shard in set(stamps) - done:
            write.write_empty(shard)
        after = self.commits(table)
        self._remove_superseded(before, after, stamps)
        self.forget_notes(table, stamps)  # of tasks that died before another made their shard
        return {shard: after[shard] for shard in stamps}

    def _remove_superseded(
        self, before: Mapping[int, Commit], after: Mapping[int, Commit], shards: Iterable[int]
    ) -> None:
        for shard in shards:
            kept = {each.path for each in after[shard].files}
            old = before[shard].files if shard in before else ()
            self.remove(each.path for each in old if each.path not in kept)

    def forget_shards(self, table: Table, num_shards: int) -> None:
        """Remove the shards that are no longer, after ``index.num_shards`` became smaller, and their notes."""
        for shard, commit in self.commits(table).items():
            if shard >= num_shards:
                self.forget_commit(commit)
        self.forget_notes(table, [shard for shard in self.notes(table) if shard >= num_shards])

    # Artifacts

    def upload(self, source: Path, relative: str) -> tuple[FileEntry, ...]:
        """Copy a local file or folder into the store; a folder's index.html goes last."""
        if source.is_file():
            return (self.write_bytes(relative, source.read_bytes()),)
        names = sorted(each for each in source.rglob("*") if each.is_file())
        names.sort(key=lambda name: name.name == "index.html")
        return tuple(self.write_bytes(f"{relative}/{name.relative_to(source)}", name.read_bytes()) for name in names)

    def commit_artifact(self, artifact: Artifact, files: Sequence[FileEntry], stamp: Stamp) -> Commit:
        """Make an uploaded artifact the current one, then remove the files of the one before, and the checkpoints."""
        self.check_places(artifact, [WHOLE])
        before = self.commits(artifact)
        digest = digest_of({each.path.rpartition("/")[2]: each.sha256 for each in files})
        self.check_lock(self.lock)
        commit = self.commit(Commit(artifact.name, WHOLE, 0, digest, tuple(files), stamp))
        self._remove_superseded(before, {WHOLE: commit}, [WHOLE])
        self._forget_checkpoints(stamp.stage)
        return commit

    def _forget_checkpoints(self, stage: str) -> None:
        top = self.path(CHECKPOINTS, stage)
        self.file_system.invalidate_cache()  # tasks have written them
        if self.file_system.exists(top):
            self.file_system.rm(top, recursive=True)

    @contextlib.contextmanager
    def local_file(self, relative: str) -> Iterator[Path | None]:
        """Give a file of the store as a local path for as long as the block; None for an empty name."""
        if not relative or self._is_local:
            yield Path(self.path(relative)) if relative else None
            return
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / relative.rpartition("/")[2]
            self.file_system.get_file(self.path(relative), str(local))
            yield local

    @contextlib.contextmanager
    def local_files(self, commit: Commit) -> Iterator[dict[str, Path]]:
        """Give an artifact's files as local paths, by file name; remote ones are copied for as long as the block."""
        names = {each.path.rpartition("/")[2]: each.path for each in commit.files}
        if self._is_local:
            yield {name: Path(self.path(path)) for name, path in names.items()}
            return
        with tempfile.TemporaryDirectory() as folder:
            for name, path in names.items():
                self.file_system.get_file(self.path(path), str(Path(folder) / name))
            yield {name: Path(folder) / name for name in names}
