"""Writes the report as one folder that opens from disk: index.html and the match pictures beside it."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from landmark_spark.core.counted import counted
from landmark_spark.report.assets import load_assets
from landmark_spark.report.chart import Chart
from landmark_spark.report.charts import (
    confusion_chart,
    gain_chart,
    imagined_chart,
    inlier_chart,
    ladder_chart,
    precision_chart,
    score_chart,
)
from landmark_spark.report.data import KINDS, Example, ReportData
from landmark_spark.report.pictures import MAX_LINES
from landmark_spark.report.run_charts import (
    MEASURES,
    class_size_chart,
    download_chart,
    has_measures,
    host_chart,
    time_chart,
    training_chart,
)

__all__ = ["write_report"]

_GALLERIES = {
    "accepted": ("Accepted", "The geometry agrees: the predictions with the most inliers."),
    "borderline": ("Borderline", "The number of inliers is nearest to the threshold."),
    "rejected": ("Rejected", "The geometry does not agree: the most confident predictions without enough inliers."),
    "confident_wrong": ("Confident and wrong", "The mistakes that were said most confidently."),
}


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
    html = render_page(data, _galleries(names, data.examples))
    (folder / "index.html").write_bytes(html.encode("utf-8", errors="replace"))


def render_page(data: ReportData, galleries: Sequence[Mapping[str, Any]]) -> str:
    """Return the page's text; its galleries as ``_galleries`` makes them."""
    assets = load_assets()
    filled = {example.kind for example in data.examples}
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            data=data,
            charts=_charts(data),
            trainings=_trainings(data),
            headline=data.metrics.get(data.submission_mode),
            measures=MEASURES,
            galleries=galleries,
            empty_galleries=[_GALLERIES[kind][0] for kind in KINDS if kind not in filled],
            max_lines=MAX_LINES,
            policy=assets.policy,
            style=Markup(assets.style),
            scripts=[Markup(each) for each in assets.scripts],
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("landmark_spark", "report"),
        autoescape=True,  # jinja2's own choice by file name would not know .jinja
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"decimal": _decimal, "count": _count, "counted": counted, "seconds": _seconds}
    return environment


def _charts(data: ReportData) -> dict[str, Chart | None]:
    """Return the charts, None where there are no values."""
    curves = {name: curve for name, curve in data.precision_curves.items() if len(curve)}
    inliers = data.inliers if data.inliers is not None and data.inliers.groups() else None
    return {
        "ladder": ladder_chart(data.ladder) if data.ladder else None,
        "gains": gain_chart(data.ladder) if any(each.gain for each in data.ladder) else None,
        "precision": precision_chart(curves) if curves else None,
        "scores": score_chart(data.scores) if data.scores.groups() else None,
        "inliers": inlier_chart(inliers) if inliers else None,
        "confusions": confusion_chart(data.confusions) if data.confusions else None,
        "imagined": imagined_chart(data.imagined) if data.imagined else None,
        "downloads": download_chart(data.downloads) if data.downloads else None,
        "hosts": host_chart(data.hosts) if data.hosts else None,
        "class_sizes": class_size_chart(data.class_sizes) if len(data.class_sizes) else None,
        "times": time_chart(data.stage_times) if data.stage_times else None,
    }


def _trainings(data: ReportData) -> list[tuple[Chart, Mapping[str, Sequence[float]]]]:
    """Return the chart and the history of each model that was trained."""
    found = (
        ("training", "The top model", data.history),
        ("fine-tuning", "The fine-tuned model", data.fine_tuning),
        ("delf-training", "The attention of DELF", data.delf_training),
    )
    return [
        (training_chart(history, name=name, title=title), history)
        for name, title, history in found
        if has_measures(history)
    ]


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
