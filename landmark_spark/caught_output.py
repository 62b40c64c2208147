"""Keeps what Java and libraries write out of what a run shows: out of its live line, and out of its JSON log."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import TextIO

__all__ = ["CaughtError", "own_output"]

_OUTPUT, _ERROR = 1, 2  # the descriptors that Java, Python workers and native libraries write to, past Python
_SECONDS_TO_END = 1.0  # it takes a moment, unless the machine is very busy
_BYTES = 65536  # of one look into the pipe: what a pipe holds


@contextlib.contextmanager
def own_output() -> Iterator[TextIO]:
    """Give standard output to one writer within the block; what all others write there goes to standard error.

    Java keeps the standard output that it was started with: after the block it still writes to standard error.
    """
    try:
        is_real = sys.stdout.fileno() == _OUTPUT
    except (OSError, ValueError):  # a stream in memory has no descriptor
        is_real = False
    if not is_real:
        yield sys.stdout
        return
    sys.stdout.flush()
    kept = os.dup(_OUTPUT)
    os.dup2(_ERROR, _OUTPUT)
    try:
        with open(kept, "w", encoding="utf-8", closefd=False) as stream:
            yield stream
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        os.dup2(kept, _OUTPUT)
        os.close(kept)


class CaughtError:
    """Gives each line written on standard error to ``say``, within the block.

    Java keeps the pipe that it was started with: what it writes after the block goes on to the real standard error, as
    long as this process lives.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._end = uuid.uuid4().hex.encode()  # what is written into the pipe where the block ends
        self._ended = threading.Event()

    def __enter__(self) -> CaughtError:
        sys.stderr.flush()
        self._real = os.dup(_ERROR)
        self._reader, self._writer = os.pipe()
        os.dup2(self._writer, _ERROR)
        threading.Thread(target=self._read_all, name="caught error", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os.dup2(self._real, _ERROR)
        os.write(self._writer, self._end)
        self._ended.wait(_SECONDS_TO_END)

    def _read_all(self) -> None:
        rest = b""
        while not self._ended.is_set():
            before, end, after = (rest + os.read(self._reader, _BYTES)).partition(self._end)
            *lines, rest = before.split(b"\n")
            self._say_all([*lines, rest] if end and rest else lines)
            if end:
                self._pass_on(after)
                self._ended.set()
        while data := os.read(self._reader, _BYTES):
            self._pass_on(data)

    def _say_all(self, lines: list[bytes]) -> None:
        for line in lines:
            with contextlib.suppress(Exception):  # nobody may listen any more, and whoever writes must not wait
                self._say(line.decode(errors="replace").rstrip("\r"))

    def _pass_on(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._real, data)
