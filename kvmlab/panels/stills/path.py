"""Shapes of SVG as paths of matplotlib: rectangles, circles, lines, path data, transformations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import radians

import numpy as np
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, Bbox

from kvmlab.panels.stills.css import Node, length
from kvmlab.scenes.scene import SceneError

ROUND = 4 / 3 * (2**0.5 - 1)
"""How far the handles of a curve reach that stands for a quarter of a circle of radius 1."""
ARGUMENTS = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "Q": 4, "Z": 0}
"""The commands of path data that scenes use, and how many numbers each takes."""

_TOKEN = re.compile(r"([A-Za-z])|(-?(?:\d+\.?\d*|\.\d+)(?:e-?\d+)?)")
_TRANSFORM = re.compile(r"(\w+)\(([^)]*)\)")
_UNIT = re.compile(r"(?:px|deg)?(?:\s*,\s*|\s+)|(?:px|deg)$")
_LINE = (int(Path.LINETO),)
_CODES = {"M": (int(Path.MOVETO),), "C": (int(Path.CURVE4),) * 3, "Q": (int(Path.CURVE3),) * 2}


def outline(node: Node) -> Path:
    """Return the outline of an element that has one, in its own units.

    Raises:
        SceneError: stills do not know such an element.
    """
    has = node.attributes
    match node.tag:
        case "rect":
            return rectangle(*_lengths(node, "x", "y", "width", "height", "rx"))
        case "circle":
            x, y, radius = _lengths(node, "cx", "cy", "r")
            return rectangle(x - radius, y - radius, 2 * radius, 2 * radius, radius)
        case "line":
            x1, y1, x2, y2 = _lengths(node, "x1", "y1", "x2", "y2")
            return Path([(x1, y1), (x2, y2)])
        case "path":
            return path(has.get("d", ""))
    raise SceneError(f"stills do not know the element <{node.tag}>")


def path(data: str) -> Path:
    """Return the path that path data describes.

    Raises:
        SceneError: it holds a command that stills do not know.

    >>> path("M1 2h3v4z").vertices.tolist()
    [[1.0, 2.0], [4.0, 2.0], [4.0, 6.0], [1.0, 2.0]]
    """
    points: list[tuple[float, float]] = []
    codes: list[int] = []
    x = y = 0.0
    first = (x, y)
    for letter, numbers in _commands(data):
        command = letter.upper()
        if command == "Z":
            points.append(first)
            codes.append(int(Path.CLOSEPOLY))
            x, y = first
            continue
        dx, dy = (x, y) if letter.islower() else (0.0, 0.0)
        if command == "H":
            pairs = [(numbers[0] + dx, y)]
        elif command == "V":
            pairs = [(x, numbers[0] + dy)]
        else:
            pairs = [(one + dx, two + dy) for one, two in zip(numbers[::2], numbers[1::2], strict=True)]
        points += pairs
        codes += _CODES.get(command, _LINE)
        x, y = pairs[-1]
        if command == "M":
            first = (x, y)
    return Path(np.array(points).reshape(-1, 2), codes)


def _commands(data: str) -> Iterator[tuple[str, list[float]]]:
    """Split path data into commands with as many numbers as each takes; a second pair after M is a line."""
    letter, position = "", 0
    numbers: list[float] = []
    for token in _TOKEN.finditer(data):
        if data[position : token.start()].strip(" ,\n"):
            break
        position = token.end()
        if token[1]:
            if numbers or token[1].upper() not in ARGUMENTS:
                raise SceneError(f"stills do not know {token[1]!r} in the path {data!r}")
            letter, numbers = token[1], []
            if ARGUMENTS[letter.upper()] == 0:
                yield letter, []
        else:
            numbers.append(float(token[2]))
            if letter and len(numbers) == ARGUMENTS[letter.upper()]:
                yield letter, numbers
                numbers = []
                letter = {"M": "L", "m": "l"}.get(letter, letter)
    if numbers or data[position:].strip():
        raise SceneError(f"the path {data!r} breaks off or cannot be read at {data[position:]!r}")


def rectangle(x: float, y: float, width: float, height: float, radius: float) -> Path:
    """Return a rectangle, with round corners where the radius is not 0."""
    radius = min(radius, width / 2, height / 2)
    if radius <= 0:
        return path(f"M{x} {y}h{width}v{height}h{-width}z")
    w, h, r = width - 2 * radius, height - 2 * radius, radius
    k = r * (1 - ROUND)
    return path(
        f"M{x + r} {y}h{w}c{r - k} 0 {r} {k} {r} {r}v{h}c0 {r - k} {k - r} {r} {-r} {r}"
        f"h{-w}c{k - r} 0 {-r} {-k} {-r} {-r}v{-h}c0 {k - r} {r - k} {-r} {r} {-r}z"
    )


def transform(words: str) -> Affine2D:
    """Return what a ``transform`` does to points.

    Raises:
        SceneError: it holds a function that stills do not know.

    >>> transform("translate(3px, 4px) scale(2)").transform((1, 1)).tolist()
    [5.0, 6.0]
    """
    whole = Affine2D()
    for name, inside in _TRANSFORM.findall("" if words == "none" else words):
        numbers = [length(number) for number in _UNIT.sub(" ", inside.strip()).split()]
        match name, numbers:
            case "translate" | "translateX", [x]:
                one = Affine2D().translate(x, 0)
            case "translateY", [y]:
                one = Affine2D().translate(0, y)
            case "translate", [x, y]:
                one = Affine2D().translate(x, y)
            case "scale", [factor]:
                one = Affine2D().scale(factor)
            case "rotate", [angle]:
                one = Affine2D().rotate(radians(angle))
            case "rotate", [angle, x, y]:
                one = Affine2D().rotate_around(x, y, radians(angle))
            case _:
                raise SceneError(f"stills do not know the transformation {name}({inside})")
        whole = then(one, whole)
    return whole


def then(first: Affine2D, second: Affine2D) -> Affine2D:
    """Return what two transformations, one after the other, do to points."""
    return Affine2D(second.get_matrix() @ first.get_matrix())


def tiles(tile: Node, outlines: list[Path], over: Bbox) -> Path:
    """Return a pattern's shapes, repeated until they cover a box.

    Args:
        tile: the ``<pattern>``.
        outlines: shapes inside one tile; what sticks out of it is cut off.
        over: the box, in units of the drawing.
    """
    width, height = _lengths(tile, "width", "height")
    turn = transform(tile.attributes.get("patternTransform", "none"))
    corners = turn.inverted().transform(over.corners())
    first, last = np.floor(corners.min(0) / (width, height)), corners.max(0) / (width, height)
    columns, rows = np.meshgrid(np.arange(first[0], last[0]), np.arange(first[1], last[1]))
    places = np.stack([columns * width, rows * height], axis=-1).reshape(-1, 1, 2)
    cell = Bbox.from_bounds(0, 0, width, height)
    shapes = [shape.clip_to_bbox(cell) for shape in outlines]
    many = [
        Path((np.asarray(shape.vertices) + places).reshape(-1, 2), np.tile(shape.codes, len(places)))
        for shape in shapes
        if shape.codes is not None
    ]
    return turn.transform_path(Path.make_compound_path(*many))


def ribbon(line: Path, width: float) -> Path:
    """Return the area that a stroke of some width covers, for a path of straight pieces."""
    pieces = []
    for start, end in _pieces(line):
        along = end - start
        across = np.array([-along[1], along[0]]) / np.hypot(*along) * width / 2
        pieces.append(Path([start + across, end + across, end - across, start - across, start + across], closed=True))
    return Path.make_compound_path(*pieces)


def _pieces(line: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Return start and end of each straight piece."""
    at = None
    for point, code in line.iter_segments(curves=False):
        if at is not None and code != Path.MOVETO:
            yield at, point
        at = point


def _lengths(node: Node, *names: str) -> list[float]:
    """Return attributes that are lengths; one that is not there is 0."""
    return [length(node.attributes.get(name, "0")) for name in names]
