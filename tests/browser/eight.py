"""All eight panels, each after a run in which it has much to show: the same in a kernel and in a test."""

from typing import Any

from kvmlab import panels
from kvmlab.panels.starts import one_guest
from kvmlab.scenes.scene import Scene

KINDS = ("fault", "tables", "cache", "vmids", "tlb", "notifiers", "ioremap", "flushes")
ANY = ".kvmlab-panel, .kvmlab-flush"
"""What every panel is, in a page."""


def shown(kind: str, **options: Any) -> Any:
    """Return a panel at its first step; no two share a run, so each can stand where it likes."""
    if kind == "flushes":
        return panels.flushes(start="begin", **options)
    if kind == "vmids":
        panel = panels.vmids(vmid_bits=4, **options)
        panel.run(18)
    elif kind == "fault":
        panel = panels.fault(one_guest(), **options)
        panel.access()
    elif kind == "cache":
        panel = panels.cache(**options)
        panel.store()
    elif kind == "notifiers":
        panel = panels.notifiers(**options)
        panel.host()
        panel.act.value = "discard"
        panel.race()
    elif kind == "tlb":
        panel = panels.tlb(**options)
        panel.rollover()
    else:
        panel = getattr(panels, kind)(**options)
    panel.step = 0
    return panel


def telling(scene: Scene) -> int:
    """Return the step that is worth a look: of those that are asked about, the one with most to see that changed."""
    asked = [number for number, step in enumerate(scene.steps) if step.ask and number]
    return max(asked, key=lambda number: (len(scene.steps[number].now), len(scene.steps[number].patches)))


CELL = "from tests.browser.eight import shown\nshown({kind!r})"
