"""Reads, writes, conforms and commits; alone knows the store's paths and file systems.

Layout, below the store's URL (any file system that fsspec knows)::

    images/shard=3/part-<unique>.parquet   the data: a new name each time it is written, never overwritten
    _commits/images/shard=3.json           the commit: which files are the shard, their digest, and what made them
    submission.csv, metrics.json, report/  results at the names people look for

A shard is what its commit says. The commit is written last and replaced in one step, so that a reader sees a shard
whole or not at all; data that no commit names, as a killed task leaves it, does not exist for any reader.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from landmark_spark.commits import WHOLE, Commit, FileEntry, Stamp, StoreError, digest_of
from landmark_spark.schemas import Artifact, Table
from landmark_spark.shard_writer import ShardWriter

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

__all__ = ["Store", "arrow_schema", "conform", "gather", "spark_schema"]

_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"}  # a put is one step there
_SHARD = pa.field("shard", pa.int32(), nullable=False)

Output = Table | Artifact


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


def gather(frame: DataFrame, table: Table, num_shards: int) -> DataFrame:
    """Bring every shard's rows into one partition, in the table's order: for stages that shuffle."""
    rows = conform(frame, table)
    if not table.sharded:
        return rows.repartition(1).sortWithinPartitions(*table.order)
    return rows.repartition(num_shards, "shard").sortWithinPartitions("shard", *table.order)


def _listed(columns: Mapping[str, str], names: Iterable[str]) -> str:
    return ", ".join(f"{name} {columns.get(name, '(missing)')}" for name in names)


def arrow_schema(table: Table) -> pa.Schema:
    """Return the Arrow type of a table's rows, with ``shard`` as ``spark_schema`` has it."""
    return table.schema.append(_SHARD) if table.sharded else table.schema


class Store:
    """All tables and results of one run, below one URL."""

    def __init__(self, url: str) -> None:
        try:
            self.file_system, self.root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise StoreError(
                f"store should be a folder or a URL that fsspec knows. Received: {url} ({error})"
            ) from error
        self._is_local = "file" in _protocols(self.file_system)
        self.unreadable: dict[str, str] = {}  # commits that are none: path -> why
        self.url = str(self.root) if self._is_local else url  # absolute: a task's working directory is another

    # Paths

    def path(self, *names: str) -> str:
        """Return the full path of something in the store, as people see it."""
        return "/".join([self.root.rstrip("/"), *names])

    def url_of(self, relative: str) -> str:
        """Return the URL of a file of the store, for readers that take URLs."""
        if self._is_local:
            return f"file://{self.path(relative)}"  # not quoted: neither Spark nor petastorm unquotes it
        return f"{self.url.rstrip('/')}/{relative}"  # with the scheme as it was given: s3a stays s3a

    # Commits

    def commits(self, output: Output) -> dict[int, Commit]:
        """Return the commits of an output by shard; WHOLE is the key of what is not sharded.

        A file there that is no commit is noted in ``unreadable``; its shard is not among those returned.
        """
        folder = self.path("_commits", output.name)
        self.file_system.invalidate_cache()  # tasks have committed since this file system last looked
        try:
            names = self.file_system.ls(folder, detail=False)
        except FileNotFoundError:
            return {}
        wanted = sorted(name for name in names if name.endswith(".json"))
        texts = self.file_system.cat(wanted) if wanted else {}  # an object store is asked for all of them at once
        found = {}
        for name in wanted:
            try:
                commit = Commit.from_json(texts[name].decode(errors="replace"))
            except StoreError as error:  # its shard counts as not made, and the run says so
                self.unreadable[name] = str(error)
            else:
                found[commit.shard] = commit
        return found

    def present_files(self, output: Output) -> dict[str, int]:
        """Return the length of every file below an output's path, by path relative to the store."""
        top = self.path(output.path if isinstance(output, Artifact) else output.name)
        entries = self.file_system.find(top, detail=True)
        prefix = self.path("")
        return {path.removeprefix(prefix): int(entry["size"]) for path, entry in entries.items()}

    def commit(self, commit: Commit) -> Commit:
        """Make a shard visible: what is written last."""
        self.write_bytes(_commit_path(commit), commit.to_json().encode())
        return commit

    def write_bytes(self, relative: str, data: bytes) -> FileEntry:
        """Write a file so that a reader sees the old one or the new one, whole.

        On a file system whose rename does not replace (hdfs) there is an instant between the two without the file.
        """
        path = self.path(relative)
        self.file_system.makedirs(path.rpartition("/")[0], exist_ok=True)
        if self._is_local:
            temporary = f"{path}.{uuid.uuid4().hex}.tmp"
            Path(temporary).write_bytes(data)
            os.replace(temporary, path)  # noqa: PTH105
        elif _OBJECT_STORES & set(_protocols(self.file_system)):
            self.file_system.pipe_file(path, data)
        else:  # such as hdfs: a file is visible as it grows, a rename is one step
            temporary = f"{path}.{uuid.uuid4().hex}.tmp"
            self.file_system.pipe_file(temporary, data)
            if self.file_system.exists(path):
                self.file_system.rm_file(path)
            self.file_system.mv(temporary, path)
        return FileEntry(relative, len(data), hashlib.sha256(data).hexdigest())

    def read_bytes(self, relative: str) -> bytes | None:
        """Return a file's bytes; None where there is no such file."""
        try:
            return bytes(self.file_system.cat_file(self.path(relative)))
        except FileNotFoundError:
            return None

    # Tables

    def files(self, table: Table, shards: Sequence[int] | None = None) -> list[str]:
        """Return the committed files of a table, relative to the store, in shard order."""
        commits = self.commits(table)
        chosen = sorted(commits) if shards is None or not table.sharded else sorted(shards)
        missing = [shard for shard in chosen if shard not in commits]
        if missing or not commits:
            raise StoreError(f"{table.name} should have the shards asked for. Missing: {missing or 'all'}")
        return [each.path for shard in chosen for each in commits[shard].files]

    def read(self, spark: SparkSession, table: Table, shards: Sequence[int] | None = None) -> DataFrame:
        """Return a table, or some of its shards, as a DataFrame with one partition a file (session.py sees to that)."""
        urls = [self.url_of(name) for name in self.files(table, shards)]
        reader = spark.read.schema(spark_schema(table)).option("basePath", self.url_of(table.name))
        return conform(reader.parquet(*urls), table)

    def read_arrow(self, table: Table, columns: Sequence[str]) -> pa.Table:
        """Return some columns of a table in memory, without Spark; for small columns only."""
        schema = pa.schema([table.schema.field(name) for name in columns])
        parts = [
            pq.read_table(self.path(name), columns=list(columns), filesystem=self.file_system, partitioning=None)
            for name in self.files(table)
        ]
        return pa.concat_tables([each.select(list(columns)).cast(schema) for each in parts])

    def write(
        self,
        frame: DataFrame,
        table: Table,
        stamps: Mapping[int, Stamp],
        *,
        expected_rows: Mapping[int, int] | None = None,
    ) -> dict[int, Commit]:
        """Write the shards that ``stamps`` names from a frame whose every shard lies within one partition.

        Each task commits its own shards as it finishes them, so that a run that dies loses only what was in flight.
        ``expected_rows``: for a stage that keeps its input's rows; a shard with another number fails uncommitted.
        """
        before = self.commits(table)
        write = _PartitionWriter(self.url, table, dict(stamps), dict(expected_rows or {}))
        done = {row.shard for row in conform(frame, table).mapInArrow(write, "shard int").collect()}
        for shard in set(stamps) - done:
            write.write_empty(shard)
        after = self.commits(table)
        self._remove_superseded(before, after, stamps)
        return {shard: after[shard] for shard in stamps}

    def _remove_superseded(
        self, before: Mapping[int, Commit], after: Mapping[int, Commit], shards: Iterable[int]
    ) -> None:
        for shard in shards:
            kept = {each.path for each in after[shard].files}
            old = before[shard].files if shard in before else ()
            self._remove(each.path for each in old if each.path not in kept)

    def _remove(self, paths: Iterable[str]) -> None:
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                self.file_system.rm_file(self.path(path))

    def forget_shards(self, table: Table, num_shards: int) -> None:
        """Remove the shards that are no longer, after ``index.num_shards`` became smaller."""
        for shard, commit in self.commits(table).items():
            if shard >= num_shards:
                self._remove([_commit_path(commit), *(each.path for each in commit.files)])

    # Artifacts

    def upload(self, source: Path, relative: str) -> tuple[FileEntry, ...]:
        """Copy a local file or folder into the store; a folder's index.html goes last."""
        if source.is_file():
            return (self.write_bytes(relative, source.read_bytes()),)
        names = sorted(each for each in source.rglob("*") if each.is_file())
        names.sort(key=lambda name: name.name == "index.html")
        return tuple(self.write_bytes(f"{relative}/{name.relative_to(source)}", name.read_bytes()) for name in names)

    def commit_artifact(self, artifact: Artifact, files: Sequence[FileEntry], stamp: Stamp) -> Commit:
        """Make an uploaded artifact the current one, then remove the files of the one before."""
        before = self.commits(artifact)
        digest = digest_of({each.path.rpartition("/")[2]: each.sha256 for each in files})
        commit = self.commit(Commit(artifact.name, WHOLE, 0, digest, tuple(files), stamp))
        self._remove_superseded(before, {WHOLE: commit}, [WHOLE])
        return commit

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


def _commit_path(commit: Commit) -> str:
    name = "whole" if commit.shard == WHOLE else f"shard={commit.shard}"
    return f"_commits/{commit.output}/{name}.json"


def _protocols(file_system: Any) -> tuple[str, ...]:
    protocol = file_system.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


@dataclass(frozen=True)
class _PartitionWriter:
    """Writes and commits the shards of one partition; runs inside a Spark task."""

    url: str
    table: Table
    stamps: dict[int, Stamp]
    expected_rows: dict[int, int]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        store = Store(self.url)
        open_shards: dict[int, ShardWriter] = {}
        for batch in batches:
            for shard, rows in _split_by_shard(batch, self.table):
                if shard not in open_shards:
                    open_shards[shard] = ShardWriter(store.file_system, store.path(), self.table, shard)
                open_shards[shard].append(rows)
        for shard, writer in open_shards.items():
            self._commit(store, shard, writer)
        yield pa.RecordBatch.from_arrays([pa.array(sorted(open_shards), pa.int32())], names=["shard"])

    def write_empty(self, shard: int) -> None:
        """Commit a shard without rows; on the driver, once the job has shown that there are none."""
        store = Store(self.url)
        self._commit(store, shard, ShardWriter(store.file_system, store.path(), self.table, shard))

    def _commit(self, store: Store, shard: int, writer: ShardWriter) -> None:
        entry, num_rows = writer.close()
        expected = self.expected_rows.get(shard, num_rows)
        if num_rows != expected:
            raise StoreError(f"shard {shard} of {self.table.name} should have {expected} rows. Received: {num_rows}")
        if shard not in self.stamps:
            raise StoreError(f"{self.table.name} should have shards {sorted(self.stamps)}. Received: {shard}")
        store.commit(Commit(self.table.name, shard, num_rows, entry.sha256, (entry,), self.stamps[shard]))


def _split_by_shard(batch: pa.RecordBatch, table: Table) -> Iterator[tuple[int, pa.Table]]:
    rows = pa.Table.from_batches([batch])
    if not table.sharded:
        if rows.num_rows:
            yield WHOLE, rows
        return
    for shard in sorted(set(rows.column("shard").to_pylist())):
        mine = pa.compute.equal(rows.column("shard"), shard)
        yield shard, rows.filter(mine).drop_columns(["shard"])
