"""Samples the memory of a Spark driver: its Python, its JVM, the JVM's live heap, and the Python workers below it."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any

import psutil

__all__ = ["DriverMemory"]

_INTERVAL = 0.25  # seconds between two looks at the processes
_GC_INTERVAL = 5.0  # seconds between two full collections: what is left after one is in use


class DriverMemory:
    """While it is open, notes the peaks; ``peaks`` are bytes. The session's JVM runs in this process's tree.

    driver_python and jvm: resident bytes. workers: resident bytes of all Python workers together, where pages that
    forked workers share count for each. jvm_live_heap: what the heap holds right after a full collection. cached_rows:
    of that, what a stage has persisted, which Spark drops to disk when the heap gets full; a local master holds it in
    the driver's JVM, a cluster in its executors.
    """

    def __init__(self, session: Any) -> None:
        self._jvm = session._jvm
        self._context = session.sparkContext._jsc.sc()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.live_heap_before = 0
        self.peaks: dict[str, int] = {}

    def __enter__(self) -> DriverMemory:
        self.live_heap_before = self.live_heap()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._look_at_heap()
        self._look()

    def live_heap(self) -> int:
        """Collect, and return the bytes that the JVM's heap still holds."""
        runtime = self._jvm.java.lang.Runtime.getRuntime()
        runtime.gc()
        return int(runtime.totalMemory() - runtime.freeMemory())

    def _watch(self) -> None:
        next_collection = time.monotonic() + _GC_INTERVAL
        while not self._ended.wait(_INTERVAL):
            self._look()
            if time.monotonic() >= next_collection:
                self._look_at_heap()
                next_collection = time.monotonic() + _GC_INTERVAL

    def _look_at_heap(self) -> None:
        cached = sum(int(each.memSize()) for each in self._context.getRDDStorageInfo())
        self._note("jvm_live_heap", self.live_heap())
        self._note("cached_rows", cached)

    def _look(self) -> None:
        driver = psutil.Process()
        sizes = {"driver_python": _resident(driver), "jvm": 0, "workers": 0}
        for child in driver.children(recursive=True):
            try:
                role = "jvm" if child.name() == "java" else "workers"
            except psutil.NoSuchProcess:
                continue
            sizes[role] += _resident(child)
        for role, size in sizes.items():
            self._note(role, size)

    def _note(self, role: str, size: int) -> None:
        self.peaks[role] = max(size, self.peaks.get(role, 0))


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
