"""Turns a matplotlib figure into SVG text that stands inside a page, dark or light, and needs nothing else.

Text and axes take the page's own colour (``currentColor``) and font. The same values give the same bytes.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from landmark_spark.core.printable import printable

__all__ = ["INK", "printable", "render_svg"]

INK = "#010203"
"""Stands for the page's text colour while a figure is drawn."""

_WIDTH = 5.2  # inches: on a telephone's page the text is still read
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "landmark_spark",
    "text.parse_math": False,
    "font.size": 10,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
    "grid.color": INK,
    "grid.alpha": 0.15,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def render_svg(draw: Callable[[Figure], None], *, name: str, label: str, height: float) -> str:
    """Return what ``draw`` draws as the text of an svg element, 5.2 inches wide and ``height`` inches high.

    Args:
        draw: fills the empty figure.
        name: a word that no other chart of the page has; the ids within the chart begin with it.
        label: what the chart says, for those who do not see it; any text.
        height: in inches.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # not the user's matplotlibrc
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        draw(figure)
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = re.sub(r"<style.*?</style>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r"<[^>]*>", lambda tag: _adapt(tag.group(), name), body)
    spoken = html.escape(printable(label))
    return (
        f'<svg class="chart" role="img" aria-label="{spoken}" viewBox="0 0 {_WIDTH * 72:g} {height * 72:g}"'
        f' style="stroke-linejoin: round" xmlns="http://www.w3.org/2000/svg"'
        f' xmlns:xlink="http://www.w3.org/1999/xlink">{body.strip()}\n'
    )


def _adapt(tag: str, name: str) -> str:
    """Let a tag take the page's colour and font, and keep its ids apart from those of other charts."""
    tag = re.sub(r'^<g id="[^"]*"', "<g", tag)  # nothing refers to these
    tag = re.sub(r'( id="|="url\(#|xlink:href="#)', rf"\g<1>{name}-", tag)
    tag = re.sub(r" font-family: [^;\"]*", " font-family: inherit", tag)
    return tag.replace(f": {INK}", ": currentColor")
