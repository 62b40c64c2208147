"""Writes the report as one folder that opens from disk: index.html and the match pictures beside it."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from landmark_spark.report import charts
from landmark_spark.report.data import KINDS, Example, ReportData
from landmark_spark.report.pictures import MAX_LINES

__all__ = ["write_report"]

_GALLERIES = {
    "accepted": ("Accepted", "The geometry agrees: the predictions with the most inliers."),
    "borderline": ("Borderline", "The number of inliers is nearest to the threshold."),
    "rejected": ("Rejected", "The geometry does not agree: the most confident predictions without enough inliers."),
    "confident_wrong": ("Confident and wrong", "The mistakes that the classifier was most confident of."),
}

_MEASURED = [f"{part}{measure}" for measure in charts.MEASURES for part in ("", "val_")]


def write_report(data: ReportData, folder: Path) -> None:
    """Write folder/index.html and folder/matches/*.jpg; match pictures of an earlier report there are removed.

    Nothing in the data is taken for HTML. The same data gives the same bytes.

    Raises:
        ValueError: a value of the data cannot be drawn.
    """
    matches = folder / "matches"
    matches.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        for stale in matches.glob(f"{kind}_[0-9]*.jpg"):
            stale.unlink()
    names = _file_names(data.examples)
    for name, example in zip(names, data.examples, strict=True):
        (matches / name).write_bytes(example.picture)
    html = (
        _environment()
        .get_template("page.html.jinja")
        .render(
            data=data,
            charts=_charts(data),
            headline=data.metrics.get(data.submission_mode),
            measures=charts.MEASURES,
            galleries=_galleries(names, data.examples),
            empty_galleries=[_GALLERIES[kind][0] for kind in KINDS if kind not in {e.kind for e in data.examples}],
            max_lines=MAX_LINES,
        )
    )
    (folder / "index.html").write_bytes(html.encode("utf-8", errors="replace"))


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("landmark_spark", "report"),
        autoescape=True,  # jinja2's own choice by file name would not know .jinja
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"decimal": _decimal, "count": _count, "seconds": _seconds, "per_second": _per_second}
    return environment


def _charts(data: ReportData) -> dict[str, Markup | None]:
    """Return the charts, None where there are no values; their own text was escaped where they were drawn."""
    curves = {name: curve for name, curve in data.precision_curves.items() if len(curve)}
    wanted: dict[str, tuple[Callable[[Any], str], Any, bool]] = {
        "ladder": (charts.ladder_chart, data.ladder, bool(data.ladder)),
        "precision": (charts.precision_chart, curves, bool(curves)),
        "scores": (charts.score_chart, data.scores, bool(data.scores.groups())),
        "inliers": (charts.inlier_chart, data.inliers, data.inliers is not None and bool(data.inliers.groups())),
        "training": (charts.training_chart, data.history, any(map(data.history.get, _MEASURED))),
        "fine_tuning": (
            partial(charts.training_chart, name="fine-tuning"),
            data.fine_tuning,
            any(map(data.fine_tuning.get, _MEASURED)),
        ),
        "downloads": (charts.download_chart, data.downloads, bool(data.downloads)),
        "class_sizes": (charts.class_size_chart, data.class_sizes, bool(len(data.class_sizes))),
    }
    return {name: Markup(draw(values)) if is_there else None for name, (draw, values, is_there) in wanted.items()}


def _file_names(examples: Sequence[Example]) -> list[str]:
    """Name the pictures by gallery and number: an id may hold what a path or a URL may not."""
    counts = dict.fromkeys(KINDS, 0)
    names = []
    for example in examples:
        counts[example.kind] += 1
        names.append(f"{example.kind}_{counts[example.kind]:02d}.jpg")
    return names


def _galleries(names: Sequence[str], examples: Sequence[Example]) -> list[dict[str, Any]]:
    pictures: dict[str, list[dict[str, Any]]] = {kind: [] for kind in _GALLERIES}
    for name, example in zip(names, examples, strict=True):
        size = Image.open(io.BytesIO(example.picture)).size
        pictures[example.kind].append({"example": example, "path": f"matches/{name}", "size": size})
    return [
        {"title": title, "note": note, "pictures": pictures[kind]}
        for kind, (title, note) in _GALLERIES.items()
        if pictures[kind]
    ]


def _decimal(value: float, digits: int = 4) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "none"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _seconds(value: float) -> str:
    minutes, seconds = divmod(value, 60)
    hours, minutes = divmod(int(minutes), 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds:.0f} s" if minutes else f"{seconds:.1f} s"


def _per_second(rows: int, seconds: float) -> str:
    return f"{rows / seconds:,.1f}" if seconds > 0 and rows else "\N{EN DASH}"
