"""Keeps work on the next items going while the results of earlier ones are used, and never on more than said."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = ["run_ahead"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_ahead(
    items: Iterable[Item], start: Callable[[Item], Callable[[], Result]], *, ahead: int
) -> Iterator[tuple[Item, Result]]:
    """Yield (item, result) in the order of the items; up to ``ahead`` items are begun beyond the one waited for.

    start: begins the work on an item and returns at once; what it returns waits for the result. Items are taken in the
    caller's thread, when a result is asked for: a source that must not be read from two threads is not.
    """
    if ahead < 0:
        raise ValueError(f"ahead should be at least 0. Received: {ahead}")
    waiting: deque[tuple[Item, Callable[[], Result]]] = deque()
    for item in items:
        waiting.append((item, start(item)))
        if len(waiting) > ahead:
            yield _first(waiting)
    while waiting:
        yield _first(waiting)


def _first(waiting: deque[tuple[Item, Callable[[], Result]]]) -> tuple[Item, Result]:
    item, wait = waiting.popleft()
    return item, wait()
