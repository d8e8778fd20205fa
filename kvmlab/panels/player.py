"""The player: a widget that shows a scene and walks through it without asking the kernel."""

from __future__ import annotations

from bisect import bisect_right
from importlib.resources import files
from typing import Any

import anywidget
import traitlets

from kvmlab.scenes.scene import Scene, step_to_dict

STATIC = files("kvmlab.panels") / "static"
MODULES = ("draw.js", "score.js", "ask.js", "player.js", "widget.js")
"""The parts of the player's one module, in order."""


def style() -> str:
    """Return the one stylesheet of all panels: the colours, the shell, then each scene's own part."""
    first = ("tokens.css", "panel.css")
    rest = sorted(sheet.name for sheet in STATIC.iterdir() if sheet.name.endswith(".css") and sheet.name not in first)
    return "\n".join((STATIC / name).read_text(encoding="utf-8") for name in (*first, *rest))


def module() -> str:
    """Return the player's ES module."""
    return "\n".join((STATIC / name).read_text(encoding="utf-8") for name in MODULES)


class Player(anywidget.AnyWidget):
    """Show a scene, one step at a time.

    Args:
        scene: the scene to show.

    Attributes:
        step: the step shown, from 0; read it or set it. Moving in the browser costs the kernel nothing; `step` follows
            when the hand rests.
        run: players with the same name here move together.
        predict: whether to ask before a step that has a consequence.
        answers: what has been answered, by step: the number of the choice, or "skip".
        shown: the scene.
        from_browser: whether a change that is being told comes from the browser.
    """

    _esm = module()
    _css = style()
    scene = traitlets.Dict().tag(sync=True)
    step = traitlets.Int(0).tag(sync=True, echo_update=False)
    run = traitlets.Unicode("").tag(sync=True)
    predict = traitlets.Bool(False).tag(sync=True)
    answers = traitlets.Dict().tag(sync=True, echo_update=False)

    def __init__(self, scene: Scene, **options: Any) -> None:
        """Show `scene` from its first step."""
        self.shown = scene
        self.from_browser = False
        super().__init__(scene=scene.to_dict(), **options)

    def grow(self, scene: Scene, step: int | None = None) -> None:
        """Show a longer run of the same, or another past of it; what the browser has already does not travel again.

        Args:
            scene: the run so far.
            step: where to stand then; the first new step by default.
        """
        old, self.shown = self.shown, scene
        same = min(len(old.steps), len(scene.steps))
        pairs = enumerate(zip(old.steps[:same], scene.steps, strict=False))
        changed = {n: step_to_dict(now) for n, (was, now) in pairs if was is not now and was != now}
        more = scene.to_dict(start=same)
        if scene.markup == old.markup:
            del more["markup"]
        steps = [changed.get(n, step) for n, step in enumerate(self.scene["steps"][:same])]
        self.scene.update({**more, "steps": steps + more["steps"]})
        self.send({"grow": more, "from": same, "changed": changed})
        self.step = len(old.steps) if step is None else step

    def show_event(self, event: int) -> None:
        """Go to the last step at which no more than `event` events have happened."""
        self.step = max(0, bisect_right([step.event for step in self.shown.steps], event) - 1)

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take in what the browser says."""
        self.from_browser = True
        try:
            super().set_state(sync_data)
        finally:
            self.from_browser = False

    @traitlets.validate("step")
    def _inside(self, proposal: dict[str, Any]) -> int:
        """Keep the cursor inside the run."""
        return max(0, min(int(proposal["value"]), len(self.shown.steps) - 1))
