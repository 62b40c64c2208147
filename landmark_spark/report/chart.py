"""Says what a chart shows, in plain values: the page draws it with the library, and writes the same into a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from landmark_spark.core.printable import printable

__all__ = ["COLORS", "Chart", "Column", "Series", "Threshold"]

COLORS = ("blue", "vermilion", "green", "purple", "grey")
"""Of the series: variables of the page's style, which has another shade of each for a dark page."""

Kind = Literal["bars", "histogram", "lines", "intervals"]


@dataclass(frozen=True)
class Series:
    """Values of one colour.

    values: one a point of the chart; NaN where there is none. color: a word of COLORS. digits: decimal places in the
    table; whole numbers have none. low, high: ends of the interval of each value, or nothing. panel: number of the
    panel that it is drawn in. dash: kind of line, 0 to 3: tells lines apart without colours. legend: what the legend
    says of it, and once of all that have the same; the name where it is not given.
    """

    name: str
    values: Sequence[float]
    color: str = "blue"
    digits: int = 0
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    panel: int = 0
    dash: int = 0
    legend: str = ""

    def __post_init__(self) -> None:
        if self.color not in COLORS:
            raise ValueError(f"color should be one of {', '.join(COLORS)}. Received: {self.color!r}")

    def columns(self) -> list[Column]:
        """Return what the table says of it."""
        found = [Column(self.name, _texts(self.values, self.digits))]
        if len(self.low):
            found.append(Column("95 % from", _texts(self.low, self.digits)))
            found.append(Column("to", _texts(self.high, self.digits)))
        return found


@dataclass(frozen=True)
class Column:
    """A column of the table: its heading, and a text for each point."""

    heading: str
    texts: Sequence[str]


@dataclass(frozen=True)
class Threshold:
    """A line across the chart at a value of its axis, and what is said of it."""

    value: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A chart, whose points are the rows of its table.

    Attributes:
        name: a word that no other chart of the page has.
        title: heading.
        summary: what it shows, for those who do not see it too.
        kind: bars and intervals lie, a point below the other; histogram and lines have ``places`` on a number line.
        heading: of the first column of the table, which names the points.
        points: name of each point; any text.
        series: at least one, each with a value a point.
        axis: title of the axis: of the values where the points lie below each other, else of the places.
        places: where the points are on the axis, for histogram and lines.
        panels: titles of the value axes of histogram and lines, from the top down.
        limits: least and largest place of the axis; found from the values where not given.
        top: end of the value axes; found from the values where not given.
        threshold: a line across.
        is_logarithmic: whether the value axis is.
        extra: columns of the table which are not drawn.
    """

    name: str
    title: str
    summary: str
    kind: Kind
    heading: str
    points: Sequence[str]
    series: Sequence[Series]
    axis: str
    places: Sequence[float] = ()
    panels: Sequence[str] = ("",)
    limits: tuple[float, float] | None = None
    top: float | None = None
    threshold: Threshold | None = None
    is_logarithmic: bool = False
    extra: Sequence[Column] = ()

    def __post_init__(self) -> None:
        if not self.points or not self.series:
            raise ValueError(f"{self.name} should not be empty: the page says so in words. Received: nothing to draw")
        wanted = len(self.points)
        rows = [each.values for each in self.series] + [each.texts for each in self.columns()]
        rows += [self.places] if self.kind in ("histogram", "lines") else []
        if any(len(each) != wanted for each in rows):
            raise ValueError(f"{self.name} should have {wanted} values a row. Received: {[len(each) for each in rows]}")

    def columns(self) -> list[Column]:
        """Return the columns of the table, but for the names of the points."""
        return [column for each in self.series for column in each.columns()] + list(self.extra)

    def to_json(self) -> dict[str, Any]:
        """Return what the page's script draws: names, numbers, None for those that are not there."""
        return {
            "kind": self.kind,
            "title": self.title,
            "axis": self.axis,
            "points": [printable(each) for each in self.points],
            "places": _numbers(self.places),
            "panels": list(self.panels),
            "limits": self.limits,
            "top": self.top,
            "threshold": None
            if self.threshold is None
            else {"value": self.threshold.value, "text": self.threshold.text},
            "logarithmic": self.is_logarithmic,
            "series": [
                {
                    "name": printable(each.name),
                    "legend": printable(each.legend or each.name),
                    "color": each.color,
                    "panel": each.panel,
                    "dash": each.dash,
                    "values": _numbers(each.values),
                    "low": _numbers(each.low),
                    "high": _numbers(each.high),
                    "column": len([name for before in self.series[:place] for name in before.columns()]),
                }
                for place, each in enumerate(self.series)
            ],
        }


def _texts(values: Sequence[float], digits: int) -> list[str]:
    return [f"{value:,.{digits}f}" if math.isfinite(value) else "" for value in values]


def _numbers(values: Sequence[float]) -> list[float | None]:
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]
