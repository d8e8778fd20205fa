"""Two runs side by side: one as it was, and one whose past is changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
        names: what stands above each of them.
        predict: whether the players ask before a step that has a consequence.
        above: more widgets, shown above the two runs.

    Attributes:
        one, other: the panels.
        players: the two players that show them.
    """

    def __init__(
        self,
        one: Panel,
        other: Panel,
        *,
        names: tuple[str, str] = ("The run as it was", "Another past"),
        predict: bool = False,
        above: Sequence[widgets.Widget] = (),
    ) -> None:
        """Show two runs."""
        self.one, self.other, self.names = one, other, names
        scenes, run = self._scenes(), uuid4().hex
        self.players = tuple(Player(scene, run=run, predict=predict) for scene in scenes)
        half = widgets.Layout(flex="1 1 545px", min_width="0")
        self._heads = [widgets.HTML(), widgets.HTML()]
        sides = [
            widgets.VBox([head, player], layout=half) for head, player in zip(self._heads, self.players, strict=True)
        ]
        row = widgets.HBox(sides, layout=widgets.Layout(flex_flow="row wrap", grid_gap="8px"))
        controls, message, *_ = other.children
        super().__init__([controls, message, *above, row])
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
        scenes = self._scenes()
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
        for side, head in enumerate(self._heads):
            head.value = self._head(side)

    def _scenes(self) -> tuple[Scene, Scene]:
        return side_by_side(self.one.scene, self.other.scene)

    def _head(self, side: int) -> str:
        return f"<b>{escape(self.names[side])}</b> · {_commands((self.one, self.other)[side].scene)}"


def _gist(scene: Scene) -> list[tuple[str, int]]:
    return [(step.title, step.command) for step in scene.steps]


def _first(steps: Iterable[bool]) -> int:
    """Return the number of the first that is true; of the last one if none is."""
    every = list(steps)
    return every.index(True) if True in every else len(every) - 1


def _commands(scene: Scene) -> str:
    count = len({step.command for step in scene.steps})
    return escape(f"{len(scene.steps)} steps of {count} command{'' if count == 1 else 's'}")
