"""Samples the resident memory of this process over time: does it grow, or is it flat?"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType

import psutil

__all__ = ["MemoryCurve", "quarter_peaks"]

_INTERVAL = 0.05  # seconds between two looks


class MemoryCurve:
    """While it is open, notes (seconds of time.monotonic, resident bytes) in ``samples``."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, int]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryCurve:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        process = psutil.Process()
        while True:
            self.samples.append((time.monotonic(), int(process.memory_info().rss)))
            if self._ended.wait(_INTERVAL):
                return


def quarter_peaks(samples: Sequence[tuple[float, int]], start: float, end: float) -> list[int]:
    """Return the peak in each quarter of the time from start to end, in bytes.

    A quarter in which nobody looked has that of the quarter before it, the first that of the first sample.
    """
    peaks: list[int] = []
    for quarter in range(4):
        begins = start + quarter * (end - start) / 4
        ends = start + (quarter + 1) * (end - start) / 4
        within = [size for moment, size in samples if begins <= moment <= ends]
        peaks.append(max(within, default=peaks[-1] if peaks else samples[0][1]))
    return peaks
