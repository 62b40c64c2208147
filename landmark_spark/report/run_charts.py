"""Makes the charts of what the run was given, how it trained, and how long it took."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.counted import counted
from landmark_spark.report.chart import Chart, Column, Series

__all__ = [
    "MEASURES",
    "class_size_chart",
    "download_chart",
    "has_measures",
    "host_chart",
    "time_chart",
    "training_chart",
]

MEASURES = {"loss": "loss", "accuracy": "accuracy", "gap": "GAP"}
"""What a training's history may have, of training images and, as val_..., of held-out ones; and how it is called."""

_MAX_BARS = 12
_MAX_EPOCHS = 200


def has_measures(history: Mapping[str, Sequence[float]]) -> bool:
    """Whether a history has anything that ``training_chart`` shows."""
    return any(len(history.get(part + measure, ())) for measure in MEASURES for part in ("", "val_"))


def training_chart(history: Mapping[str, Sequence[float]], *, name: str, title: str) -> Chart:
    """Show loss, accuracy and GAP of training and held-out images over the epochs, as far as there are values.

    Of more than 200 epochs, 200 spread evenly over all are shown.
    """
    keys = [(part + measure, measure, part) for measure in MEASURES for part in ("", "val_")]
    found = [(key, measure, part) for key, measure, part in keys if len(history.get(key, ()))]
    measures = [measure for measure in MEASURES if measure in {each for _, each, _ in found}]
    num_epochs = max((len(history[key]) for key, _, _ in found), default=0)
    shown = np.unique(np.linspace(0, num_epochs - 1, min(num_epochs, _MAX_EPOCHS)).round().astype(int)).tolist()
    words = {"": "training", "val_": "held out"}
    said = ", ".join(f"{MEASURES[measure]} {words[part]} {history[key][-1]:.3f}" for key, measure, part in found)
    return Chart(
        name=name,
        title=title,
        summary=f"After each epoch, of training images and of those held out. At the end of {num_epochs}: {said}.",
        kind="lines",
        heading="epoch",
        points=[f"{place + 1}" for place in shown],
        places=[place + 1 for place in shown],
        series=[
            Series(
                f"{MEASURES[measure]}, {words[part]}",
                [history[key][place] if place < len(history[key]) else math.nan for place in shown],
                "vermilion" if part else "blue",
                digits=4,
                panel=measures.index(measure),
                dash=int(bool(part)),
                legend=words[part],
            )
            for key, measure, part in found
        ],
        axis="epoch",
        panels=[MEASURES[measure] for measure in measures],
        limits=(1, max(num_epochs, 2)),
    )


def download_chart(downloads: Mapping[str, int]) -> Chart:
    """Show the number of images by status as bars, the most frequent on top, what is rare in one bar."""
    ranked = sorted(downloads.items(), key=lambda pair: (-pair[1], pair[0]))
    if len(ranked) > _MAX_BARS:
        rest = ranked[_MAX_BARS - 1 :]
        ranked = [*ranked[: _MAX_BARS - 1], (f"{len(rest)} other statuses", sum(count for _, count in rest))]
    total = sum(downloads.values())
    return Chart(
        name="downloads",
        title="Downloads by status",
        summary=f"Images by what became of their URL: {downloads.get('ok', 0):,} of {total:,} are there.",
        kind="bars",
        heading="status",
        points=[status for status, _ in ranked],
        series=[
            Series("images", [count for _, count in ranked], "blue"),
        ],
        axis="images",
        is_logarithmic=_spreads([count for _, count in ranked]),
    )


def host_chart(hosts: Mapping[str, tuple[int, int]]) -> Chart:
    """Show how many images came and failed to come from each host: (there, failed); what has few, in one bar."""
    ranked = sorted(((name or "(none)", *counts) for name, counts in hosts.items()), key=_by_size)
    worst = max(ranked, key=lambda each: each[2], default=("none", 0, 0))
    if len(ranked) > _MAX_BARS:
        rest = ranked[_MAX_BARS - 1 :]
        others = (f"{len(rest):,} other hosts", sum(each[1] for each in rest), sum(each[2] for each in rest))
        ranked = [*ranked[: _MAX_BARS - 1], others]
    shares = [f"{100 * failed / max(fetched + failed, 1):.1f} %" for _, fetched, failed in ranked]
    said = f"Most failed at {worst[0]}: {worst[2]:,}" if worst[2] else "None failed"
    return Chart(
        name="hosts",
        title="Downloads by host",
        summary=f"Images of {counted(len(hosts), 'host')}, by that of their URL. {said}.",
        kind="bars",
        heading="host",
        points=[name for name, _, _ in ranked],
        series=[
            Series("there", [fetched for _, fetched, _ in ranked], "blue"),
            Series("failed", [failed for _, _, failed in ranked], "vermilion"),
        ],
        axis="images",
        extra=[Column("failed, share", shares)],
    )


def _by_size(host: tuple[str, int, int]) -> tuple[int, str]:
    return -host[1] - host[2], host[0]


def class_size_chart(class_sizes: NDArray[Any]) -> Chart:
    """Show how many landmarks have 1, 2 to 3, 4 to 7, ... training images: (C,) int, each at least 1."""
    if len(class_sizes) and class_sizes.min() < 1:
        raise ValueError(f"class_sizes should be at least 1. Received: {class_sizes.min()}")
    powers = np.frexp(class_sizes.astype(np.float64))[1] - 1  # floor(log2), without its rounding
    first, last = (int(powers.min()), int(powers.max())) if len(powers) else (0, -1)
    counts = np.bincount(powers, minlength=1)[first:].tolist() if len(powers) else []
    lows = [2**power for power in range(first, last + 1)]
    images = [int(class_sizes[powers == power].sum()) for power in range(first, last + 1)]
    half = f"{np.median(class_sizes):g}" if len(class_sizes) else "none"
    return Chart(
        name="class-sizes",
        title="Training images of each landmark",
        summary=f"{counted(len(class_sizes), 'landmark')} by the number of training images, in steps that double; half "
        f"have {half} or fewer.",
        kind="bars",
        heading="training images",
        points=[f"{low:,}" if low == 1 else f"{low:,} to {2 * low - 1:,}" for low in lows],
        series=[Series("landmarks", counts)],
        axis="landmarks",
        is_logarithmic=_spreads(counts),
        extra=[Column("their training images", [f"{count:,}" for count in images])],
    )


def time_chart(stage_times: Sequence[tuple[str, int, float]]) -> Chart:
    """Show the seconds of each stage, in the order of the run."""
    total = sum(seconds for _, _, seconds in stage_times)
    longest = max(stage_times, key=lambda each: each[2], default=("none", 0, 0.0))
    rates = [f"{rows / seconds:,.1f}" if seconds > 0 and rows else "" for _, rows, seconds in stage_times]
    return Chart(
        name="times",
        title="Time of each stage",
        summary=f"Seconds of each stage when it last ran, {total:,.1f} of all; the longest is {longest[0]} with "
        f"{longest[2]:,.1f}.",
        kind="bars",
        heading="stage",
        points=[stage for stage, _, _ in stage_times],
        series=[Series("seconds", [seconds for _, _, seconds in stage_times], digits=1)],
        axis="seconds",
        extra=[Column("rows", [f"{rows:,}" for _, rows, _ in stage_times]), Column("rows a second", rates)],
    )


def _spreads(counts: Sequence[int]) -> bool:
    """Whether the smallest count would not be seen beside the largest."""
    filled = [count for count in counts if count]
    return bool(filled) and max(filled) > 100 * min(filled)
