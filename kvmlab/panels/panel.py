"""What all panels have in common: controls in a row, a line of words under them, and the player."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from os import PathLike
from pathlib import Path

import ipywidgets as widgets

from kvmlab.panels.export import export
from kvmlab.panels.player import Player
from kvmlab.scenes.scene import Scene

MESSAGE_LIMIT = 400


class Panel(widgets.VBox):
    """Controls, what came of them, and the player that shows it.

    Attributes:
        player: the player.
        message: the line under the controls: what the last command came to, or what was wrong with it.
    """

    def __init__(self, controls: Sequence[widgets.Widget], player: Player) -> None:
        """Put the controls over the player."""
        self.player = player
        self.message = widgets.HTML(layout=widgets.Layout(min_height="2em", margin="0 0 0 8px"))
        self.message.add_class("kvmlab-message")
        row = widgets.HBox(controls, layout=widgets.Layout(flex_flow="row wrap", align_items="center", grid_gap="4px"))
        super().__init__([row, self.message, player])
        self.add_class("kvmlab-panel")

    @property
    def step(self) -> int:
        """The step shown, from 0."""
        return int(self.player.step)

    @step.setter
    def step(self, step: int) -> None:
        self.player.step = step

    def export(self, path: str | PathLike[str]) -> Path:
        """Write the run to one HTML file that plays without kernel and network, replacing what was there.

        Args:
            path: the file; its name ends in ``.html``.

        Returns:
            The path.

        Raises:
            InputError: nothing can be written there; the message says why.
        """
        return export(Scene.from_dict(self.player.scene), path)

    def say(self, words: str, *, error: bool = False) -> None:
        """Put a sentence under the controls.

        Args:
            words: plain text; what is too long is cut.
            error: whether it says why something was not done.
        """
        words = words if len(words) <= MESSAGE_LIMIT else words[:MESSAGE_LIMIT] + "…"
        sign = '<b class="kvmlab-error">Not done:</b> ' if error else ""
        self.message.value = f'<span role="{"alert" if error else "status"}">{sign}{escape(words)}</span>'
