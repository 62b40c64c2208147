"""Counts rows by the values of a few columns, as batches pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

__all__ = ["OTHERS", "RowCounts", "are_counts_by", "count_by_first"]

OTHERS = "(others)"
"""Stands for the values with the fewest rows, where there are too many values."""

_MAX_ENTRIES = 1000  # some 40 KB of JSON: the commits of a thousand shards are read in a second


class RowCounts:
    """How many rows have which values of some string columns."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self._counts: Counter[tuple[str, ...]] = Counter()

    def add(self, rows: pa.Table) -> None:
        """Count more rows."""
        if not self._columns or not rows.num_rows:
            return
        groups = rows.select(self._columns).group_by(self._columns).aggregate([([], "count_all")])
        keys = zip(*(groups.column(name).to_pylist() for name in self._columns), strict=True)
        self._counts.update(dict(zip(keys, groups.column("count_all").to_pylist(), strict=True)))

    def nested(self) -> dict[str, Any]:
        """Return the counts nested in the order of the columns, innermost the number of rows.

        At most 1,000 innermost numbers: past that the smallest are summed up under OTHERS within their value of the
        first column, whose sum stays exact. (More only where the first column alone has more values.)
        """
        found: dict[str, Any] = {}
        for key, count in sorted(self._bounded().items()):
            inner = found
            for value in key[:-1]:
                inner = inner.setdefault(value, {})
            inner[key[-1]] = count
        return found

    def _bounded(self) -> Counter[tuple[str, ...]]:
        if len(self._counts) <= _MAX_ENTRIES:
            return self._counts
        by_size = sorted(self._counts.items(), key=lambda each: (-each[1], each[0]))
        fixed = 1 if len(self._columns) == 1 else len({key[0] for key in self._counts})  # room for every OTHERS
        num_kept = max(_MAX_ENTRIES - fixed, 0)
        bounded = Counter(dict(by_size[:num_kept]))
        for key, count in by_size[num_kept:]:
            first = key[:1] if len(key) > 1 else ()
            bounded[first + (OTHERS,) * (len(key) - len(first))] += count
        return bounded


def are_counts_by(columns: Sequence[str], counts: Mapping[str, Any]) -> bool:
    """Tell whether counts are nested as those of these columns are; none at all always are."""
    if len(columns) > 1:
        return all(isinstance(each, Mapping) and are_counts_by(columns[1:], each) for each in counts.values())
    return not counts or (len(columns) == 1 and not any(isinstance(each, Mapping) for each in counts.values()))


def count_by_first(counts: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Sum the counts of commits and notes by the first column that they count."""
    found: Counter[str] = Counter()
    for each in counts:
        for value, below in each.items():
            found[value] += _total(below)
    return found


def _total(counts: Any) -> int:
    return sum(_total(each) for each in counts.values()) if isinstance(counts, Mapping) else int(counts)
