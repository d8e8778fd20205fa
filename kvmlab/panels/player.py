"""The player: a widget that shows a scene and walks through it without asking the kernel."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import anywidget
import traitlets

from kvmlab.scenes.scene import Scene

STATIC = files("kvmlab.panels") / "static"


def style() -> str:
    """Return the one stylesheet of all panels: the colours, the shell, then each scene's own part."""
    first = ("tokens.css", "panel.css")
    rest = sorted(sheet.name for sheet in STATIC.iterdir() if sheet.name.endswith(".css") and sheet.name not in first)
    return "\n".join((STATIC / name).read_text(encoding="utf-8") for name in (*first, *rest))


class Player(anywidget.AnyWidget):
    """Show a scene, one step at a time.

    Args:
        scene: the scene to show.

    Attributes:
        step: the step shown, from 0; read it or set it. Moving in the browser costs the kernel nothing; `step` follows
            when the hand rests.
    """

    _esm = (STATIC / "player.js").read_text(encoding="utf-8")
    _css = style()
    scene = traitlets.Dict().tag(sync=True)
    step = traitlets.Int(0).tag(sync=True, echo_update=False)

    def __init__(self, scene: Scene, **options: Any) -> None:
        """Show `scene` from its first step."""
        super().__init__(scene=scene.to_dict(), **options)

    def grow(self, scene: Scene, step: int | None = None) -> None:
        """Show a longer run of the same.

        Args:
            scene: the run so far.
            step: where to stand then; the first new step by default.
        """
        before = len(self.scene["steps"])
        with self.hold_sync():
            self.scene = scene.to_dict()
            self.step = before if step is None else step

    @traitlets.validate("step")
    def _inside(self, proposal: dict[str, Any]) -> int:
        """Keep the cursor inside the run."""
        return max(0, min(int(proposal["value"]), len(self.scene.get("steps", ())) - 1))
