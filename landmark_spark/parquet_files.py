"""Opens a Parquet file on any file system that fsspec knows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq

from landmark_spark.whole_files import is_local

__all__ = ["open_parquet"]


@contextlib.contextmanager
def open_parquet(file_system: Any, path: str) -> Iterator[pq.ParquetFile]:
    """Open a file; read it with ``use_threads=False``.

    pyarrow's threads may let go of the file when the program has ended, and abort it: a local disk needs none. From
    elsewhere pyarrow asks, ahead and in threads of its own, for the column chunks it needs in large pieces; a
    read-ahead of fsspec's would fetch others besides.
    """
    ahead = not is_local(file_system)
    with file_system.open(path, "rb", cache_type="none") as file, pq.ParquetFile(file, pre_buffer=ahead) as parquet:
        yield parquet
