"""Puts connections under a deadline: when it passes, they are shut down, whatever the server is doing with them.

A timeout of a socket starts anew with every byte, so a server that drips bytes can hold a client for hours. Here one
watchdog shuts down the connection of each deadline that passes, which ends every wait for it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections import OrderedDict

__all__ = ["Deadline", "Watchdog"]

_IDLE_SECONDS = 5.0  # after which a watchdog without work ends


class Deadline:
    """The end of one URL's time, and the connection to shut down when it comes."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._watched = -1

    def remaining(self) -> float:
        """Return the seconds left, below 0 once it has passed."""
        return self.end - time.monotonic()

    def watch(self, connected: socket.socket) -> None:
        """Watch a connection in place of the one before.

        A duplicate of its descriptor is kept: it stays valid while TLS wraps the socket or a response takes it over.
        """
        self.release()
        with self._lock:
            self._watched = os.dup(connected.fileno())
        if self.remaining() <= 0:
            self.cut()

    def cut(self) -> None:
        """Shut the connection down, which ends every wait for it at once."""
        with self._lock:
            if self._watched >= 0:
                watched = socket.socket(fileno=self._watched)
                with contextlib.suppress(OSError):
                    watched.shutdown(socket.SHUT_RDWR)
                watched.detach()

    def release(self) -> None:
        """Let go of the connection: else the duplicate would hold it open after it is closed."""
        with self._lock:
            if self._watched >= 0:
                os.close(self._watched)
            self._watched = -1


class Watchdog:
    """One thread that cuts the connections of all deadlines that pass; it starts with the first and ends when idle.

    All deadlines are ``seconds`` long, so that they pass in the order in which they start.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._changed = threading.Condition()
        self._deadlines: OrderedDict[Deadline, None] = OrderedDict()
        self._thread: threading.Thread | None = None

    def start(self) -> Deadline:
        """Return a new deadline, whose connection is cut when it passes before it is finished."""
        with self._changed:
            deadline = Deadline(self._seconds)
            self._deadlines[deadline] = None
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="fetch-watchdog", daemon=True)
                with contextlib.suppress(RuntimeError):  # the system has no thread left: the next start tries again
                    self._thread.start()
            elif len(self._deadlines) == 1:  # else it wakes in time for an earlier one
                self._changed.notify()
        return deadline

    def finish(self, deadline: Deadline) -> None:
        """Forget a deadline."""
        with self._changed:
            self._deadlines.pop(deadline, None)
        deadline.release()

    def _run(self) -> None:
        with self._changed:
            while self._deadlines or self._changed.wait(_IDLE_SECONDS) or self._deadlines:
                first = next(iter(self._deadlines), None)
                if first is None:
                    continue
                if first.remaining() > 0:
                    self._changed.wait(first.remaining())
                else:
                    del self._deadlines[first]
                    first.cut()
            self._thread = None
