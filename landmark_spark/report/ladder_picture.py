"""Draws the ladder as a picture that stands in a document: an SVG, on light and on dark pages alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from landmark_spark.report.svg import printable, render_svg

__all__ = ["draw_ladder"]

_BLUE = "#1A7FBF"  # near that of Okabe and Ito, with a contrast of 3:1 with white and with black
_MAX_LABEL = 30


def draw_ladder(ladder: Sequence[tuple[str, float]]) -> str:
    """Draw the GAP of each (step, GAP) as a bar, the first step on top; return SVG text."""
    if not ladder:
        raise ValueError("ladder should not be empty. Received: nothing to draw")
    label = "GAP by step: " + ", ".join(f"{step} {gap:.4f}" for step, gap in ladder)
    gaps = [gap for _, gap in ladder]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        places = np.arange(len(ladder))
        bars = axes.barh(places, gaps, color=[_BLUE], height=0.7)
        axes.set_yticks(places, [_short(step) for step, _ in ladder])
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.bar_label(bars, [f"{gap:.4f}" for gap in gaps], padding=4)
        axes.set_xlim(0, max(*gaps, 1e-9) * 1.18)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("global average precision (GAP)")

    return render_svg(draw, name="ladder", label=label, height=0.8 + 0.38 * len(ladder))


def _short(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _MAX_LABEL else text[: _MAX_LABEL - 1] + "\N{HORIZONTAL ELLIPSIS}"
