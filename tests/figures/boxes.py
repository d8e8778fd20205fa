"""Measure the words of a figure as they are drawn: too small, cut off at the edge, or over one another."""

from __future__ import annotations

from itertools import combinations
from unittest.mock import patch

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

TOUCH = 1.0
"""How far two boxes may reach into one another, points: a box is as high as its tallest letter could be."""


def drawn(figure: Figure) -> list[tuple[Text, Bbox]]:
    """Draw a figure and return every text that came out, with its box in points from the lower left corner."""
    canvas = FigureCanvasAgg(figure)
    seen: list[Text] = []
    draw = Text.draw

    def note(text: Text, *args: object, **kwargs: object) -> None:
        seen.append(text)
        draw(text, *args, **kwargs)

    with patch.object(Text, "draw", note):
        canvas.draw()
    points = 72 / figure.dpi
    shown = {id(text): text for text in seen if text.get_visible() and text.get_text().strip()}
    boxes = [(text, text.get_window_extent(canvas.get_renderer())) for text in shown.values()]
    return [(text, Bbox(box.get_points() * points)) for text, box in boxes]


def faults(figure: Figure, smallest: float) -> list[str]:
    """Return what is wrong with the words of a figure, in words; nothing if all is well.

    Args:
        figure: drawn here, with Agg.
        smallest: size of type that no text may go below, points.
    """
    boxes = drawn(figure)
    wide, high = (72 * inches for inches in figure.get_size_inches())
    found = [f"{text.get_fontsize()} pt: {_said(text)}" for text, _ in boxes if text.get_fontsize() < smallest - 1e-9]
    found += [
        f"leaves the figure: {_said(text)}"
        for text, box in boxes
        if box.x0 < 0 or box.y0 < 0 or box.x1 > wide or box.y1 > high
    ]
    for (one, a), (other, b) in combinations(boxes, 2):
        across, down = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        if across > TOUCH and down > TOUCH:
            found.append(f"overlap: {_said(one)} and {_said(other)}")
    return found


def _said(text: Text) -> str:
    return repr(text.get_text())
