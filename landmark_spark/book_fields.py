"""What the files that the store keeps its books in may hold: others can write there too, and it is shown to people."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["WHOLE", "are_counts", "are_lines", "is_count", "is_name", "is_shard"]

WHOLE = -1
"""Shard number of an output that is not sharded."""


def are_lines(*values: object) -> bool:
    """Tell whether values are texts that can be printed: nothing that a terminal obeys, nor what UTF-8 cannot hold."""
    return all(isinstance(each, str) and each.isprintable() for each in values)


def is_name(value: object) -> bool:
    """Tell whether a value is one part of a path, which leads no higher."""
    if not (isinstance(value, str) and value.isprintable()):
        return False
    return value not in ("", ".", "..") and not set(value) & set("/\\")


def is_count(value: object) -> bool:
    """Tell whether a value is a number of something, of a size that a table could hold."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def is_shard(value: object) -> bool:
    """Tell whether a value is the number of a shard, or WHOLE."""
    return is_count(value) or (isinstance(value, int) and value == WHOLE)


def are_counts(values: object) -> bool:
    """Tell whether a value is numbers of rows by values of columns, nested in any way."""
    if not isinstance(values, Mapping):
        return False
    return all(
        isinstance(key, str) and (is_count(value) or (isinstance(value, Mapping) and are_counts(value)))
        for key, value in values.items()
    )
