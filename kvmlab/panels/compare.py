"""Two runs side by side: one as it was, and one whose past is changed."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from itertools import zip_longest
from typing import TYPE_CHECKING, Any
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
        self._linked = False
        for player in self.players:
            player.observe(self._moved, "step")
        self._update()
        self.players[0].step = _first(bool(step.differs) for step in self.players[0].shown.steps)

    def _moved(self, change: dict[str, Any]) -> None:
        """Let the other player follow; in the browser it has done so by itself."""
        mover: Player = change["owner"]
        if not self._linked and not mover.from_browser:
            self._linked = True
            self._align(mover)
            self._linked = False

    def _align(self, mover: Player) -> None:
        for player in self.players:
            if player is not mover:
                player.show_event(mover.shown.steps[mover.step].event)

    def leave(self) -> None:
        """Stop following the sessions, and take the other panel and the players away."""
        for stop in self._stop:
            stop()
        widgets_of_both: tuple[widgets.Widget, ...] = (*self.players, self.other.player, self.other, self)
        for widget in widgets_of_both:
            widget.close()

    def _update(self) -> None:
        """Show both runs as they are now; if one has changed, both go to where it did."""
        scenes = side_by_side(self.one.scene, self.other.scene)
        self._linked, changed = True, None
        for player, scene in zip(self.players, scenes, strict=True):
            told, tells = _gist(player.shown), _gist(scene)
            player.grow(scene, player.step)
            if told != tells:
                player.step = _first(gist != before for gist, before in zip_longest(tells, told[: len(tells)]))
                changed = player
        if changed:
            self._align(changed)
        self._linked = False
        self._heads[1].value = f"<b>Another past</b> · {_commands(self.other.scene)}"


def _gist(scene: Scene) -> list[tuple[str, int]]:
    return [(step.title, step.command) for step in scene.steps]


def _first(steps: Iterable[bool]) -> int:
    """Return the number of the first that is true; of the last one if none is."""
    every = list(steps)
    return every.index(True) if True in every else len(every) - 1


def _commands(scene: Scene) -> str:
    count = len({step.command for step in scene.steps})
    return escape(f"{len(scene.steps)} steps of {count} command{'' if count == 1 else 's'}")
