"""All figures for talks: by name, and written to files."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import product
from os import PathLike
from pathlib import Path
from typing import Any

from kvmlab.engine.errors import InputError, did_you_mean
from kvmlab.figures.files import KINDS, save
from kvmlab.figures.show import Shown, show
from kvmlab.figures.style import SIZES, THEMES, Slide
from kvmlab.files import directory, ready

FIGURES = {
    "flush-frequency": "flush:flush_frequency",
    "flush-widths": "widths:flush_widths",
    "cliff": "cliff:cliff",
    "allocators": "allocators:allocators",
    "flush-cost": "cost:cost",
    "flush-raster": "raster:raster",
    "vmid-occupancy": "occupancy:occupancy",
    "pgd-tree": "tree:pgd_tree",
    "walk": "walk:walk",
    "nested-walk": "nested:nested_walk",
    "descriptor": "descriptor:descriptor",
    "table-footprint": "footprint:footprint",
    "cache-storm": "cache:cache_storm",
    "notifier-path": "notifier:notifier_path",
    "schedule-grid": "schedules:schedule_grid",
    "machine-map": "houses:machine_map",
}
"""Where each figure is drawn: module and function."""


def figure(name: str, theme: str = "light", size: str = "slide", **options: Any) -> Slide:
    """Return a figure by its name.

    Args:
        name: one of `FIGURES`.
        theme: "light" or "dark".
        size: "slide" (16:9) or "column" (of a paper in two columns).
        options: what the figure itself can be told; see the function that `FIGURES` names.

    Raises:
        InputError: there is no such figure, theme or size, or an option is out of range.
    """
    drawn: Slide = _function(*chosen([name]))(theme, size, **options)
    return drawn


def shown(name: str, size: str = "slide", **options: Any) -> Shown:
    """Return a figure for a notebook, in the colours of the notebook's theme.

    Args:
        name: as for `figure`.
        size: as for `figure`.
        options: as for `figure`.

    Raises:
        InputError: as for `figure`.
    """
    return show(*(figure(name, theme, size, **options) for theme in THEMES))


def describe(name: str) -> str:
    """Return what a figure shows, in one sentence.

    Args:
        name: one of `FIGURES`.
    """
    return (inspect.getdoc(_function(name)) or "").splitlines()[0]


def _function(name: str) -> Any:
    module, function = FIGURES[name].split(":")
    return getattr(import_module(f"kvmlab.figures.{module}"), function)


def chosen(names: Sequence[str] | None) -> list[str]:
    """Return names of figures after a look whether there are such.

    Args:
        names: some of `FIGURES`; all of them if not given.

    Raises:
        InputError: one of them is none; the message names what is nearest.
    """
    return _checked("figure", names, tuple(FIGURES))


class Files:
    """Files that are written one by one as somebody asks for the next.

    Attributes:
        total: how many there will be.
    """

    def __init__(self, todo: list[tuple[str, str, str, list[Path]]]) -> None:
        """Remember what to draw."""
        self._todo = todo
        self.total = sum(len(paths) for *_, paths in todo)

    def __iter__(self) -> Iterator[Path]:
        """Draw and write."""
        for name, size, theme, paths in self._todo:
            drawn = figure(name, theme, size)
            yield from (save(drawn, path) for path in paths)


def write_all(
    out: str | PathLike[str],
    names: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    sizes: Sequence[str] | None = None,
    themes: Sequence[str] | None = None,
) -> Files:
    """Return the figures as files still to be written, after a look at all that could go wrong.

    Args:
        out: the directory; made if it does not exist.
        names: figures; all if not given.
        kinds: "svg", "pdf", "png"; all if not given.
        sizes: "slide", "column"; both if not given.
        themes: "light", "dark"; both if not given.

    Returns:
        To be iterated: each file is written when it is asked for. Names are ``figure-size-theme.kind``.

    Raises:
        InputError: a name is not one of those, or nothing can be written there.
    """
    wanted = (
        chosen(names), _checked("size", sizes, tuple(SIZES)), _checked("theme", themes, THEMES),
    )  # fmt: skip
    suffixes = _checked("kind", kinds, KINDS)
    folder = directory(out)
    todo = [
        (name, size, theme, [folder / f"{name}-{size}-{theme}.{kind}" for kind in suffixes])
        for name, size, theme in product(*wanted)
    ]
    for *_, paths in todo:
        for path in paths:
            ready(path)
    return Files(todo)


def _checked(what: str, names: Sequence[str] | None, allowed: tuple[str, ...]) -> list[str]:
    """Return names in the order in which they are known, each once."""
    for name in names or ():
        if name not in allowed:
            raise InputError(f"{what} is {name!r}; allowed: {', '.join(allowed)}{did_you_mean(name, allowed)}")
    return [name for name in allowed if names is None or name in names]
