"""The flush panel: how often VMIDs run out, redrawn as the sliders move."""

from __future__ import annotations

import asyncio
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from kvmlab.engine import InputError
from kvmlab.panels.controls import choice
from kvmlab.panels.export import export
from kvmlab.panels.player import Player
from kvmlab.rollover.schedules import SCHEDULES
from kvmlab.rollover.survey import LEAST_BITS, MOST_CPUS, Setting, Survey, survey
from kvmlab.rollover.theory import MAX_BITS
from kvmlab.scenes.flush.story import flush_scene
from kvmlab.scenes.scene import Scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENTRIES = (3_000, 10_000, 30_000, 100_000)
WAIT = 0.02
"""Seconds in which moves of the sliders are gathered into one new picture."""


def flushes(
    guests: int | None = None,
    *,
    vmid_bits: int = 8,
    schedule: str = "uniform",
    cpus: int = 1,
    entries: int = 30_000,
    start: str = "end",
    predict: bool = False,
) -> FlushPanel:
    """Show how often all TLBs are flushed because VMIDs have run out: exact curves, and what a simulation counts.

    Args:
        guests: running guests, 1 to 2**(vmid_bits + 1); some more than there are VMIDs if not given.
        vmid_bits: width of a VMID, 4 to 16 bits.
        schedule: "round-robin", "uniform", "runs" or "zipf".
        cpus: CPUs, 1 to 4; each guest has one vCPU.
        entries: guest entries behind each simulated point: 3000, 10000, 30000 or 100000.
        start: "end" to see everything at once, "begin" to build the picture up from an empty one.
        predict: whether to ask before a curve is shown.

    Returns:
        A widget: let it be the last line of a cell.

    Raises:
        InputError: a value is out of range, or there is no such schedule or start.
    """
    if start not in ("begin", "end"):
        raise InputError(f"start is {start!r}; allowed: begin, end")
    if entries not in ENTRIES:
        raise InputError(f"entries is {entries!r}; allowed: {', '.join(map(str, ENTRIES))}")
    bits = Setting(guests=1, vmid_bits=vmid_bits).vmid_bits
    chosen = Setting((1 << bits) * 6 // 5 if guests is None else guests, bits, schedule, cpus, entries)
    return FlushPanel(chosen, start=start, predict=predict)


class FlushPanel(widgets.VBox):
    """Sliders, and the curves.

    Attributes:
        guests, bits, schedule, cpus, entries: the controls.
        player: the picture, and the steps that build it up.
        found: what is shown.
    """

    def __init__(self, setting: Setting, *, start: str = "end", predict: bool = False) -> None:
        """Show what a setting comes to."""
        self.guests = _slider("guests", setting.guests, 1, setting.most, "20em", "how many guests run")
        self.bits = _slider("VMID bits", setting.vmid_bits, LEAST_BITS, MAX_BITS, "16em", "8 on the Cortex-A15")
        self.schedule = choice(
            "schedule", [(one.short, key) for key, one in SCHEDULES.items()], "15em", value=setting.schedule
        )
        self.cpus = _slider("CPUs", setting.cpus, 1, MOST_CPUS, "13em", "each guest has one vCPU")
        self.entries = choice("entries", [(str(count), count) for count in ENTRIES], "10em", value=setting.entries)
        self._waiting = False
        self.found: Survey = survey(setting)
        scene = flush_scene(self.found)
        self.player = Player(scene, predict=predict)
        self.player.step = len(scene.steps) - 1 if start == "end" else 0
        controls = [self.guests, self.bits, self.schedule, self.cpus, self.entries]
        row = widgets.HBox(controls, layout=widgets.Layout(flex_flow="row wrap", align_items="center", grid_gap="4px"))
        row.add_class("kvmlab-controls")
        super().__init__([row, self.player])
        self.add_class("kvmlab-flush")
        self.bits.observe(self._rescale, "value")
        for control in controls:
            control.observe(self._moved, "value")

    @property
    def setting(self) -> Setting:
        """What the controls say."""
        return Setting(self.guests.value, self.bits.value, self.schedule.value, self.cpus.value, self.entries.value)

    @property
    def scene(self) -> Scene:
        """The scene shown."""
        return self.player.shown

    def redraw(self) -> None:
        """Show what the controls say, and the whole of it."""
        self._waiting = False
        if self.setting != self.found.setting:
            self.found = survey(self.setting)
            scene = flush_scene(self.found)
            self.player.grow(scene, len(scene.steps) - 1)

    def _rescale(self, change: dict[str, Any]) -> None:
        """Keep the slider of guests where it stands when the numbers become more or fewer."""
        most, old = 2 << change["new"], self.guests.max
        guests = max(1, self.guests.value * most // old)
        with self.guests.hold_trait_notifications():
            self.guests.max = most
            self.guests.value = guests

    def _moved(self, _: object) -> None:
        """Redraw soon: once for all moves that have come until then, so that none queue up."""
        if self._waiting:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.redraw()
            return
        self._waiting = True
        loop.call_later(WAIT, self.redraw)

    def figure(self, theme: str = "light") -> Figure:
        """Return the picture as a figure of matplotlib, for a slide.

        Args:
            theme: "light" or "dark".

        Raises:
            InputError: there is no such theme.
        """
        from kvmlab.figures.flush import draw, of_survey

        self.redraw()
        return draw(of_survey(self.found), theme)

    def export(self, path: str | PathLike[str]) -> Path:
        """Write the picture, its steps and all of it in words to one HTML file, replacing what was there.

        Args:
            path: the file; its name ends in ``.html``.

        Returns:
            The path.

        Raises:
            InputError: nothing can be written there; the message says why.
        """
        self.redraw()
        return export(self.scene, path)


def _slider(name: str, value: int, low: int, high: int, width: str, tip: str) -> widgets.IntSlider:
    slider = widgets.IntSlider(
        value=value, min=low, max=high, description=name, tooltip=tip, style={"description_width": "auto"},
        layout=widgets.Layout(width=width),
    )  # fmt: skip
    slider.add_class(f"kvmlab-{name.lower().replace(' ', '-')}")
    return slider
