"""Make stills: the pages, with the picture, the words and the score put on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Affine2D
from PIL import Image
from tqdm.auto import tqdm

from kvmlab.engine import InputError
from kvmlab.engine.errors import check_int
from kvmlab.figures.style import Slide, tokens
from kvmlab.files import checked, write
from kvmlab.panels.stills.css import Node, resolve
from kvmlab.panels.stills.draw import draw
from kvmlab.panels.stills.score import score, score_height
from kvmlab.panels.stills.words import head_height, heading, words_beside
from kvmlab.scenes.scene import ACTORS, Scene, plain

PAGE = 12.8 * 72, 7.2 * 72
"""Width and height of a figure with words, points: that of a slide."""
MARGIN, GAP = 15.0, 22.0
BESIDE = 262.0
"""Width of the words beside the picture."""
FRAME = 620.0
"""Width of a picture in a filmstrip, points."""
FRAMES, ROW = 12, 3
"""How many pictures a filmstrip has room for, and how many stand in a row."""
SHOTS = 600
"""How many steps a moving picture has room for."""
FASTER = 20
"""How much sooner a step ends that is one of many alike, as in the player."""
SOONEST, LATEST = 0.1, 60.0
DPI = 100
COLOURS = 256


@style.context("default")
def figure(scene: Scene, step: int, *, theme: str = "light", words: bool = True) -> Slide:
    """Draw a run at one step, for a slide.

    Args:
        scene: the run.
        step: the step, from 0.
        theme: "light" or "dark".
        words: whether the words of the step stand beside the picture and the score below it, on a page of 16:9; no
            letter is then under 8 points. Without, there is the picture alone, as wide as the page.

    Returns:
        A figure of matplotlib, 12.8 inches wide.

    Raises:
        InputError: no such step or theme.
        SceneError: the picture holds something that stills do not know.
    """
    check_int("step", step, 0, len(scene.steps) - 1)
    picture = _stage(scene, step, theme)
    wide, high = _size(picture)
    if not words:
        factor = (PAGE[0] - 2 * MARGIN) / wide
        still, axes = _page(PAGE[0], high * factor + 2 * MARGIN, picture)
        _put(axes, picture, factor, MARGIN, MARGIN)
    else:
        still, axes = _page(*PAGE, picture)
        _slide(axes, scene, step, picture, theme)
    return _told(still, [scene.title, _title(scene, step)], [_words(scene, step), _label(scene)])


@style.context("default")
def filmstrip(scene: Scene, steps: Iterable[int], *, theme: str = "light") -> Slide:
    """Draw several steps of a run side by side, each under its number and title.

    Args:
        scene: the run.
        steps: 1 to 12 steps, from 0; up to three stand in a row, four in two rows.
        theme: "light" or "dark".

    Raises:
        InputError: no such step or theme, no step at all, or too many.
        SceneError: the picture holds something that stills do not know.
    """
    chosen = _chosen(scene, steps, FRAMES)
    columns = len(chosen) if len(chosen) <= ROW else ROW if len(chosen) > 4 else 2
    rows = -(-len(chosen) // columns)
    pictures = [_stage(scene, step, theme) for step in chosen]
    wide, high = _size(pictures[0])
    head = head_height(scene, chosen, FRAME)
    factor, frame = FRAME / wide, high * FRAME / wide + head
    still, axes = _page(
        columns * (FRAME + GAP) - GAP + 2 * MARGIN, rows * (frame + GAP) - GAP + 2 * MARGIN, pictures[0]
    )
    for number, (step, picture) in enumerate(zip(chosen, pictures, strict=True)):
        x, y = MARGIN + number % columns * (FRAME + GAP), MARGIN + number // columns * (frame + GAP)
        heading(axes, scene, step, x, y, FRAME, picture.custom)
        _put(axes, picture, factor, x, y + head)
    return _told(still, [scene.title], [*(_words(scene, step) for step in chosen), _label(scene)])


def gif(
    scene: Scene,
    path: str | PathLike[str],
    *,
    steps: Iterable[int] | None = None,
    seconds: float = 1.8,
    theme: str = "light",
) -> Path:
    """Write a walk as a moving picture, which starts again at its end.

    Args:
        scene: the run.
        path: the file; its name ends in ``.gif``.
        steps: the steps in their order, from 0, at most 600; all by default.
        seconds: how long a step is shown, 0.1 to 60; those that are one of many alike are shown for a twentieth of it.
        theme: "light" or "dark".

    Returns:
        The path.

    Raises:
        InputError: no such step or theme, too many steps, or nothing can be written there.
        SceneError: the picture holds something that stills do not know.
    """
    file = checked(path, (".gif",), "walk.gif")
    if not _is_between(seconds, SOONEST, LATEST):
        raise InputError(f"seconds is {seconds!r}; allowed: {SOONEST} to {LATEST:g}")
    chosen = _chosen(scene, range(len(scene.steps)) if steps is None else steps, SHOTS)
    held = [1000 * seconds / (FASTER if scene.steps[step].fast else 1) for step in chosen]
    shots = [_shot(figure(scene, step, theme=theme)) for step in tqdm(chosen, desc="steps", leave=False)]
    data = BytesIO()
    times = [max(20, round(one / 10) * 10) for one in held]
    comment = scene.title.encode("ascii", "replace")[:255]
    shots[0].save(data, "GIF", save_all=True, append_images=shots[1:], duration=times, loop=0, comment=comment)
    return write(file, data.getvalue())


def _is_between(value: Any, least: float, most: float) -> bool:
    return isinstance(value, int | float) and least <= value <= most


def _shot(still: Slide) -> Image.Image:
    """Return a figure as a picture of the 256 colours that it has most of."""
    canvas: Any = FigureCanvasAgg(still)
    canvas.draw()
    red, green, blue = np.moveaxis(np.asarray(canvas.buffer_rgba())[:, :, :3].astype(int), 2, 0)
    found, where, counts = np.unique(red << 16 | green << 8 | blue, return_inverse=True, return_counts=True)
    parts = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1)
    kept = parts[np.argsort(-counts, kind="stable")[:COLOURS]]
    nearest = np.argmin(((parts[:, None] - kept[None]) ** 2).sum(2), axis=1).astype(np.uint8)
    shot = Image.frombytes("P", red.shape[::-1], nearest[where].tobytes())
    shot.putpalette(kept.astype(np.uint8).tobytes())
    return shot


def _chosen(scene: Scene, steps: Iterable[int], most: int) -> list[int]:
    """Return steps as a list, each of which is one of the run's."""
    try:
        chosen = list(steps)
    except TypeError:
        raise InputError(f"steps is {steps!r}; it must be several steps, such as [0, 3, 5]") from None
    for step in chosen:
        check_int("step", step, 0, len(scene.steps) - 1)
    if not 1 <= len(chosen) <= most:
        raise InputError(f"steps holds {len(chosen)} steps; allowed: 1 to {most}, such as steps=range(0, {most})")
    return chosen


# -- the page: one axes whose unit is one point, downwards -------------------------------------------------------------


def _page(wide: float, high: float, picture: Node) -> tuple[Slide, Axes]:
    """Return an empty page on the paper of the theme."""
    still = Slide(figsize=(wide / 72, high / 72), dpi=DPI, facecolor=picture.custom["--paper"])
    axes = still.add_axes((0, 0, 1, 1), xlim=(0, wide), ylim=(high, 0))
    axes.set_axis_off()
    return still, axes


def _slide(axes: Axes, scene: Scene, step: int, picture: Node, theme: str) -> None:
    """Draw the picture over the score, and the words to the right of both."""
    wide, high = _size(picture)
    below = score_height(scene)
    room = PAGE[0] - 2 * MARGIN - GAP - BESIDE, PAGE[1] - 2 * MARGIN - GAP / 2
    factor = min(room[0] / wide, room[1] / (high + below))
    top = (PAGE[1] - (high + below) * factor - GAP / 2) / 2
    _put(axes, picture, factor, MARGIN, top)
    lanes = resolve(ElementTree.fromstring(score(scene, step)), scene.name, theme, "score")
    _put(axes, lanes, factor, MARGIN, top + high * factor + GAP / 2)
    left = MARGIN + wide * factor + GAP
    words_beside(axes, scene, step, left, top, PAGE[0] - MARGIN - left, PAGE[1] - MARGIN, picture.custom)


def _put(axes: Axes, picture: Node, factor: float, x: float, y: float) -> None:
    """Draw a picture with its corner at a place."""
    draw(axes, picture, Affine2D().scale(factor).translate(x, y))


def _stage(scene: Scene, step: int, theme: str) -> Node:
    """Return the picture at a step with its styles, its parts wearing the same classes as in the player."""
    tokens(theme)
    one, shown = scene.steps[step], scene.at(step)
    root = ElementTree.fromstring(scene.markup.replace("{uid}", ""))
    for part in root.iter():
        if (name := part.get("data-id")) is None:
            continue
        state, text = shown[name]
        worn = [word for word in ("now", "cause", "differs") if name in getattr(one, word)]
        part.set("class", " ".join([part.get("class", ""), state, *worn]))
        if len(part) == 0:
            part.text = text
    return resolve(root, scene.name, theme)


def _size(picture: Node) -> tuple[float, float]:
    """Return width and height of a drawing in its own units."""
    wide, high = picture.attributes["viewBox"].split()[2:]
    return float(wide), float(high)


# -- words for those who cannot see it ---------------------------------------------------------------------------------


def _told(still: Slide, title: Sequence[str], alt: Sequence[str]) -> Slide:
    still.kvmlab_title, still.kvmlab_alt = ": ".join(title), " ".join(alt)
    return still


def _title(scene: Scene, step: int) -> str:
    return f"step {step + 1} of {len(scene.steps)}, {scene.steps[step].title}"


def _words(scene: Scene, step: int) -> str:
    """Return a step in sentences."""
    one = scene.steps[step]
    number = f"Step {step + 1} of {len(scene.steps)}."
    return f"{number} {one.chip or ACTORS[one.actor]}, {one.fn}: {one.title}. {plain(one.why)}"


def _label(scene: Scene) -> str:
    """Return what the picture itself says that it shows."""
    return ElementTree.fromstring(scene.markup).get("aria-label", "")
