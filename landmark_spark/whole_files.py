"""Puts files in place whole: whoever looks sees the old file or the new one, on every kind of file system.

* local: written beside its place under a name that Spark and pyarrow pass over, brought to the disk, then renamed.
  Without the flush a power loss could leave a commit, which names the file, and the file empty.
* object stores: an object is there when its put is complete. What is written piece by piece is gathered in a local
  temporary file first: an upload that is open while a task fails is completed when Python clears it away.
* others, such as hdfs: a file is visible as it grows, a rename is one step. Where a rename does not replace, there is
  an instant without the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["UNFINISHED", "WholeFile", "is_local", "is_object_store", "protocols", "write_whole"]

UNFINISHED = "_writing-"
"""What the name of a file begins with while it is written, followed by the name that it will have. The leading _ makes
it no part of a table for any reader."""


_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"}
_S3_OPTIONS = {"chunksize": 8 << 20}  # ten parts at once are in memory, twice: with its own 50 MB a GB a task


def protocols(file_system: Any) -> frozenset[str]:
    """Return the URL schemes of an fsspec file system."""
    protocol = file_system.protocol
    return frozenset({protocol} if isinstance(protocol, str) else protocol)


def is_local(file_system: Any) -> bool:
    """Return whether a file system is this machine's."""
    return "file" in protocols(file_system)


def write_whole(file_system: Any, path: str, data: bytes, *, durable: bool = True) -> None:
    """Write a small file so that a reader sees the old one or the new one.

    durable: on the local file system, bring it to the disk before it is seen.
    """
    if is_object_store(file_system):
        file_system.pipe_file(path, data)
        return
    file = WholeFile(file_system, path)
    try:
        file.write(data)
        file.place(durable=durable)
    finally:
        file.discard()


class WholeFile:
    """A file for writing that appears at its path by ``place``, whole, or not at all; knows its length and SHA-256."""

    def __init__(self, file_system: Any, path: str) -> None:
        self._file_system = file_system
        self._path = path
        folder, _, name = path.rpartition("/")
        self._written = f"{folder}/{UNFINISHED}{name}-{uuid.uuid4().hex}"
        self._file: Any
        if is_object_store(file_system):  # no folders there, and none is made: it would make the bucket too
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - without a name: it goes with a killed process
            self._written = f"/dev/fd/{self._file.fileno()}"
        elif is_local(file_system):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._file = Path(self._written).open("wb")  # noqa: SIM115 - closed by place or discard
        else:
            file_system.makedirs(folder, exist_ok=True)
            self._file = file_system.open(self._written, "wb")
        self._hash = hashlib.sha256()
        self._is_placed = False
        self.num_bytes = 0
        self.closed = False  # pyarrow asks for it, and writes

    def write(self, data: Any) -> int:
        """Append bytes."""
        with _named_errors(self._path):
            self._file.write(data)
        self._hash.update(data)
        self.num_bytes += len(data)
        return len(data)

    def sha256(self) -> str:
        """Return the digest of what was written, in hex."""
        return self._hash.hexdigest()

    def place(self, *, durable: bool = True) -> None:
        """Close the file and show it at its path."""
        with _named_errors(self._path):
            self._show(durable=durable)
        self._is_placed = True

    def _show(self, *, durable: bool) -> None:
        self._file.flush()
        if is_object_store(self._file_system):
            options = _S3_OPTIONS if "s3" in protocols(self._file_system) else {}
            self._file_system.put_file(self._written, self._path, **options)
            self._close()
        elif is_local(self._file_system):
            if durable:
                os.fsync(self._file.fileno())
            self._close()
            Path(self._written).replace(self._path)
            if durable:
                _keep_name(Path(self._path).parent)
        else:
            self._close()
            if self._file_system.exists(self._path):
                self._file_system.rm_file(self._path)
            self._file_system.mv(self._written, self._path)

    def discard(self) -> None:
        """Remove what was written; nothing where it has been placed. Never fails: there is an error to tell already."""
        if self._is_placed:
            return
        with contextlib.suppress(Exception):
            self._close()
        with contextlib.suppress(Exception):
            if not is_object_store(self._file_system):
                self._file_system.rm_file(self._written)

    def _close(self) -> None:
        self.closed = True
        self._file.close()


@contextlib.contextmanager
def _named_errors(path: str) -> Iterator[None]:
    """Let the error of a full disk, which the system says of a number only, say which file it was."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = path
        raise


def is_object_store(file_system: Any) -> bool:
    """Return whether a put is all or nothing there, so that nothing unfinished is ever seen."""
    return bool(_OBJECT_STORES & protocols(file_system))


def _keep_name(folder: Path) -> None:
    """Bring a folder's names to the disk; some network file systems cannot, and keep them in order by themselves."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
