"""Stage: records -> images, over HTTP, with a thread pool in each task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from landmark_spark.core.fetching import Fetched, FetchLimits, fetch_all, load_fetcher
from landmark_spark.core.images import ImageError, decode_image, encode_jpeg
from landmark_spark.core.records import resolve_url
from landmark_spark.core.resizing import resize_image, resize_to_fit
from landmark_spark.gpu import limit_native_threads
from landmark_spark.schemas import IMAGES
from landmark_spark.settings import Config, DownloadSettings
from landmark_spark.stages.context import Context
from landmark_spark.stages.index_images import file_digest
from landmark_spark.store import arrow_schema, conform, spark_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["address_of", "download_images"]

_ROWS_A_BATCH = 64
_WINDOW_A_THREAD = 16
_SCHEMA = arrow_schema(IMAGES)


def address_of(config: Config) -> dict[str, str]:
    """Return what the relative URLs count from, and which pictures lie there where that is known.

    A served folder counts by its path, since its port is new in each run; a toy world also by what it was drawn from.
    """
    found = {"base_url": config.base_url, "serve_folder": config.serve_folder}
    world = Path(config.serve_folder) / "world.json"
    if config.serve_folder and world.is_file():
        found["world"] = file_digest("serve_folder", str(world))
    return found


def download_images(context: Context, records: DataFrame) -> DataFrame:
    """Fetch, decode and resize every image; one that fails is a row with a status."""
    task = _Download(context.config.download, context.config.base_url)
    return conform(records.mapInArrow(task, spark_schema(IMAGES)), IMAGES)


@dataclass(frozen=True)
class _Download:
    """Fetches the records of one partition inside a Spark task."""

    settings: DownloadSettings
    base_url: str

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        limit_native_threads()
        settings = self.settings
        limits = FetchLimits(
            deadline=settings.deadline,
            connect_timeout=settings.connect_timeout,
            max_bytes=settings.max_bytes,
            max_attempts=settings.max_attempts,
            user_agent=settings.user_agent,
        )
        fetch = load_fetcher(limits, num_threads=settings.num_threads)
        jobs = ((None, record) for batch in batches for record in batch.to_pylist())
        # Rows come out in the order they went in: the window is wide, so that one slow URL holds up few others.
        rows = fetch_all(
            jobs,
            lambda record: self._row(record, fetch(resolve_url(record["url"], self.base_url))),
            num_threads=settings.num_threads,
            window=_WINDOW_A_THREAD * settings.num_threads,
        )
        waiting = []
        for _, row in rows:
            waiting.append(row)
            if len(waiting) == _ROWS_A_BATCH:
                yield _to_batch(waiting)
                waiting = []
        yield _to_batch(waiting)

    def _row(self, record: dict[str, Any], fetched: Fetched) -> dict[str, Any]:
        row = {name: record[name] for name in _SCHEMA.names if name in record} | {
            "status": fetched.status,
            "width": 0,
            "height": 0,
            "num_bytes": fetched.num_bytes,
            "num_attempts": fetched.num_attempts,
        }
        if fetched.body is None:
            return row
        try:
            return row | self._pictures(record, fetched.body)
        except ImageError as error:
            return row | {"status": error.status}

    def _pictures(self, record: dict[str, Any], body: bytes) -> dict[str, Any]:
        settings = self.settings
        image = decode_image(body, max_pixels=settings.max_pixels)
        square = resize_image(image, settings.image_size, mode=settings.resize_mode)
        is_reference = 0 <= record["reference_rank"] < settings.references_per_landmark
        large = None
        if record["split"] == "test" or is_reference:
            large = encode_jpeg(resize_to_fit(image, settings.large_side), settings.large_jpeg_quality)
        return {
            "image": encode_jpeg(square, settings.jpeg_quality),
            "large_image": large,
            "height": image.shape[0],
            "width": image.shape[1],
        }


def _to_batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=_SCHEMA)
