"""Stage: records -> images, over HTTP; each task fetches and decodes in a child process with a pool of threads."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from landmark_spark.child_process import Cause, Done, Report, Submit
from landmark_spark.core.records import resolve_url
from landmark_spark.core.statuses import matches_status
from landmark_spark.core.urls import parse_http_url
from landmark_spark.isolation import Window, run_isolated
from landmark_spark.schemas import IMAGES, RECORDS
from landmark_spark.settings import Config, DownloadSettings
from landmark_spark.stages.context import Context
from landmark_spark.stages.download_worker import Downloaded, Job, worker_of
from landmark_spark.stages.earlier_attempts import Earlier
from landmark_spark.stages.index_images import file_digest
from landmark_spark.store import MadeInTasks, arrow_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["address_of", "download_images"]

_ROWS_A_BATCH = 64
_RUNNING_A_THREAD = 16  # so that hosts which must wait leave work for the threads
_MAX_RUNNING = 256  # jobs that a child which takes none any more still has room for
_MAX_WAITING = 4096  # rows come out in the order they went in: one slow URL holds up few others
_MAX_WAITING_BYTES = 128_000_000
_MAX_SHARDS_A_TASK = 8  # what a task that is killed has in flight at most
_SCHEMA = arrow_schema(IMAGES)

# What a server that ends makes of a URL, and a pause of the network as well:
_STATUSES_WITHOUT_SERVER = ("connection_failed", "host_unavailable", "truncated", "timeout", "empty_body")
_SECONDS_TO_CONNECT = 5.0


class ServerGoneError(RuntimeError):
    """The run's own server does not answer any more: what became of a URL says nothing of its picture."""


def address_of(config: Config) -> dict[str, str]:
    """Return what the relative URLs count from, and which pictures lie there where that is known.

    A served folder counts by its path, since its port is new in each run; a toy world also by what it was drawn from.
    """
    found = {"base_url": _without_credentials(config.base_url), "serve_folder": config.serve_folder}
    world = Path(config.serve_folder) / "world.json"
    if config.serve_folder and world.is_file():
        found["world"] = file_digest("serve_folder", str(world))
    return found


def download_images(context: Context, records: DataFrame) -> MadeInTasks:
    """Fetch, decode and resize every image; one that fails is a row with a status."""
    store, settings, base_url = context.store, context.config.download, context.config.base_url
    num_cores = context.spark.sparkContext.defaultParallelism
    fresh = [shard for shard in context.shards if shard not in context.retried]
    frames = [(store.read(context.spark, IMAGES, context.retried), len(context.retried))] if context.retried else []
    if fresh:
        frames.append((store.read(context.spark, RECORDS, fresh) if frames else records, len(fresh)))
    num_tasks = [_num_tasks(num_shards, num_cores) for _, num_shards in frames]
    before = {shard: commit.files for shard, commit in store.commits(IMAGES).items()}
    num_at_once = min(sum(num_tasks), num_cores)
    if num_at_once > settings.max_connections_per_host:
        context.tell(
            f"download_images: warning: {num_at_once} tasks at once have a connection to a host each, "
            f"max_connections_per_host is {settings.max_connections_per_host}"
        )
    worker = worker_of(settings, base_url=base_url, num_tasks=num_at_once)
    earlier = Earlier(store.url, before)
    task = _Download(settings, base_url, worker, frozenset(context.retry), earlier, serves=context.serves)
    return MadeInTasks(tuple(frame.coalesce(count) for (frame, _), count in zip(frames, num_tasks, strict=True)), task)


def _num_tasks(num_shards: int, num_cores: int) -> int:
    """Return how many tasks fetch some shards: of several shards, a task fetches on while a slow URL holds up one."""
    return min(num_shards, max(num_cores, -(-num_shards // _MAX_SHARDS_A_TASK)))


@dataclass(frozen=True)
class _Download:
    """Makes the rows of one partition inside a Spark task: of records all, of images those whose status is retried.

    serves: base_url is the run's own server. A task may outlive it, on an executor that has yet to hear of the run's
    end: then it fails, lest its shard be committed with failures that are none of the pictures'.
    """

    settings: DownloadSettings
    base_url: str = field(repr=False)
    worker: Callable[[Report], Submit[Job]]
    retry: frozenset[str]
    earlier: Earlier
    serves: bool = False

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        num_threads = self.settings.num_threads
        max_running = max(num_threads, min(_RUNNING_A_THREAD * num_threads, _MAX_RUNNING))
        window = Window(max_running, _MAX_WAITING, _MAX_WAITING_BYTES, patience=self.settings.decode_timeout)
        under_way: deque[dict[str, Any]] = deque()

        def jobs() -> Iterator[Job | Done[Downloaded | None]]:
            for row, is_made in self.earlier.rows(row for batch in batches for row in batch.to_pylist()):
                under_way.append(row)
                yield _kept(row) if is_made else self._job(row)

        waiting = []
        for result in run_isolated(jobs(), self.worker, _lost, window=window):
            row = under_way.popleft()
            if self.serves and result is not None and result.status in _STATUSES_WITHOUT_SERVER:
                _check_server(self.base_url)
            if result is not None and not _changes_nothing(row, result):
                self._fill(row, result)
            waiting.append(row)
            if len(waiting) == _ROWS_A_BATCH:
                yield _batch(waiting)
                waiting = []
        yield _batch(waiting)

    def _job(self, row: dict[str, Any]) -> Job | Done[Downloaded | None]:
        if "status" in row and not matches_status(row["status"], self.retry):
            return _kept(row)
        is_reference = 0 <= row["reference_rank"] < self.settings.references_per_landmark
        with_large = self.settings.large_images == "all" or row["split"] == "test" or is_reference
        return Job(resolve_url(row["url"], self.base_url), with_large=with_large)

    def _fill(self, row: dict[str, Any], result: Downloaded) -> None:
        """Put what became of a row's URL into it."""
        num_attempts = row.get("num_attempts", 0)
        row.update(vars(result))  # by the same names
        row["num_attempts"] += num_attempts
        row["host"] = _host(resolve_url(row["url"], self.base_url))
        row["final_url"] = result.final_url.removeprefix(self._base)

    @cached_property
    def _base(self) -> str:
        return _without_credentials(self.base_url).rstrip("/") + "/"


def _batch(rows: Sequence[dict[str, Any]]) -> pa.RecordBatch:
    columns = [pa.array([row[each.name] for row in rows], each.type) for each in _SCHEMA]
    return pa.RecordBatch.from_arrays(columns, schema=_SCHEMA)


def _changes_nothing(row: dict[str, Any], result: Downloaded) -> bool:
    """Tell whether a retry failed as before: then its row stays as it is, and nothing that reads it becomes stale."""
    return row.get("status") == result.status and result.image is None


def _kept(row: dict[str, Any]) -> Done[Downloaded | None]:
    return Done(None, num_bytes=len(row["image"] or b"") + len(row["large_image"] or b""))


def _lost(_: Job, cause: Cause) -> Downloaded | None:
    return Downloaded({"crash": "decoder_crash", "timeout": "decoder_timeout"}[cause])


def _check_server(base_url: str) -> None:
    url = parse_http_url(base_url)
    assert url is not None  # the run's own
    try:
        socket.create_connection((url.host, url.port), _SECONDS_TO_CONNECT).close()
    except OSError as error:
        raise ServerGoneError(
            f"the run's own server of pictures should answer as long as the run lasts. Received from {url}: {error}"
        ) from error


def _without_credentials(url: str) -> str:
    return str(parse_http_url(url) or "")


def _host(url: str) -> str:
    found = parse_http_url(url)
    return found.host if found else ""
