"""Parquet -> batches for training, through petastorm."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from landmark_spark.core.batching import Batch, iterate_shuffled
from landmark_spark.core.training_rows import Part, RowChoice
from landmark_spark.feed_rows import LABEL, FeedError, check_columns, chosen_labels, feature_groups, picture_groups
from landmark_spark.feed_worker import Reading, name_of, read_footers

__all__ = ["Batch", "FeedError", "Part", "count_labels", "iterate_batches", "read_row_groups"]

Column = Literal["features", "image"]

_SECONDS_TO_ARRIVE = 10.0  # for a row group that petastorm said would not come


def iterate_batches(  # noqa: PLR0913 - a training has this many choices
    urls: Sequence[str],
    part: Part,
    *,
    batch_size: int,
    validation_fraction: float,
    seed: int,
    shuffle_rows: int = 8192,
    column: Column = "features",
    rank: int = 0,
    num_ranks: int = 1,
) -> Iterator[Batch]:
    """Yield every row of a part of the training images exactly once, in batches.

    urls: of the Parquet files, all in one store; of any scheme that fsspec knows.
    part: "train", "validation" (what is held out of it) or "everything" (both).
    column: "features" gives (B, D) float16; "image" a list of B JPEGs, of rows whose status is ok. labels: (B,) int32.
    The last batch may be smaller. What is trained on is shuffled by the seed: row groups in a random order, then rows
    among ``shuffle_rows`` that are held (16 KB a row for VGG16, so 134 MB by default); the same seed gives the same
    order. The held-out part keeps the order of the files.
    rank, num_ranks: of each batch of b rows only [rank * b // num_ranks, (rank + 1) * b // num_ranks), perhaps none.
    Raises FeedError for a label or a value that is missing.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size should be at least 1. Received: {batch_size}")
    if not 0 <= rank < num_ranks:
        raise ValueError(f"rank should be at least 0 and below num_ranks. Received: {rank} of {num_ranks}")
    choice = RowChoice(part, validation_fraction, with_status=column == "image")
    order_seed = None if part == "validation" else seed
    to_groups = picture_groups if column == "image" else feature_groups
    yield from iterate_shuffled(
        to_groups(read_row_groups(urls, choice, column, seed=order_seed), choice, column),
        batch_size=batch_size,
        window=shuffle_rows,
        seed=order_seed,
        rank=rank,
        num_ranks=num_ranks,
    )


def count_labels(
    urls: Sequence[str], part: Part, *, num_classes: int, validation_fraction: float, column: Column = "features"
) -> npt.NDArray[np.int64]:
    """Return how many rows of a part each class has, (num_classes,): of those that ``iterate_batches`` would give.

    Reads the small columns alone. Raises FeedError for a label that is missing or not below num_classes.
    """
    choice = RowChoice(part, validation_fraction, with_status=column == "image")
    counts = np.zeros(num_classes, np.int64)
    for labels in chosen_labels(read_row_groups(urls, choice, None, seed=None), choice):
        if len(labels) and labels.max() >= num_classes:
            raise FeedError(f"{LABEL} should be below {num_classes}. Received: {labels.max()}")
        counts += np.bincount(labels, minlength=num_classes)
    return counts


def read_row_groups(
    urls: Sequence[str],
    choice: RowChoice,
    column: Column | None,
    *,
    seed: int | None,
    pool: Literal["thread", "process", "dummy"] = "thread",
) -> Iterator[pa.Table]:
    """Yield each row group that may have chosen rows once: in a random order, or in that of the files without a seed.

    What the files' own statistics rule out is not read. column: the one wanted besides those that choose, if any.
    pool: what petastorm reads in, ahead of the caller; one worker, for with more the order is not repeated.
    """
    from petastorm.fs_utils import get_filesystem_and_path_or_paths
    from petastorm.reader import Reader

    if not urls:
        raise FeedError("urls should name at least one file. Received: none")
    # petastorm 0.12.1 uses names that pyarrow 14 still has and says that a later one has not; ours is pinned.
    warnings.filterwarnings("ignore", category=FutureWarning, module="petastorm")
    file_system, paths = get_filesystem_and_path_or_paths(list(urls), filesystem=_file_system(urls[0]))
    columns = (LABEL, *choice.columns, *((column,) if column else ()))
    reading = Reading(read_footers(file_system, paths), choice, columns, seed)
    for footer in reading.footers.values():
        check_columns(footer.schema.to_arrow_schema(), columns)
    left = set(reading.wanted())
    if not left:
        return
    files = {path for path, _ in left}
    with Reader(
        file_system,
        [path for path in paths if path in files],
        schema_fields=list(columns),
        worker_class=reading,
        reader_pool=_make_pool(pool),
        shuffle_row_groups=False,  # the worker has the order
        num_epochs=1,
        is_batched_reader=True,
    ) as reader:
        while left:
            table = _next_table(reader)
            if name_of(table) not in left:
                raise FeedError(f"each row group should come once. Received: {name_of(table)} again")
            left.remove(name_of(table))
            yield table


def _make_pool(name: str) -> Any:
    from petastorm.reader_impl.arrow_table_serializer import ArrowTableSerializer
    from petastorm.workers_pool.dummy_pool import DummyPool
    from petastorm.workers_pool.process_pool import ProcessPool
    from petastorm.workers_pool.thread_pool import ThreadPool

    if name == "process":
        return ProcessPool(1, ArrowTableSerializer())
    return ThreadPool(1) if name == "thread" else DummyPool()


def _next_table(reader: Any) -> pa.Table:
    """Return the next row group, of which the caller knows that it is on its way.

    petastorm's pools find their end by comparing counters that another thread moves, and may see it too early.
    """
    from petastorm.workers_pool import EmptyResultError

    give_up = time.monotonic() + _SECONDS_TO_ARRIVE
    while True:
        try:
            return next(reader)
        except EmptyResultError:
            if time.monotonic() > give_up:
                raise FeedError("every row group should come. Received: the end before the last one") from None
            time.sleep(0.01)


def _file_system(url: str) -> Any:
    """Return what petastorm lists and we read a store by.

    petastorm asks pyarrow for the older kind of data set, which takes the older kind of file system and no other.
    """
    from pyarrow.filesystem import FileSystem

    below = fsspec.core.url_to_fs(url)[0]
    is_local = url.startswith("file://")

    class Readable(FileSystem):  # type: ignore[misc]
        """As much of a file system as reading files by name needs."""

        def isfile(self, path: str) -> bool:  # noqa: ARG002
            return True  # the names are those of commits; petastorm asks three times a pass, a request each

        def isdir(self, path: str) -> bool:  # noqa: ARG002
            return False

        def open(self, path: str, mode: str = "rb") -> Any:
            if is_local:
                return pa.OSFile(path, mode)  # read without Python's lock
            return below.open(path, mode, cache_type="none")  # column chunks are asked for whole: no read-ahead

    return Readable()
