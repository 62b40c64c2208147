"""Reads the rates that estimates are made with: one data file, each rate with its unit and where it comes from."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

__all__ = ["KINDS", "RATES_FILE", "Rate", "load_rates", "values_of"]

RATES_FILE = Path(__file__).with_name("rates.json")

KINDS = ("measured", "counted", "assumed")
"""measured: by a command, on hardware that is named. counted: follows from the code or the data, on any hardware.
assumed: published by others, or chosen; never measured here."""


@dataclass(frozen=True)
class Rate:
    """A rate: its value above 0 in a unit, and where it comes from.

    kind: a word of KINDS. source: of what was measured the command or run, of others who says so. hardware, date: of
    what was measured; "" for others.
    """

    value: float
    unit: str
    kind: str
    source: str
    hardware: str = ""
    date: str = ""

    def __post_init__(self) -> None:
        """Refuse a rate that says too little."""
        if not (isinstance(self.value, int | float) and math.isfinite(self.value) and self.value > 0):
            raise ValueError(f"a rate should be a number above 0. Received: {self.value!r}")
        if self.kind not in KINDS:
            raise ValueError(f"a rate's kind should be one of {', '.join(KINDS)}. Received: {self.kind!r}")
        if not (self.unit and self.source):
            raise ValueError(f"a rate should have a unit and a source. Received: {self!r}")
        if self.kind == "measured" and not (self.hardware and self.date):
            raise ValueError(f"a measured rate should name hardware and date. Received: {self!r}")


def load_rates(path: Path = RATES_FILE) -> dict[str, Rate]:
    """Return the rates by name. Raises ValueError for a file that is none of rates."""
    try:
        return {name: Rate(**values) for name, values in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"the rates should be readable. Received: {path} ({error})") from error


def values_of(rates: dict[str, Rate]) -> dict[str, float]:
    """Return the bare values, as ``core.estimates`` takes them."""
    return {name: float(each.value) for name, each in rates.items()}
