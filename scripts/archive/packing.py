"""Writes a .tar.gz whose bytes depend on the files' names and contents alone."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from scripts.archive.interpreter import ArchiveError

__all__ = ["ArchiveWriter", "open_archive"]


class _Digested:
    """A file that notes the digest of what is read of it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.sha256.update(data)
        return data


class ArchiveWriter:
    """Adds files in the order in which they come; no owner, no time."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self.num_bytes = 0  # of all files, unpacked

    def add(self, source: Path, name: str, digest: str = "") -> None:
        """Add a file or a symbolic link; raise ArchiveError where its SHA-256 is not the one that its wheel gives."""
        if source.is_symlink():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, str(source.readlink())
            self._archive.addfile(entry)
            return
        with source.open("rb") as file:
            entry = self._entry(name, source.stat().st_size, executable=bool(source.stat().st_mode & 0o100))
            read = _Digested(file)
            self._archive.addfile(entry, read)  # type: ignore[arg-type]
        found = base64.urlsafe_b64encode(read.sha256.digest()).rstrip(b"=").decode()
        if digest not in ("", found):
            raise ArchiveError(f"{source} should be as its package has it. Received: another content; install it anew")

    def add_text(self, name: str, text: str, *, executable: bool = False) -> None:
        """Add a file that is nowhere but here."""
        data = text.encode()
        self._archive.addfile(self._entry(name, len(data), executable=executable), io.BytesIO(data))

    def _entry(self, name: str, size: int, *, executable: bool) -> tarfile.TarInfo:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, 0o755 if executable else 0o644
        self.num_bytes += size
        return entry


@contextmanager
def open_archive(path: Path, level: int) -> Iterator[ArchiveWriter]:
    """Give a writer of ``path``, which is there whole or not at all; ``level`` 0 (none) to 9 of gzip."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with (
            partial.open("wb") as raw,
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=level, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            yield ArchiveWriter(archive)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
