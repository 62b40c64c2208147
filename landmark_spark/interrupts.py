"""Lets a run that is interrupted end in order."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["AGAIN", "GOING_ON", "Interrupted", "Interrupts"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C; what cluster managers and containers send
_LOGGERS = (None, "py4j.clientserver", "py4j.java_gateway")  # a filter does not hold for the loggers below
_SECONDS_TO_COME = 1.0  # until a Ctrl-C that ended Java first has reached this process too
_SECONDS_AS_ONE = 2.0  # spark-submit's Java, ended by a Ctrl-C, sends SIGTERM after it

GOING_ON = "interrupted: what was committed stays; the same command goes on from there"

AGAIN = (
    "interrupted: what was committed stays; the same command makes all of it anew, without --force it makes what is "
    "not up to date"
)


class Interrupted(KeyboardInterrupt):
    """A run was interrupted, has ended in order, and has said so."""


class Interrupts:
    """Turns Ctrl-C and SIGTERM into KeyboardInterrupt within the block; the second, later, ends the process at once.

    tell: is told ``how_to_go_on`` as soon as one comes; where spark-submit started this process, what is printed passes
    through a Java that ends soon. received: whether one came. What it breaks on its way, a call to Java say, is not
    what went wrong.
    """

    def __init__(self, tell: Callable[[str], None], how_to_go_on: str = GOING_ON) -> None:
        self.received = False
        self._tell = tell
        self._how_to_go_on = how_to_go_on
        self._since = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        self._before = {each: signal.getsignal(each) for each in _SIGNALS}
        self.install()
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_is_news)
        return self

    def __exit__(self, *_: object) -> None:
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(_is_news)
        if threading.current_thread() is threading.main_thread():
            for each, handler in self._before.items():
                signal.signal(each, handler)

    def install(self) -> None:
        """Be the one who is told; again after Spark has started, which puts a handler of its own there."""
        if threading.current_thread() is threading.main_thread():  # others may not
            for each in _SIGNALS:
                signal.signal(each, self._heed)

    def came_with(self, error: BaseException) -> bool:
        """Whether an error came of an interrupt, one that may be still on its way."""
        if not self.received and type(error).__module__.startswith("py4j"):
            deadline = time.monotonic() + _SECONDS_TO_COME
            while not self.received and time.monotonic() < deadline:
                time.sleep(0.05)
        return self.received or isinstance(error, KeyboardInterrupt)

    def _heed(self, number: int, _: FrameType | None) -> None:
        if self.received:
            if time.monotonic() - self._since > _SECONDS_AS_ONE:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        self.received = True
        self._since = time.monotonic()
        with contextlib.suppress(Exception):  # nobody may listen any more
            self._tell(self._how_to_go_on)
        raise KeyboardInterrupt


def _is_news(record: logging.LogRecord) -> bool:
    """Pass over the stack traces that Py4J logs, of a call or a connection that broke: it raises the error too."""
    return not (record.exc_info and f"{os.sep}py4j{os.sep}" in record.pathname)
