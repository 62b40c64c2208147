"""Prints what was measured: JSON lines on stdout and nothing else there; people are spoken to on stderr."""

from __future__ import annotations

import json
import os
import sys
from types import TracebackType
from typing import Any

__all__ = ["BenchmarkError", "LineWriter", "rounded", "say"]


class BenchmarkError(RuntimeError):
    """A check of the benchmark failed, so that its figures would mean nothing; the message says which."""


class LineWriter:
    """Writes one JSON object a line to stdout, as a function; while it is open, all other output goes to stderr.

    Spark's JVM and its workers inherit file descriptor 1, so that it is the descriptor that is turned, not sys.stdout.
    """

    def __enter__(self) -> LineWriter:
        sys.stdout.flush()
        self._stdout = os.dup(1)
        os.dup2(2, 1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stdout.flush()
        os.dup2(self._stdout, 1)
        os.close(self._stdout)

    def __call__(self, benchmark: str, what: str, **values: Any) -> None:
        """Write one line: which benchmark, what the line says, and the values, floats to 4 significant digits."""
        line = json.dumps({"benchmark": benchmark, "what": what} | rounded(values), allow_nan=False)
        os.write(self._stdout, f"{line}\n".encode())


def rounded(value: Any) -> Any:
    """Return a JSON value with its floats rounded to 4 significant digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return value


def say(text: str) -> None:
    """Tell the person who waits."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
