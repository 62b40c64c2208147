"""Reads from the headers of an answer whether its server keeps the picture from being used."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["has_opted_out", "product_names"]

_FIRST_WORD = re.compile(r"\A[A-Za-z0-9._-]+")
_PRODUCT = re.compile(r"(?<![^\s(;])[A-Za-z0-9._-]+(?=/)")  # not the parts of a URL
_DIRECTIVES_WITH_VALUE = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")


def product_names(user_agent: str) -> tuple[str, ...]:
    """Return the names by which a header can address a user agent, in lower case: "photo-reader/1.0 (x)" has one."""
    names = [*_FIRST_WORD.findall(user_agent), *_PRODUCT.findall(user_agent)]
    return tuple(dict.fromkeys(name.lower() for name in names))


def has_opted_out(
    robots_tags: Iterable[str], tdm_reservations: Iterable[str], *, directives: frozenset[str], names: tuple[str, ...]
) -> bool:
    """Tell whether headers say a directive to everybody, or to one of the names.

    Args:
        robots_tags: the values of X-Robots-Tag, as in Google's "Robots meta tags specifications": directives between
            commas, in any case, ``none`` meaning noindex; ``name: directive`` speaks, to the header's end or the next
            name, to user agents that have the name in theirs.
        tdm_reservations: the values of TDM-Reservation (W3C TDM Reservation Protocol); 1 counts as a directive.
        directives: those that count, in lower case; where there are none, nothing counts.
        names: of the user agent, from ``product_names``.
    """
    if not directives:
        return False
    if any(value.strip() == "1" for value in tdm_reservations):
        return True
    return any(_speaks(value.lower(), directives, names) for value in robots_tags)


def _speaks(value: str, directives: frozenset[str], names: tuple[str, ...]) -> bool:
    is_meant = True
    for part in value.split(","):
        addressee, colon, directive = part.rpartition(":")
        addressee = addressee.strip()
        if colon and addressee.startswith(_DIRECTIVES_WITH_VALUE):
            continue
        if colon:
            is_meant = addressee == "*" or any(addressee in name for name in names)
        word = directive.strip()
        if is_meant and (word in directives or (word == "none" and "noindex" in directives)):
            return True
    return False
