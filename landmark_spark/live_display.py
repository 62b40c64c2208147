"""Draws how far a run is on a terminal, in one live line below what is said; by rich."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from landmark_spark.caught_output import CaughtError
from landmark_spark.live_line import GAP, live_parts
from landmark_spark.run_events import Event, QueuedListener

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

__all__ = ["LiveDisplay", "can_draw"]

_STYLES = {"stage": "bold", "failures": "red", "elapsed": "dim"}
_CALM = "0 failed"
_LAST = ("stage_end", "stage_error", "interrupt")  # of a stage's events


def can_draw(stream: TextIO) -> bool:
    """Tell whether a line can be drawn anew on a stream: on a terminal that can move its cursor.

    Lines for people go to standard output, so that this one should be it: where it is a pipe, to ``tee`` say, they may
    end on the terminal all the same, in the middle of what is drawn there by another way.
    """
    if not stream.isatty() or not os.environ.get("TERM"):
        return False
    from rich.console import Console

    return Console(file=stream).is_interactive  # not where $TERM is dumb or unknown, or TTY_INTERACTIVE=0


class LiveDisplay(QueuedListener):
    """Says the line of every event, and draws those of progress over each other, below all others.

    What Java, say, writes on standard error, where that is the terminal too, comes above the drawn line as well.
    """

    interval = 1.0
    pause = 0.25

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        from rich.console import Console

        self._console = Console(file=stream, highlight=False)
        self._live: Live | None = None
        self._fields: Mapping[str, Any] = {}
        self._began = 0.0
        self._caught = contextlib.ExitStack()

    def __enter__(self) -> LiveDisplay:
        super().__enter__()
        if os.isatty(2):
            self._caught.enter_context(CaughtError(self))
        return self

    def __exit__(self, error: type[BaseException] | None, *rest: object) -> None:
        self._caught.close()
        super().__exit__(error, *rest)

    def write(self, event: Event) -> None:
        """Say the line of one event, or draw it."""
        if event.name == "progress":
            self._fields = event.fields
        elif event.line:
            self._say(event.line)
        if event.name == "stage_start":
            self._begin(event.fields)
        elif event.name in _LAST:
            self.close()
        self.pass_time()

    def pass_time(self) -> None:
        """Draw the line anew: its clock shows that the run is alive."""
        if self._live is not None:
            self._live.update(self._line(), refresh=True)

    def close(self) -> None:
        """Take the line away, if there is one."""
        if self._live is not None:
            live, self._live = self._live, None
            live.stop()

    def _say(self, line: str) -> None:
        from rich.text import Text

        # As it is: neither folded, which would break what is copied from there, nor cut, nor read as markup.
        self._console.print(Text(line), soft_wrap=True)

    def _begin(self, fields: Mapping[str, Any]) -> None:
        from rich.live import Live

        self.close()
        self._fields, self._began = fields, time.monotonic()
        self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stderr=False)
        self._live.start()
        self._console.show_cursor()  # a run that is killed leaves the terminal as it was

    def _line(self) -> Text:
        from rich.text import Text

        # The last column stays free: some terminals start a new line when it is written.
        parts = live_parts(self._fields, time.monotonic() - self._began, max(self._console.width - 1, 1))
        return Text(GAP, no_wrap=True, overflow="crop").join(
            Text(text, style="" if text == _CALM else _STYLES.get(kind, "")) for kind, text in parts.items()
        )
