"""Two runs side by side: one as it was, and one whose past is changed."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from uuid import uuid4

import ipywidgets as widgets

from kvmlab.panels.player import Player
from kvmlab.scenes.compare import side_by_side
from kvmlab.scenes.scene import Scene

if TYPE_CHECKING:
    from kvmlab.panels.panel import Panel


class Comparison(widgets.VBox):
    """Two panels of the same kind, moved together, with what differs marked; both follow their sessions.

    Args:
        one: a panel; it stays as it is where it is displayed.
        other: a panel of the same kind on another session; its controls are shown here.

    Attributes:
        one, other: the panels.
        players: the two players that show them.
    """

    def __init__(self, one: Panel, other: Panel) -> None:
        """Show two runs."""
        self.one, self.other = one, other
        scenes, run = side_by_side(one.scene, other.scene), uuid4().hex
        self.players = tuple(Player(scene, run=run) for scene in scenes)
        half = widgets.Layout(flex="1 1 560px", min_width="0")
        kept = f"<b>The run as it was</b> · {_commands(one.scene)}"
        self._heads = [widgets.HTML(kept), widgets.HTML()]
        sides = [
            widgets.VBox([head, player], layout=half) for head, player in zip(self._heads, self.players, strict=True)
        ]
        row = widgets.HBox(sides, layout=widgets.Layout(flex_flow="row wrap", grid_gap="8px"))
        controls, message, *_ = other.children
        super().__init__([controls, message, row])
        self.add_class("kvmlab-compare")
        self._stop = [panel.session.on_change(self._update) for panel in (one, other)]
        self._update()
        self.step_to_difference()

    def step_to_difference(self) -> None:
        """Go to the first step at which the runs differ; where they never do, to the end of the shorter one."""
        for player in self.players:
            marked = (number for number, step in enumerate(player.shown.steps) if step.differs)
            player.step = next(marked, len(player.shown.steps) - 1)

    def leave(self) -> None:
        """Stop following the sessions, and take the other panel and the players away."""
        for stop in self._stop:
            stop()
        widgets_of_both: tuple[widgets.Widget, ...] = (*self.players, self.other.player, self.other, self)
        for widget in widgets_of_both:
            widget.close()

    def _update(self) -> None:
        scenes = side_by_side(self.one.scene, self.other.scene)
        for player, scene in zip(self.players, scenes, strict=True):
            if scene != player.shown:
                player.grow(scene, _first_new(player.shown, scene))
        self._heads[1].value = f"<b>Another past</b> · {_commands(self.other.scene)}"


def _first_new(old: Scene, new: Scene) -> int:
    """Return the first step of `new` that does not tell what the same step of `old` tells."""
    for number, (before, after) in enumerate(zip(old.steps, new.steps, strict=False)):
        if (before.title, before.command) != (after.title, after.command):
            return number
    return min(len(old.steps), len(new.steps) - 1)


def _commands(scene: Scene) -> str:
    count = len({step.command for step in scene.steps})
    return escape(f"{len(scene.steps)} steps of {count} command{'' if count == 1 else 's'}")
