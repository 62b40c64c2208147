"""Reads the lines of a file that nobody vouches for: a line without an end costs no more memory than a long one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["MAX_LINE_BYTES", "bounded_lines"]

MAX_LINE_BYTES = 1_000_000
"""No reader of ours takes a longer line."""

_KEPT_BYTES = MAX_LINE_BYTES + 2  # more than allowed, also without a carriage return at its end
_CHUNK_BYTES = 1 << 16


def bounded_lines(file: Any) -> Iterator[bytes]:
    r"""Yield the lines of a file opened with "rb", as iterating over it does: they end at ``\n`` alone.

    Of a line longer than MAX_LINE_BYTES the beginning is kept, which is still longer, and the rest read past. It is
    blank only where the whole line is.
    """
    begun = b""
    while chunk := file.read(_CHUNK_BYTES):
        *ended, last = chunk.split(b"\n")
        for piece in ended:
            yield _joined(begun, piece) + b"\n"
            begun = b""
        begun = _joined(begun, last)
    if begun:
        yield begun


def _joined(begun: bytes, piece: bytes) -> bytes:
    room = max(_KEPT_BYTES - len(begun), 0)
    joined = begun + piece[:room]
    if len(piece) > room and not joined.strip():
        joined += piece[room:].strip()[:1]
    return joined
