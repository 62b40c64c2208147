"""Makes the charts of what was predicted and verified: few numbers each, however many images there are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.counted import counted
from landmark_spark.core.ladder import Rung
from landmark_spark.report.chart import Chart, Column, Series, Threshold
from landmark_spark.report.data import Confusion, InlierSample, ScoreSample

__all__ = [
    "confusion_chart",
    "gain_chart",
    "imagined_chart",
    "inlier_chart",
    "ladder_chart",
    "precision_chart",
    "score_chart",
]

_GROUP_COLORS = {"right": "blue", "wrong": "vermilion", "no landmark": "grey", "all": "blue"}
_CURVE_COLORS = ("blue", "vermilion", "green", "purple")
_NUM_RANKS = 60
_NUM_SCORE_BINS = 40
_NUM_INLIER_BINS = 40
_BINS_TO_THRESHOLD = 10


def ladder_chart(ladder: Sequence[Rung]) -> Chart:
    """Show the GAP of each step with its interval, the first on top."""
    gaps = [each.gap for each in ladder]
    ends = " to ".join(f"{each.gap.value:.4f} ({each.name})" for each in (*ladder[:1], *ladder[-1:]))
    return Chart(
        name="ladder",
        title="GAP, step by step",
        summary=f"Each step with its 95 % interval over draws of the test images: {ends}.",
        kind="intervals",
        heading="step",
        points=[each.name for each in ladder],
        series=[
            Series(
                "GAP",
                [gap.value for gap in gaps],
                digits=4,
                low=[gap.low for gap in gaps],
                high=[gap.high for gap in gaps],
            ),
            *_cross_validated(ladder),
        ],
        axis="global average precision (GAP)",
        extra=[Column("top-1", [f"{each.top1:.4f}" for each in ladder])],
    )


def _cross_validated(ladder: Sequence[Rung]) -> list[Series]:
    values = [math.nan if each.cross_validated is None else each.cross_validated for each in ladder]
    if all(map(math.isnan, values)):
        return []
    return [Series("GAP, cross-validated on training images", values, "purple", digits=4)]


def gain_chart(ladder: Sequence[Rung]) -> Chart:
    """Show by how much each step exceeds the one before it, with the interval of that gain."""
    gains = [(each.name, each.gain) for each in ladder if each.gain is not None]
    sure = [name for name, gain in gains if gain.low > 0]
    return Chart(
        name="gains",
        title="What each step gains",
        summary="Gain of GAP over the step before, with its 95 % interval. Above zero with all of it: "
        f"{', '.join(sure) or 'none'}.",
        kind="intervals",
        heading="step",
        points=[name for name, _ in gains],
        series=[
            Series(
                "gain of GAP",
                [gain.value for _, gain in gains],
                "green",
                digits=4,
                low=[gain.low for _, gain in gains],
                high=[gain.high for _, gain in gains],
            )
        ],
        axis="gain of GAP over the step before",
        threshold=Threshold(0.0, ""),
    )


def precision_chart(curves: Mapping[str, NDArray[Any]]) -> Chart:
    """Show curves of (R,) precision among the first 1, 2, ... R predictions, at some of the ranks."""
    filled = {name: curve for name, curve in curves.items() if len(curve)}
    longest = max(map(len, filled.values()), default=0)
    # Some ranks are evenly spaced, others closer together at the beginning, and each curve has its end.
    even = np.linspace(1, max(longest, 1), min(longest, _NUM_RANKS)).round().astype(int).tolist()
    first = [digit * 10**power for power in range(9) for digit in (1, 2, 5) if digit * 10**power <= longest]
    ranks = sorted({*even, *first, *map(len, filled.values())})
    ends = ", ".join(f"{name} {curve[-1]:.3f} at {len(curve):,}" for name, curve in filled.items())
    return Chart(
        name="precision",
        title="Precision by rank",
        summary="The share of right predictions among the first 1, 2, 3, \N{HORIZONTAL ELLIPSIS} of the ranking. "
        f"A good ranking is right at the left and falls late. At the last rank: {ends}.",
        kind="lines",
        heading="rank",
        points=[f"{rank:,}" for rank in ranks],
        places=ranks,
        series=[
            Series(
                name,
                [float(curve[rank - 1]) if rank <= len(curve) else math.nan for rank in ranks],
                _CURVE_COLORS[number % len(_CURVE_COLORS)],
                digits=4,
                dash=number % len(_CURVE_COLORS),
            )
            for number, (name, curve) in enumerate(filled.items())
        ],
        axis="rank of the prediction, best score first",
        panels=["precision so far"],
        limits=(0, longest),
        top=1.0,
    )


def score_chart(scores: ScoreSample) -> Chart:
    """Show a histogram of the scores of each group, one below the other on one axis."""
    groups = scores.groups()
    end = max(1.0, *(float(values.max()) for values in groups.values())) if groups else 1.0
    edges = np.linspace(0, end, _NUM_SCORE_BINS + 1)
    medians = ", ".join(
        f"{_said(name)}{np.median(values):.2f} ({counted(len(values), 'image')})" for name, values in groups.items()
    )
    return _histogram(
        {name: np.histogram(values, edges)[0] for name, values in groups.items()},
        edges,
        name="scores",
        title="Scores",
        summary=f"How sure the submission is of each answer. Median: {medians}.",
        heading="score from",
        points=[f"{low:.3f} to {high:.3f}" for low, high in itertools.pairwise(edges)],
        axis="score",
    )


def inlier_chart(inliers: InlierSample) -> Chart:
    """Show a histogram of the inliers of each group, and the line above which a prediction is verified.

    No bar lies on both sides of the line; the last one holds all that is far beyond it.
    """
    groups = inliers.groups()
    threshold = inliers.min_inliers
    width = max(1, math.ceil(threshold / _BINS_TO_THRESHOLD))
    first = (threshold + 1) % width - width if (threshold + 1) % width else 0
    most = max((int(values.max()) for values in groups.values()), default=0)
    num_bins = min(_NUM_INLIER_BINS, max(most, threshold + 1) // width + 2)
    lows = first + width * np.arange(num_bins)
    edges = np.append(lows, lows[-1] + width) - 0.5
    over = ", ".join(
        f"{_said(name)}{int((values > threshold).sum()):,} of {len(values):,}" for name, values in groups.items()
    )
    names = [f"{max(low, 0)} to {low + width - 1}" if width > 1 else f"{low}" for low in lows]
    if most >= edges[-1]:
        names[-1] = f"{lows[-1]} and more"
    return _histogram(
        {name: np.histogram(np.minimum(values, lows[-1]), edges)[0] for name, values in groups.items()},
        edges,
        name="inliers",
        title="Inliers",
        summary="Inliers of the best reference; the broken line is the threshold. Images with more than "
        f"{threshold}: {over}.",
        heading="inliers",
        points=names,
        axis="inliers" if most < edges[-1] else f"inliers (the last bar: {names[-1]})",
        threshold=Threshold(threshold + 0.5, f"more than {threshold}"),
    )


def _histogram(counts: Mapping[str, NDArray[Any]], edges: NDArray[Any], **words: Any) -> Chart:
    return Chart(
        kind="histogram",
        places=((edges[:-1] + edges[1:]) / 2).tolist(),
        series=[
            Series(group, bars.tolist(), _GROUP_COLORS[group], panel=panel)
            for panel, (group, bars) in enumerate(counts.items())
        ],
        panels=[f"{group}: {bars.sum():,}" for group, bars in counts.items()],
        limits=(min(float(edges[0]), 0.0), float(edges[-1])),
        **words,
    )


def confusion_chart(confusions: Sequence[Confusion]) -> Chart:
    """Show which landmarks were most often taken for which others."""
    return Chart(
        name="confusions",
        title="Landmarks most often confused",
        summary="The landmark that a photo shows, and the one that was answered. Most often: "
        f"{_pair(confusions[0]) if confusions else 'none'}.",
        kind="bars",
        heading="landmark shown \N{RIGHTWARDS ARROW} landmark answered",
        points=[_pair(each) for each in confusions],
        series=[Series("photos", [each.num_images for each in confusions], "vermilion")],
        axis="photos",
    )


def imagined_chart(imagined: Sequence[tuple[str, int]]) -> Chart:
    """Show which landmarks were most often answered for photos of none."""
    return Chart(
        name="imagined",
        title="Landmarks answered for photos of none",
        summary="Most answers of this kind have a low score, and stand far down in the ranking. Most often: "
        f"{imagined[0][0] if imagined else 'none'}.",
        kind="bars",
        heading="landmark answered",
        points=[name for name, _ in imagined],
        series=[Series("photos", [count for _, count in imagined], "grey")],
        axis="photos",
    )


def _pair(confusion: Confusion) -> str:
    return f"{confusion.shown} \N{RIGHTWARDS ARROW} {confusion.answered}"


def _said(group: str) -> str:
    """Return a group's name before its figure; the only one, where nothing is known of the answers, needs none."""
    return "" if group == "all" else f"{group} "
