"""Brings rows that arrive in groups into a random order, within bounded memory, and cuts them into batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Batch", "RowGroup", "iterate_shuffled"]

Batch = tuple[Any, npt.NDArray[np.int32]]


@dataclass(frozen=True)
class RowGroup:
    """Rows that arrived together, as they lie in memory: none is copied before its batch is made.

    values: (N, D) array, or a list of N byte strings. labels: (N,) int32. chosen: (M,) places of the rows that count.
    """

    values: Any
    labels: npt.NDArray[np.int32]
    chosen: npt.NDArray[np.intp]


def iterate_shuffled(
    groups: Iterable[RowGroup],
    *,
    batch_size: int,
    window: int,
    seed: int | None,
    rank: int = 0,
    num_ranks: int = 1,
) -> Iterator[Batch]:
    """Yield every chosen row once, in batches (values, labels) of ``batch_size``, the last of what is left.

    window: rows that may be held at once. Each row is put off by a random number of rows below half of it, so that
    rows come out as steadily as they arrive; up to half a window of rows in all is simply permuted. seed: of the order;
    None keeps the order of arrival.
    rank, num_ranks: of each batch of b rows only [rank * b // num_ranks, (rank + 1) * b // num_ranks) is given, so that
    every rank gives the same number of batches; a slice may be empty.
    """
    waiting = _Waiting(window, seed)
    for group in groups:
        waiting.add(group)
        while waiting.num_due >= batch_size:
            yield waiting.take(batch_size, rank, num_ranks)
    waiting.end()
    while waiting.num_due:
        yield waiting.take(min(batch_size, waiting.num_due), rank, num_ranks)


class _Waiting:
    """The rows that were read and not given yet, by the number of rows read at which each is due."""

    def __init__(self, window: int, seed: int | None) -> None:
        self._random = None if seed is None else np.random.default_rng(seed)
        self._delay = window // 2
        self._num_read = 0.0
        self._num_groups = 0
        self._groups: dict[int, RowGroup] = {}
        self._due = np.zeros(0)  # ascending, as are the two below: a row's group and its place there
        self._numbers = np.zeros(0, np.intp)
        self._places = np.zeros(0, np.intp)

    @property
    def num_due(self) -> int:
        """Rows that can be given now."""
        return int(np.searchsorted(self._due, self._num_read, side="right"))

    def add(self, group: RowGroup) -> None:
        """Take rows in; let go of the groups that have none left."""
        size = len(group.chosen)
        if self._random is None:
            due = np.full(size, self._num_read)
        else:  # the rows of the first half window wait for its end, or those read first would come out first
            due = max(self._num_read, self._delay) + self._delay * self._random.random(size)
        due = np.concatenate([self._due, due])
        order = np.argsort(due, kind="stable")
        self._due = due[order]
        self._numbers = np.concatenate([self._numbers, np.full(size, self._num_groups)])[order]
        self._places = np.concatenate([self._places, group.chosen])[order]
        self._groups[self._num_groups] = group
        self._groups = {number: self._groups[number] for number in np.unique(self._numbers).tolist()}
        self._num_groups += 1
        self._num_read += size

    def end(self) -> None:
        """Say that no more rows come: all are due."""
        self._num_read = float("inf")

    def take(self, num_rows: int, rank: int, num_ranks: int) -> Batch:
        """Give a rank's slice of the next rows; drop them all."""
        mine = slice(rank * num_rows // num_ranks, (rank + 1) * num_rows // num_ranks)
        numbers, places = self._numbers[mine].tolist(), self._places[mine].tolist()
        labels = [self._groups[number].labels[place] for number, place in zip(numbers, places, strict=True)]
        rows = [self._groups[number].values[place] for number, place in zip(numbers, places, strict=True)]
        example = self._groups[int(self._numbers[0])].values
        self._due, self._numbers, self._places = self._due[num_rows:], self._numbers[num_rows:], self._places[num_rows:]
        return _joined(rows, example), np.array(labels, np.int32)


def _joined(rows: list[Any], example: Any) -> Any:
    """Return rows of arrays as one array (B, D), B = 0 too; byte strings stay a list."""
    if not isinstance(example, np.ndarray):
        return rows
    joined = np.empty((len(rows), *example.shape[1:]), example.dtype)
    for place, row in enumerate(rows):
        joined[place] = row
    return joined
