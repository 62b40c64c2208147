"""Lets a run that is interrupted end in order."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from types import FrameType
from typing import Any

__all__ = ["Interrupts"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C; what cluster managers and containers send
_SECONDS_TO_COME = 1.0  # until a Ctrl-C that ended Java first has reached this process too


class Interrupts:
    """Turns Ctrl-C and SIGTERM into KeyboardInterrupt within the block; the second of them ends the process at once.

    received: whether there was one. What it breaks on its way, a call to Java say, is not what went wrong.
    """

    def __init__(self) -> None:
        self.received = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        self._before = {each: signal.getsignal(each) for each in _SIGNALS}
        self.install()
        logging.getLogger().addFilter(_is_news)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeFilter(_is_news)
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
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.received = True
        raise KeyboardInterrupt


def _is_news(record: logging.LogRecord) -> bool:
    """Pass over what Py4J logs, with a stack trace, of the call that an interrupt broke: it is told in one line."""
    return not (record.exc_info and record.exc_info[0] is KeyboardInterrupt)
