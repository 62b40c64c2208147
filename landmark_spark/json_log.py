"""Writes what happens in a run as JSON, one object a line, for machines; docs/progress.md has the fields."""

from __future__ import annotations

import json
from typing import TextIO

from landmark_spark.run_events import Event, QueuedListener

__all__ = ["LOG_FORMAT", "JsonLog", "json_line"]

LOG_FORMAT = 1
"""Grows when a field is renamed, goes, or gets another meaning; events and fields may be added without it."""


def json_line(event: Event) -> str:
    """Write an event: its time (UTC, ISO 8601, in milliseconds) and name, then its fields.

    Everything but ASCII is escaped, line ends too.
    """
    time = event.moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"time": time, "event": event.name, **event.fields}, allow_nan=False)


class JsonLog(QueuedListener):
    """Writes a line for every event."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def write(self, event: Event) -> None:
        """Write one event."""
        self._stream.write(f"{json_line(event)}\n")
        self._stream.flush()
