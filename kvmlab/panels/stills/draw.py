"""Draw a styled drawing with matplotlib: the same colours, strokes, dashes and patterns that a browser shows."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from math import atan2, degrees, sqrt
from typing import Any, Literal

from matplotlib import font_manager, patheffects
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Affine2D

from kvmlab.panels.stills.css import Node, length
from kvmlab.panels.stills.path import outline, path, ribbon, then, tiles, transform
from kvmlab.scenes.scene import SceneError

SANS, MONO = "DejaVu Sans", "DejaVu Sans Mono"
"""The fonts that come with matplotlib, and for which pictures are laid out."""
BOLD = 600
"""From this weight on a browser, too, takes the bold letters of a font that has only two weights."""
SILENT = {"defs", "title", "desc"}
"""Elements that show nothing by themselves."""
GROUPS = {"svg", "g"}
CAPS: dict[str, Literal["butt", "projecting", "round"]] = {"butt": "butt", "round": "round", "square": "projecting"}
JOINS: dict[str, Literal["miter", "round", "bevel"]] = {"miter": "miter", "round": "round", "bevel": "bevel"}
SIDES: dict[str, Literal["left", "center", "right"]] = {"start": "left", "middle": "center", "end": "right"}
UNKNOWN = "□"
"""Stands for a letter that the font does not have."""
DOTTED = (0, (1, 1))
LAYER = 3
"""Everything lies in one layer, so what is drawn later lies on top."""

Colour = tuple[float, float, float, float]


def draw(axes: Axes, top: Node, place: Affine2D) -> None:
    """Draw a whole drawing.

    Args:
        axes: where; its unit is one point, downwards.
        top: the drawing, with its styles.
        place: from units of the drawing to points.

    Raises:
        SceneError: the drawing holds something that stills do not know.
    """
    patterns = {f"url(#{node.attributes['id']})": node for node in top.walk() if node.tag == "pattern"}
    for node, matrix, opacity in _drawn(top, place, 1.0):
        if node.tag == "text":
            _text(axes, node, matrix, opacity)
        else:
            _shape(axes, node, matrix, opacity, patterns)


def _drawn(node: Node, matrix: Affine2D, opacity: float) -> Iterator[tuple[Node, Affine2D, float]]:
    """Return each element that can be seen, with the matrix and the opacity in force there."""
    if node.tag in SILENT or node.style["display"] == "none":
        return
    matrix = then(transform(node.style["transform"]), matrix)
    opacity *= float(node.style["opacity"])
    if node.tag in GROUPS:
        for child in node.children:
            yield from _drawn(child, matrix, opacity)
    elif node.children and any(child.tag not in SILENT for child in node.children):
        raise SceneError(f"stills do not know <{node.children[0].tag}> inside <{node.tag}>")
    elif node.style["visibility"] == "visible":
        yield node, matrix, opacity
    elif node.tag != "text":
        outline(node)  # an element that is not known must not wait until it is first seen


def _shape(axes: Axes, node: Node, matrix: Affine2D, opacity: float, patterns: dict[str, Node]) -> None:
    """Draw an outline, filled with a colour or a pattern."""
    style, shape = node.style, outline(node)
    fill, width = style["fill"], length(style["stroke-width"])
    if fill.startswith("url("):
        if fill not in patterns:
            raise SceneError(f"no pattern is called {fill}")
        _patterned(axes, patterns[fill], shape, matrix, opacity)
        fill = "none"
    face, edge = (
        _colour(fill, style["fill-opacity"], opacity),
        _colour(style["stroke"], style["stroke-opacity"], opacity),
    )
    if not width:
        edge = _colour("none")
    if node.tag == "line":
        face = _colour("none")
    if face[3] or edge[3]:
        patch = put_shape(axes, matrix.transform_path(shape), face, edge, width * _scale(matrix) if edge[3] else 0)
        patch.set_capstyle(CAPS[style["stroke-linecap"]])
        patch.set_joinstyle(JOINS[style["stroke-linejoin"]])
        if edge[3] and (dashes := _dashes(style["stroke-dasharray"])):
            patch.set_linestyle((0, [dash / width for dash in dashes]))


def _patterned(axes: Axes, tile: Node, shape: Path, matrix: Affine2D, opacity: float) -> None:
    """Fill a shape with a pattern, by drawing what the pattern repeats and cutting it off at the shape's edge."""
    for node in tile.children:
        style = node.style
        line, inside = style["stroke"] != "none", outline(node)
        if line:
            inside = ribbon(inside, length(style["stroke-width"]))
        paint = style["stroke"] if line else style["fill"]
        colour = _colour(paint, float(style["opacity"]) * opacity)
        whole = tiles(tile, [inside], shape.get_extents())
        patch = put_shape(axes, matrix.transform_path(whole), colour)
        patch.set_clip_on(True)
        patch.set_clip_path(matrix.transform_path(shape), axes.transData)


def _text(axes: Axes, node: Node, matrix: Affine2D, opacity: float) -> None:
    """Draw a line of text."""
    words = " ".join(node.text.split())
    style, has = node.style, node.attributes
    if not words or style["fill"] == "none":
        return
    x, y = matrix.transform((length(has.get("x", "0")), length(has.get("y", "0"))))
    scale = _scale(matrix)
    colour = _colour(style["fill"], style["fill-opacity"], opacity)
    text = put_text(
        axes,
        x,
        y,
        words,
        size=length(style["font-size"]) * scale,
        colour=colour,
        bold=_is_bold(style["font-weight"]),
        mono="monospace" in style["font-family"],
        anchor=style["text-anchor"],
    )
    text.set_rotation(-degrees(atan2(matrix.get_matrix()[1, 0], matrix.get_matrix()[0, 0])))
    if style["stroke"] != "none":
        halo = _colour(style["stroke"], style["stroke-opacity"], opacity)
        stroke = patheffects.Stroke(linewidth=length(style["stroke-width"]) * scale, foreground=halo)
        under = style["paint-order"].startswith("stroke")
        text.set_path_effects([stroke, patheffects.Normal()] if under else [patheffects.Normal(), stroke])
    decoration = style["text-decoration"].split()
    if "underline" in decoration:
        long = width_of(text)
        left = x - {"start": 0, "middle": long / 2, "end": long}[style["text-anchor"]]
        kind = next((word for word in ("dotted", "wavy") if word in decoration), "solid")
        put_underline(axes, left, y + 3 * scale, long, colour, width=1.6 * scale, kind=kind)
    elif decoration != ["none"]:
        raise SceneError(f"stills do not know text-decoration {style['text-decoration']!r}")


# -- what words and scores are drawn with, too: points, downwards ------------------------------------------------------


def put_shape(axes: Axes, shape: Path, fill: Any, edge: Any = "none", width: float = 0) -> PathPatch:
    """Draw a path on top of what is there.

    Args:
        axes: where; its unit is one point, downwards.
        shape: the path, in points.
        fill: colour, or "none".
        edge: colour of the stroke, or "none".
        width: of the stroke, points.
    """
    patch = PathPatch(shape, facecolor=fill, edgecolor=edge, linewidth=width, clip_on=False, zorder=LAYER)
    axes.add_artist(patch)
    return patch


def put_text(
    axes: Axes,
    x: float,
    y: float,
    words: str,
    *,
    size: float,
    colour: Any,
    bold: bool = False,
    mono: bool = False,
    anchor: str = "start",
) -> Text:
    """Draw a line of text on top of what is there.

    Args:
        axes: where; its unit is one point, downwards.
        x: where it starts, has its middle or ends, as `anchor` says.
        y: its baseline.
        words: plain text; what the font cannot show becomes a box.
        size: points.
        colour: of the letters.
        bold: whether the letters are bold.
        mono: whether all letters are equally wide.
        anchor: "start", "middle" or "end".
    """
    font = font_manager.FontProperties(family=MONO if mono else SANS, weight="bold" if bold else "normal", size=size)
    text = Text(
        x,
        y,
        showable(words, font),
        color=colour,
        fontproperties=font,
        verticalalignment="baseline",
        horizontalalignment=SIDES[anchor],
        parse_math=False,
        usetex=False,
        clip_on=False,
        zorder=LAYER,
    )
    axes.add_artist(text)
    text.set_clip_on(False)
    return text


def put_underline(
    axes: Axes, x: float, y: float, long: float, colour: Any, *, width: float, kind: str = "solid"
) -> None:
    """Draw a line under words: "solid", "dotted" or "wavy"."""
    if kind == "wavy":
        teeth = path(f"M{x} {y}" + f"l{width} {width}l{width} {-width}" * int(long / width / 2))
        put_shape(axes, teeth, "none", colour, width)
        return
    line = Line2D([x, x + long], [y, y], color=colour, linewidth=width, clip_on=False, zorder=LAYER)
    line.set_linestyle(DOTTED if kind == "dotted" else "-")
    line.set_dash_capstyle("butt")
    line.set_solid_capstyle("butt")
    axes.add_line(line)


def width_of(text: Text) -> float:
    """Return how long a line of text is, in points."""
    return _width(text.get_text(), text.get_fontproperties())


def measure(words: str, size: float, *, bold: bool = False, mono: bool = False) -> float:
    """Return how long words will be, in points."""
    font = font_manager.FontProperties(family=MONO if mono else SANS, weight="bold" if bold else "normal", size=size)
    return _width(showable(words, font), font)


def showable(words: str, font: font_manager.FontProperties) -> str:
    """Return words with letters that the font has only, all on one line, and without marks that steer how text runs."""
    known = font_manager.get_font(font_manager.findfont(font)).get_charmap()
    plain = (" " if letter.isspace() else letter for letter in words)
    plain = (letter for letter in plain if unicodedata.category(letter) not in ("Cc", "Cf"))
    return "".join(letter if ord(letter) in known else UNKNOWN for letter in plain)


def _width(words: str, font: font_manager.FontProperties) -> float:
    """Return how far words reach, in points, with the blanks at their ends."""
    stop = text_to_path.get_text_width_height_descent("|", font, ismath=False)[0]
    return float(text_to_path.get_text_width_height_descent(f"|{words}|", font, ismath=False)[0] - 2 * stop)


def _colour(words: str, *opacities: float | str) -> Colour:
    """Return a colour of the stylesheet, with its opacities multiplied in."""
    if words in ("none", "transparent"):
        return (0.0, 0.0, 0.0, 0.0)
    try:
        red, green, blue, alpha = to_rgba(words)
    except ValueError:
        raise SceneError(f"stills do not know the colour {words!r}") from None
    for opacity in opacities:
        alpha *= float(opacity)
    return red, green, blue, alpha


def _dashes(words: str) -> list[float]:
    """Return the lengths of dashes and gaps; matplotlib wants an even number."""
    if words == "none":
        return []
    dashes = [length(one) for one in words.replace(",", " ").split()]
    return dashes * 2 if len(dashes) % 2 else dashes


def _is_bold(weight: str) -> bool:
    return ({"normal": 400.0, "bold": 700.0}.get(weight) or float(weight)) >= BOLD


def _scale(matrix: Affine2D) -> float:
    """Return how many points one unit is."""
    (a, c, _), (b, d, _), _ = matrix.get_matrix()
    return sqrt(abs(a * d - b * c))
