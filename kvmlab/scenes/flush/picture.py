"""Draw the flush curves: full flushes per 1,000 guest entries against the number of guests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from kvmlab.rollover.survey import APPROXIMATE, PER, Survey
from kvmlab.scenes import svg
from kvmlab.scenes.flush.words import SHORT, end, label
from kvmlab.scenes.svg import number

WIDTH, HEIGHT = 800, 400
LEFT, RIGHT, TOP, BOTTOM = 56, 560, 62, 336
LABEL_X, LABEL_HIGH = 576, 40
HUES = {"round-robin": "rr", "uniform": "uni", "runs": "burst", "zipf": "zipf"}
"""Each curve's class: its colour, and below the shape of its marks."""
MARK = 6.5


class Plane:
    """Turns guests and rates into places of the drawing.

    Args:
        most: guests at the right end.
        highest: rate per 1,000 entries at the top.
    """

    def __init__(self, most: int, highest: float) -> None:
        self.most, self.highest = most, highest

    def x(self, guests: float) -> float:
        """Return where a number of guests stands."""
        return LEFT + (RIGHT - LEFT) * guests / self.most

    def y(self, rate: float) -> float:
        """Return where a rate per 1,000 entries stands; what is higher than the drawing is cut off."""
        return BOTTOM - (BOTTOM - TOP) * min(rate / self.highest, 1)

    def path(self, points: Iterable[tuple[float, float]]) -> str:
        """Return a line through points."""
        return "M" + "L".join(f"{number(self.x(n))} {number(self.y(rate))}" for n, rate in points)


def markup(found: Survey) -> str:
    """Return the picture of a survey; its parts are shown and hidden by the steps."""
    one = found.setting
    plane = Plane(one.most, 1.06 * PER / one.numbers)
    places = apart({key: BOTTOM - plane.y(_end(found, key)) for key in SHORT}, LABEL_HIGH)
    inside = [
        *_axes(found, plane),
        svg.group("zero", "zero", _zero(found, plane)),
        svg.group("cliff", "cliff", _cliff(found, plane)),
        *(svg.group(key, f"curve {HUES[key]}", _curve(found, plane, key, BOTTOM - places[key])) for key in SHORT),
        svg.group("found", f"found {HUES[one.schedule]}", _found(found, plane)),
    ]
    return svg.picture(WIDTH, HEIGHT, label(found), inside)


def _axes(found: Survey, plane: Plane) -> list[str]:
    one = found.setting
    parts = [svg.text(LEFT - 46, 15, f"full flushes per {PER} guest entries", css="q", size=14)]
    step = _nice(plane.highest / 5)
    for tick in range(int(plane.highest / step + 1e-9) + 1):
        y = plane.y(tick * step)
        parts.append(svg.line(f"M{LEFT} {number(y)}H{RIGHT}", css="grid"))
        parts.append(svg.text(LEFT - 10, y + 5, f"{tick * step:.6g}", css="q end", size=14))
    half = (one.numbers + 1) // 2
    for n in (0, half, 3 * half, one.most):
        x = plane.x(n)
        parts.append(svg.line(f"M{number(x)} {BOTTOM}v6", css="tick"))
        parts.append(svg.text(x, BOTTOM + 21, str(n), css="q mid", size=14))
    parts.append(svg.text(RIGHT + 14, BOTTOM + 42, "number of guests", css="q end", size=14))
    return parts


def _zero(found: Survey, plane: Plane) -> list[str]:
    """Return the exact zero: a bar on the axis, with words over it."""
    end_x = plane.x(found.setting.numbers + 0.5)
    return [
        svg.box(LEFT, BOTTOM - 5, end_x - LEFT, 6, css="bar", radius=0),
        svg.text(LEFT + 8, BOTTOM - 50, "exactly 0", css="b", size=16),
        svg.text(LEFT + 8, BOTTOM - 31, "each guest", size=14),
        svg.text(LEFT + 8, BOTTOM - 14, "keeps its VMID", size=14),
    ]


def _cliff(found: Survey, plane: Plane) -> list[str]:
    numbers = found.setting.numbers
    x = plane.x(numbers + 0.5)
    return [
        svg.line(f"M{number(x)} {TOP - 12}V{BOTTOM + 7}", css="wall"),
        svg.text(x, BOTTOM + 21, f"{numbers} | {numbers + 1}", css="b mid", size=14),
        svg.text(x, BOTTOM + 42, "VMIDs run out", css="b mid", size=14),
    ]


def _curve(found: Survey, plane: Plane, key: str, place: float) -> list[str]:
    """Return a law's line, its marks at both ends, and its name at the right."""
    points = [(n, PER * float(gap.rate)) for n, gap in found.lines[key]]
    parts = []
    if points:
        chosen = " chosen" if key == found.setting.schedule else ""
        about = " about" if key in APPROXIMATE else ""
        parts.append(svg.line(plane.path(points), css=f"ln{chosen}{about}"))
        parts += [_mark(key, plane.x(n), plane.y(rate), "mk") for n, rate in (points[0], points[-1])]
        last = plane.y(points[-1][1])
        if abs(place - last) > 3:
            parts.append(svg.line(f"M{RIGHT + 8} {number(last)}L{LABEL_X - 4} {number(place)}", css="lead"))
    parts.append(svg.text(LABEL_X, place + 2, SHORT[key], css="nm b", size=16))
    parts.append(svg.text(LABEL_X, place + 19, end(found, key), css="q"))
    return parts


def _found(found: Survey, plane: Plane) -> list[str]:
    """Return the setting: the band of its law, what was counted, and the number of guests that is looked at."""
    one = found.setting
    parts = []
    if band := found.band():
        under, over = [(n, rate) for n, rate, _ in band], [(n, rate) for n, _, rate in band]
        parts.append(svg.line(f"{plane.path([*over, *reversed(under)])}z", css="band"))
    x = plane.x(one.guests)
    parts.append(svg.line(f"M{number(x)} {TOP - 20}V{BOTTOM}", css="here"))
    for n, run in found.counted.items():
        at_x, at_y = plane.x(n), plane.y(PER * run.rate)
        if not band and run.gaps > 1:
            low, high = run.gap.interval(one.entries)
            parts.append(
                svg.line(f"M{number(at_x)} {number(plane.y(PER * high))}V{number(plane.y(PER * low))}", css="whisker")
            )
        parts.append(_mark(one.schedule, at_x, at_y, "mk counted"))
    law, here = found.gap(), found.run.rate
    y = plane.y(PER * (float(law.rate) if law and one.guests not in found.counted else here))
    parts.append(f'<circle cx="{number(x)}" cy="{number(y)}" r="{MARK + 5}" class="eye"/>')
    words = f"{one.guests} {'guest' if one.guests == 1 else 'guests'}"
    reach = 4.6 * len(words)
    parts.append(svg.text(min(max(x, LEFT + reach), RIGHT + 40 - reach), TOP - 27, words, css="b mid here-t", size=15))
    return parts


def _mark(key: str, x: float, y: float, css: str) -> str:
    """Return a mark: a square, a disc, a diamond or a triangle."""
    r = MARK
    shapes = {
        "round-robin": f"M{number(x - r + 1)} {number(y - r + 1)}h{2 * r - 2}v{2 * r - 2}h{2 - 2 * r}z",
        "uniform": f"M{number(x - r)} {number(y)}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z",
        "runs": f"M{number(x)} {number(y - r - 1)}l{r + 1} {r + 1}l{-r - 1} {r + 1}l{-r - 1} {-r - 1}z",
        "zipf": f"M{number(x)} {number(y - r - 1)}l{r + 1} {2 * r}h{-2 * r - 2}z",
    }
    return svg.line(shapes[key], css=css)


def _end(found: Survey, key: str) -> float:
    """Return the rate at which a curve ends; without a law, the last that was counted, or a place for its name."""
    line, one = found.lines[key], found.setting
    if line:
        return PER * float(line[-1][1].rate)
    return PER * (found.runs[one.most].rate if key == one.schedule else 1 / (3 * one.numbers))


def apart(wanted: dict[str, float], room: float) -> dict[str, float]:
    """Return heights from the ground up, as near as possible to those wanted, with room between them.

    Args:
        wanted: a height for each name.
        room: the least distance of two.
    """
    places: dict[str, float] = {}
    free = room / 4
    for key in sorted(wanted, key=lambda key: wanted[key]):
        places[key] = max(wanted[key], free)
        free = places[key] + room
    return places


def _nice(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, ... (times a power of ten) that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    steps: Sequence[float] = (1, 2, 5, 10)
    return power * next(step for step in steps if step * power >= least * 0.999)
