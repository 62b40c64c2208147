"""Carries a line from a task to the person who runs the stage, through the store: executors' logs are far away."""

from __future__ import annotations

import contextlib
import uuid
from collections import Counter
from collections.abc import Callable

from landmark_spark.core.printable import printable
from landmark_spark.ledger import Ledger

__all__ = ["MESSAGES", "take_messages", "teller"]

MESSAGES = "_messages"
"""Folder of lines that were not taken yet: one below it for each stage."""


def teller(url: str, stage: str) -> Callable[[str], None]:
    """Return what leaves a line in the store of this URL. It never fails: a line is no reason to lose a task."""

    def tell(line: str) -> None:
        with contextlib.suppress(Exception):
            Ledger(url).write_bytes(f"{MESSAGES}/{stage}/{uuid.uuid4().hex}.json", line.encode(), durable=False)

    return tell


def take_messages(ledger: Ledger, stage: str) -> list[str]:
    """Return the lines that tasks have left, each once with how often it was said, and remove them."""
    with contextlib.suppress(Exception):
        found = ledger.json_files(MESSAGES, stage)
        ledger.remove(f"{MESSAGES}/{stage}/{name.rpartition('/')[2]}" for name in found)
        counts = Counter(map(printable, found.values()))
        return [f"{line} (said {count} times)" if count > 1 else line for line, count in sorted(counts.items())]
    return []
