"""Counts things in words: one photo, two photos."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, thing: str, things: str = "") -> str:
    """Return ``1 photo``, ``2 photos``, ``1,800 photos``; things: of several, where that is more than an s behind."""
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"
