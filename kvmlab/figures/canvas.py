"""Draw boxes, words and arrows on a figure, in points, downwards from the upper left corner: for diagrams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.patches import Circle, FancyArrowPatch, Polygon

from kvmlab.figures.style import Look, Slide, room

MONO, SANS = "DejaVu Sans Mono", "DejaVu Sans"
MONO_LETTER, SANS_LETTER = 0.602, 0.56
"""Width of a letter, as a part of the size of type; of sans serif letters a little more than the average."""
CAPITAL = 0.73
"""Height of a capital, as a part of the size of type."""

Point = tuple[float, float]


class Canvas:
    """The free room of a figure, as a sheet to draw on.

    Args:
        figure: from `new_figure`.
        look: theme and size; colours are named by its tokens.

    Attributes:
        width, height: of the sheet, points.
        axes: the axes of matplotlib under it.
    """

    def __init__(self, figure: Slide, look: Look) -> None:
        """Lay the sheet over the free room."""
        left, bottom, wide, high = room(figure)
        all_wide, all_high = figure.get_size_inches()
        self.look, self.width, self.height = look, 72 * wide, 72 * high
        place = left / all_wide, bottom / all_high, wide / all_wide, high / all_high
        self.axes: Any = figure.add_axes(place, xlim=(0, self.width), ylim=(self.height, 0))
        self.axes.set_axis_off()

    def colour(self, name: str) -> str:
        """Return a token's colour; "none" stays as it is."""
        return name if name == "none" else self.look.colour[name]

    def box(
        self,
        x: float,
        y: float,
        wide: float,
        high: float,
        *,
        fill: str = "none",
        edge: str = "line2",
        width: float = 1.0,
        dashed: bool = False,
        hatch: str = "",
        cut: float = 0,
        above: int = 1,
    ) -> None:
        """Draw a rectangle.

        Args:
            x: of the left edge, points.
            y: of the upper edge, points.
            wide: points.
            high: points.
            fill: a token, or "none".
            edge: a token, or "none".
            width: of the edge, points on a slide; the size of the figure scales it.
            dashed: the edge.
            hatch: pattern of matplotlib, such as "//" or "..", in the colour of the edge.
            cut: how much of the upper right corner is cut off, the mark of a device, points.
            above: what is higher covers what is lower.
        """
        style: dict[str, Any] = {"facecolor": self.colour(fill), "edgecolor": self.colour(edge), "zorder": above}
        dashes = (0, (4, 3)) if dashed else "solid"
        corners = [(x, y), (x + wide - cut, y), (x + wide, y + cut), (x + wide, y + high), (x, y + high)]
        self.axes.add_patch(
            Polygon(corners, linewidth=self.look.line(width), linestyle=dashes, hatch=hatch, joinstyle="miter", **style)
        )

    def disc(self, x: float, y: float, radius: float, *, fill: str, edge: str = "none", width: float = 1.0) -> None:
        """Draw a disc round (x, y); all in points."""
        style = {"facecolor": self.colour(fill), "edgecolor": self.colour(edge), "linewidth": self.look.line(width)}
        self.axes.add_patch(Circle((x, y), radius, zorder=3, **style))

    def cross(self, x: float, y: float, reach: float, *, colour: str = "ink", width: float = 2.4) -> None:
        """Draw the mark of a walk that breaks off: a cross at (x, y), its arms `reach` points long."""
        for slope in (-reach, reach):
            self.line(((x - reach, y - slope), (x + reach, y + slope)), colour=colour, width=width)

    def teeth(self, x: float, y: float, wide: float, high: float, *, fill: str = "now") -> None:
        """Draw the mark of an event: a box with serrated edges left and right."""
        teeth, depth = 4, high / 8
        step = high / teeth
        right = [(x + wide + depth * (k % 2), y + k * step / 2) for k in range(2 * teeth + 1)]
        left = [(x - depth * (k % 2), y + high - k * step / 2) for k in range(2 * teeth + 1)]
        self.axes.add_patch(Polygon([*right, *left], facecolor=self.colour(fill), edgecolor="none", zorder=2))

    def words(
        self,
        x: float,
        y: float,
        said: str,
        *,
        size: float | None = None,
        colour: str = "ink",
        bold: bool = False,
        mono: bool = False,
        across: str = "left",
        down: str = "center",
    ) -> None:
        """Write words.

        Args:
            x: where, points.
            y: where, points.
            said: the words; several lines are allowed. Never taken for a formula.
            size: points; the size of labels if not given.
            colour: a token.
            bold: heavy.
            mono: letters of equal width, for numbers and names of code.
            across: "left", "center" or "right" of the words is at x.
            down: "top", "center", "bottom" or "baseline" of them is at y; the centre of a line is that of its capitals,
                so that words side by side stand on one line.
        """
        letters = size or self.look.measure.label
        if down == "center" and "\n" not in said:
            y, down = y + CAPITAL / 2 * letters, "baseline"
        self.axes.text(
            x, y, said, color=self.colour(colour), fontsize=letters, ha=across, va=down,
            fontweight="bold" if bold else "normal", family=MONO if mono else SANS, parse_math=False, zorder=4,
            linespacing=1.2,
        )  # fmt: skip

    def line(self, points: Sequence[Point], *, colour: str = "line2", width: float = 1.5, dashed: bool = False) -> None:
        """Draw a line through points."""
        x, y = zip(*points, strict=True)
        dashes: Any = (0, (4, 3)) if dashed else "solid"
        self.axes.plot(
            x, y, color=self.colour(colour), linewidth=self.look.line(width), linestyle=dashes, zorder=2,
            solid_capstyle="butt",
        )  # fmt: skip

    def arrow(
        self,
        start: Point,
        end: Point,
        *,
        colour: str = "ink",
        width: float = 1.8,
        bend: float = 0,
        dashed: bool = False,
    ) -> None:
        """Draw an arrow.

        Args:
            start: where it begins, points.
            end: where its head is, points.
            colour: a token.
            width: points on a slide.
            bend: how far it bends, as a part of its length; above 0 to the right of its way.
            dashed: the line.
        """
        self.axes.add_patch(
            FancyArrowPatch(
                start, end, arrowstyle=f"-|>,head_length={self.look.line(7)},head_width={self.look.line(3.5)}",
                connectionstyle=f"arc3,rad={bend}", linewidth=self.look.line(width), color=self.colour(colour),
                shrinkA=0, shrinkB=0, zorder=3, linestyle=(0, (4, 3)) if dashed else "solid",
            )
        )  # fmt: skip

    def width_of(self, said: str, *, size: float | None = None, mono: bool = False) -> float:
        """Return about how wide words will be, points."""
        letter = MONO_LETTER if mono else SANS_LETTER
        return letter * (size or self.look.measure.label) * max(map(len, said.splitlines()), default=0)
