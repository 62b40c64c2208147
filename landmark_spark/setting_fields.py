"""Declares one setting: a dataclass field with its doc line and its limits."""

from __future__ import annotations

from dataclasses import field
from typing import Any

__all__ = ["setting"]


def setting(default: Any, doc: str, **limits: Any) -> Any:
    """Declare a field. ``limits``: minimum, maximum (inclusive), above, below (exclusive), is_path.

    words: what a path may also say without being one. is_secret: it may hold a password. may_be_number: text that a
    number is taken for too.
    """
    return field(default=default, repr=not limits.get("is_secret", False), metadata={"doc": doc, **limits})
