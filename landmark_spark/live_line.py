"""Puts how far a stage is into one line of a terminal: what matters most stays where the terminal is narrow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["GAP", "duration", "live_parts"]

GAP = "  "
"""Between two parts of the line."""

_BY_IMPORTANCE = ("stage", "shards", "left", "failures", "rate", "busy", "rows", "elapsed")
_IN_LINE = ("stage", "shards", "rows", "rate", "failures", "busy", "left", "elapsed")


def duration(seconds: float) -> str:
    """Write seconds as people say them, the roughlier the longer they are."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def live_parts(fields: Mapping[str, Any], seconds: float, width: int) -> dict[str, str]:
    """Return the parts of the line by kind, in its order; with GAP between them they have at most ``width`` characters.

    fields: of the stage's last progress event, or of the event that began it. seconds: since it began.
    """
    texts = {kind: text for kind, text in _texts(fields, seconds).items() if text}
    taken = {"stage"}
    room = width - len(texts["stage"])
    for kind in _BY_IMPORTANCE[1:]:
        if kind in texts:
            room -= len(GAP) + len(texts[kind])
            if room < 0:
                break
            taken.add(kind)
    return {kind: texts[kind][:width] for kind in _IN_LINE if kind in taken}


def _texts(fields: Mapping[str, Any], seconds: float) -> dict[str, str]:
    done, total, rows = fields.get("shards_done", 0), fields.get("shards_total", 1), fields.get("rows", 0)
    of_rows = f"/{fields['rows_total']:,}" if fields.get("rows_total") else ""
    failures, busy, left = (fields.get(each) for each in ("failures", "accelerator_busy", "eta_seconds"))
    return {
        "stage": fields["stage"],
        "shards": f"{done}/{total} shards" if total > 1 or rows else "",  # what is made whole has no other
        "rows": f"{rows:,}{of_rows} rows" if rows or of_rows else "",
        "rate": f"{fields['rows_per_second']:,.0f} rows/s" if rows else "",
        "failures": f"{failures:,} failed" if failures is not None else "",
        "busy": f"GPU {busy:.0%}" if busy is not None else "",
        "left": f"{duration(left)} left" if left is not None else "",
        "elapsed": _clock(seconds),
    }


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
