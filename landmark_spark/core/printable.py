"""Makes a text fit for a line on a terminal or a page."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: str) -> str:
    """Return the text on one line, with a replacement character for what a terminal would obey or cannot show."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
