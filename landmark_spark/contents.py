"""Compares files of the store with what their commits say of them, byte for byte."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from landmark_spark.commits import FileEntry
from landmark_spark.ledger import Ledger
from landmark_spark.whole_files import is_local

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["check_file", "find_damage"]

_CHUNK = 4 << 20  # bytes read at once
_FILES_A_TASK = 32  # at most: starting a task takes as long as comparing a small file
_TASKS_A_CORE = 4  # so that a large file holds up few others
_DAMAGE = {errno.EIO, errno.EISDIR, errno.ENOTDIR}  # of this machine's disks; elsewhere EIO says anything


def find_damage(spark: SparkSession, url: str, files: Sequence[FileEntry]) -> dict[str, str]:
    """Read files of a store in Spark tasks; return what is wrong with those that are damaged, by path."""
    if not files:
        return {}

    def check(entry: FileEntry) -> tuple[str, str]:
        return entry.path, check_file(Ledger(url), entry)

    num_tasks = _num_tasks(len(files), spark.sparkContext.defaultParallelism)
    found = spark.sparkContext.parallelize(list(files), num_tasks).map(check).collect()
    return {path: fault for path, fault in found if fault}


def _num_tasks(num_files: int, num_cores: int) -> int:
    return min(num_files, max(_TASKS_A_CORE * num_cores, -(-num_files // _FILES_A_TASK)))


def check_file(ledger: Ledger, entry: FileEntry) -> str:
    """Return what is wrong with a committed file, in words; "" where its bytes are those that were committed.

    Raises OSError where nobody can say: a file that may not be read, or a store that is away for a while, is no reason
    to make anew, and to remove, what may be whole. A place on a disk that cannot be read any more is damage.
    """
    digest, num_bytes = hashlib.sha256(), 0
    try:
        with ledger.file_system.open(ledger.path(entry.path), "rb", cache_type="none") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                num_bytes += len(chunk)
    except FileNotFoundError:
        return f"{entry.path} is missing"
    except OSError as error:
        if not (is_local(ledger.file_system) and error.errno in _DAMAGE):
            raise
        return f"{entry.path} should be readable. Received: {error}"
    if num_bytes != entry.num_bytes:
        return f"{entry.path} should have {entry.num_bytes} bytes and has {num_bytes}"
    if digest.hexdigest() != entry.sha256:
        return f"{entry.path} has other bytes than were committed (SHA-256)"
    return ""
