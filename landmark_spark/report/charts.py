"""Draws the charts of the report: each takes plain values and returns SVG text.

The colours are near those of Okabe and Ito, which every kind of colour sight tells apart, and have a contrast of 3:1
with a light page and with a dark one alike; lines differ in their dashes too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from landmark_spark.report.data import InlierSample, ScoreSample
from landmark_spark.report.svg import INK, printable, render_svg

__all__ = [
    "MEASURES",
    "class_size_chart",
    "download_chart",
    "inlier_chart",
    "ladder_chart",
    "precision_chart",
    "score_chart",
    "training_chart",
]

_BLUE, _VERMILION, _GREEN, _PURPLE, _GREY = "#1A7FBF", "#D55E00", "#009E73", "#B65E94", "#808080"
_SERIES = ((_BLUE, "-"), (_VERMILION, "--"), (_GREEN, "-."), (_PURPLE, ":"))
_GROUP_COLORS = {"right": _BLUE, "wrong": _VERMILION, "no landmark": _GREY, "all": _BLUE}
MEASURES = {"loss": "loss", "accuracy": "accuracy", "gap": "GAP"}
"""What a training's history may have, of training images and, as val_..., of held-out ones; and how it is called."""

_MAX_POINTS = 400
_MAX_BARS = 12
_MAX_LABEL = 30


def ladder_chart(ladder: Sequence[tuple[str, float]]) -> str:
    """Draw the GAP of each (step, GAP) as a bar, the first step on top."""
    _check_filled("ladder", ladder)
    label = "GAP by step: " + ", ".join(f"{step} {gap:.4f}" for step, gap in ladder)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        _bars(axes, [step for step, _ in ladder], [gap for _, gap in ladder], [f"{gap:.4f}" for _, gap in ladder])
        axes.set_xlabel("global average precision (GAP)")

    return render_svg(draw, name="ladder", label=label, height=0.8 + 0.38 * len(ladder))


def precision_chart(curves: Mapping[str, NDArray[Any]]) -> str:
    """Draw curves of (R,) precision among the first 1, 2, ... R predictions; long ones at 400 ranks of all."""
    filled = {name: curve for name, curve in curves.items() if len(curve)}
    _check_filled("curves", filled)
    label = "Precision over all ranks: " + ", ".join(f"{name} {curve[-1]:.3f}" for name, curve in filled.items())

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for number, (name, curve) in enumerate(filled.items()):
            color, line = _SERIES[number % len(_SERIES)]
            places = np.unique(np.linspace(0, len(curve) - 1, min(len(curve), _MAX_POINTS)).round().astype(int))
            marker = "o" if len(curve) == 1 else ""
            axes.plot(places + 1, curve[places], line, marker=marker, color=color, label=_short(name), linewidth=1.8)
        axes.set(xlabel="rank of the prediction, best score first", ylabel="precision so far", ylim=(0, 1.03))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        axes.xaxis.set_major_formatter(_thousands)
        axes.grid()
        axes.set_xlim(left=0)
        figure.legend(loc="outside upper left", ncols=3)

    return render_svg(draw, name="precision", label=label, height=3.1)


def score_chart(scores: ScoreSample) -> str:
    """Draw a histogram of the scores of each group, one below the other on one axis."""
    groups = scores.groups()
    _check_filled("scores", groups)
    edges = np.linspace(0, max(1.0, *(float(values.max()) for values in groups.values())), 41)
    medians = ", ".join(f"{name} {np.median(values):.2f} ({len(values):,})" for name, values in groups.items())
    label = f"Median confidence (images): {medians}"
    bars = {name: np.histogram(values, edges)[0] for name, values in groups.items()}
    return _histograms(bars, edges, name="scores", label=label, axis="confidence of the classifier")


def inlier_chart(inliers: InlierSample) -> str:
    """Draw a histogram of the inliers of each group, and the line above which a prediction is verified.

    No bar lies on both sides of the line; the last one holds all that is far beyond it.
    """
    groups = inliers.groups()
    _check_filled("inliers", groups)
    threshold = inliers.min_inliers
    width = max(1, math.ceil(threshold / 10))
    first = -0.5 - width + (threshold + 1) % width if (threshold + 1) % width else -0.5
    last = threshold + 0.5 + width * 30
    most = max(int(values.max()) for values in groups.values())
    edges = np.arange(first, min(last, max(most, threshold + width) + width) + width, width)
    bars = {name: np.histogram(np.minimum(values, edges[-1] - 0.5), edges)[0] for name, values in groups.items()}
    over = ", ".join(
        f"{name} {int((values > threshold).sum()):,} of {len(values):,}" for name, values in groups.items()
    )
    axis = "inliers" if most < edges[-1] else f"inliers (the last bar: {math.ceil(edges[-2])} and more)"
    label = f"Images with more than {threshold} inliers: {over}"
    return _histograms(bars, edges, name="inliers", label=label, axis=axis, threshold=threshold)


def training_chart(history: Mapping[str, Sequence[float]], *, name: str = "training") -> str:
    """Draw loss, accuracy and GAP of training and held-out images over the epochs, as far as there are values."""
    measures = [each for each in MEASURES if len(history.get(each, ())) or len(history.get(f"val_{each}", ()))]
    _check_filled("history", measures)
    parts = [key for key in (*measures, *(f"val_{each}" for each in measures)) if len(history.get(key, ()))]
    num_epochs = len(history[parts[0]])
    ends = ", ".join(f"{key} {history[key][-1]:.3f}" for key in parts)
    label = f"{name.capitalize()}, after {num_epochs} epochs: {ends}"

    def draw(figure: Figure) -> None:
        rows = figure.subplots(len(measures), 1, sharex=True, squeeze=False)[:, 0]
        drawn: dict[str, Any] = {}
        for axes, measure in zip(rows, measures, strict=True):
            for key, part, (color, line) in (
                (measure, "training", _SERIES[0]),
                (f"val_{measure}", "held out", _SERIES[1]),
            ):
                values = np.asarray(history.get(key, ()), np.float64)
                if len(values):
                    marker = "o" if len(values) == 1 else ""
                    (drawn[part],) = axes.plot(np.arange(1, len(values) + 1), values, line, marker=marker, color=color)
            axes.set(ylabel=MEASURES[measure], ylim=(0, None) if measure == "loss" else (0, 1.03))
            axes.grid()
        rows[-1].set_xlabel("epoch")
        if num_epochs > 1:
            rows[-1].set_xlim(left=1)
        rows[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
        figure.legend(list(drawn.values()), list(drawn), loc="outside upper left", ncols=2)

    return render_svg(draw, name=name, label=label, height=0.9 + 1.6 * len(measures))


def download_chart(downloads: Mapping[str, int]) -> str:
    """Draw the number of images by status as bars, the most frequent on top, what is rare in one bar."""
    _check_filled("downloads", downloads)
    ranked = sorted(downloads.items(), key=lambda pair: (-pair[1], pair[0]))
    total = sum(downloads.values())
    label = f"Downloads: {downloads.get('ok', 0):,} of {total:,} images are there"
    if len(ranked) > _MAX_BARS:
        rest = ranked[_MAX_BARS - 1 :]
        ranked = [*ranked[: _MAX_BARS - 1], (f"{len(rest)} other statuses", sum(count for _, count in rest))]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        colors = [_BLUE if status == "ok" else _VERMILION for status, _ in ranked]
        counts = [count for _, count in ranked]
        _bars(axes, [status for status, _ in ranked], counts, [f"{count:,}" for count in counts], colors)
        axes.set_xlabel("images")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.xaxis.set_major_formatter(_thousands)

    return render_svg(draw, name="downloads", label=label, height=0.8 + 0.32 * len(ranked))


def class_size_chart(class_sizes: NDArray[Any]) -> str:
    """Draw how many landmarks have 1, 2 to 3, 4 to 7, ... training images: (C,) int, each at least 1."""
    _check_filled("class_sizes", class_sizes)
    if class_sizes.min() < 1:
        raise ValueError(f"class_sizes should be at least 1. Received: {class_sizes.min()}")
    label = f"{len(class_sizes):,} landmarks; half have {np.median(class_sizes):g} training images or fewer"
    powers = np.frexp(class_sizes.astype(np.float64))[1] - 1  # floor(log2), without its rounding
    counts = np.bincount(powers)[powers.min() :]
    lows = 2 ** np.arange(powers.min(), powers.max() + 1)
    names = [f"{low:,}" if low == 1 else f"{low:,}\N{EN DASH}{2 * low - 1:,}" for low in lows]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        _bars(axes, names, counts.tolist(), [f"{count:,}" for count in counts])
        axes.set(xlabel="landmarks", ylabel="training images (log scale)")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.xaxis.set_major_formatter(_thousands)

    return render_svg(draw, name="class-sizes", label=label, height=0.9 + 0.32 * len(names))


def _bars(
    axes: Axes, names: Sequence[str], values: Sequence[float], texts: Sequence[str], colors: Sequence[str] = (_BLUE,)
) -> None:
    places = np.arange(len(names))
    bars = axes.barh(places, values, color=list(colors), height=0.7)
    axes.set_yticks(places, [_short(name) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.bar_label(bars, texts, padding=4)
    axes.set_xlim(0, max(*values, 1e-9) * 1.18)
    axes.spines["left"].set_visible(False)


def _histograms(
    bars: Mapping[str, NDArray[Any]],
    edges: NDArray[Any],
    *,
    name: str,
    label: str,
    axis: str,
    threshold: int | None = None,
) -> str:
    def draw(figure: Figure) -> None:
        rows = figure.subplots(len(bars), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (group, counts) in zip(rows, bars.items(), strict=True):
            axes.stairs(counts, edges, fill=True, color=_GROUP_COLORS[group])
            axes.set_title(f"{group}: {counts.sum():,}", loc="right", fontsize=10)
            axes.yaxis.set_major_locator(MaxNLocator(3, integer=True, min_n_ticks=1))
            axes.yaxis.set_major_formatter(_thousands)
            axes.grid(axis="y")
            if threshold is not None:
                axes.axvline(threshold + 0.5, color=INK, linestyle="--", linewidth=1.2)
        if threshold is not None:
            rows[0].set_title(f"threshold: more than {threshold}", loc="left", fontsize=10)
        rows[-1].set(xlabel=axis, xlim=(min(edges[0], 0), edges[-1]))
        figure.supylabel("images", fontsize=10)

    return render_svg(draw, name=name, label=label, height=0.8 + (1.3 if len(bars) > 1 else 2.0) * len(bars))


def _thousands(value: float, _: float) -> str:
    return f"{value:,.0f}"


def _short(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _MAX_LABEL else text[: _MAX_LABEL - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _check_filled(name: str, values: Any) -> None:
    if not len(values):
        raise ValueError(f"{name} should not be empty: the page says so in words. Received: nothing to draw")
