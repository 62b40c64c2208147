"""Tells what happens in a run to whoever follows it: as lines for people, as events for machines."""

from __future__ import annotations

import contextlib
import datetime
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Event", "Lines", "Listener", "QueuedListener", "listener_of"]


@dataclass(frozen=True)
class Event:
    """Something that happened.

    name: one of those in docs/progress.md. line: what a log for people says of it; "" where it says nothing. fields:
    what a machine is told, by name; values that JSON knows. moment: when, UTC.
    """

    name: str
    line: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    moment: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))


class Listener:
    """Is told what happens in a run, by any thread and by signal handlers; called with a line, it hears a message.

    interval: seconds between two progress events.
    """

    interval = 10.0

    def __call__(self, line: str) -> None:
        """Hear a line that is no event of its own."""
        level = "warning" if "warning:" in line else "info"
        self.hear(Event("message", line, {"level": level, "message": line}))

    def hear(self, event: Event) -> None:
        """Hear an event."""
        raise NotImplementedError


class Lines(Listener):
    """Says the line of every event that has one."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def hear(self, event: Event) -> None:
        """Say its line."""
        if event.line:
            self._say(event.line)


def listener_of(tell: Callable[[str], None]) -> Listener:
    """Return what hears events where there may be only something that is told lines."""
    return tell if isinstance(tell, Listener) else Lines(tell)


class QueuedListener(Listener):
    """Writes in a thread of its own what it hears, one event after the other.

    Whoever tells never waits for a slow terminal, and a signal handler may tell in the middle of anything: two writes
    of one thread into one stream would break each other. To be used in a ``with`` block, whose end waits until all is
    written. What writing raises is raised by the next ``hear``, or that end: BrokenPipeError, where nobody reads.

    pause: seconds after which ``pass_time`` is called where nothing was heard; None for never.
    """

    pause: float | None = None

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_all, name="listener", daemon=True)
        self._error: Exception | None = None

    def __enter__(self) -> QueuedListener:
        self._thread.start()
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._events.put(None)
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def hear(self, event: Event) -> None:
        """Take it; it is written soon."""
        if self._error is not None:
            raise self._error
        self._events.put(event)

    def write(self, event: Event) -> None:
        """Write one event; called by the one thread."""
        raise NotImplementedError

    def pass_time(self) -> None:
        """Do what is due when nothing was heard for ``pause``; called by the one thread."""

    def close(self) -> None:
        """End; called by the one thread, also after an error."""

    def _write_all(self) -> None:
        try:
            while True:
                try:
                    event = self._events.get(timeout=self.pause)
                except queue.Empty:
                    self.pass_time()
                    continue
                if event is None:
                    return
                self.write(event)
        except Exception as error:
            self._error = error
        finally:
            with contextlib.suppress(Exception):
                self.close()
