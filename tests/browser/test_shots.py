"""Each panel as it is seen in JupyterLab, light and dark: kept as pictures, none of them blank or in wrong colours."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.browser.eight import KINDS, shown, telling
from tests.browser.lab import shoot
from tests.browser.walk import go, open_eight

pytestmark = pytest.mark.browser

PAPER = {"light": (0xFF, 0xFF, 0xFF), "dark": (0x10, 0x15, 0x1B)}
NOW = {"light": (0xB8, 0x3C, 0x06), "dark": (0xFF, 0x9A, 0x52)}
"""The paper of each theme, and the colour of what changed in the step."""
CUT = """row => [...row.querySelectorAll('button, label')].filter(part => part.scrollWidth > part.clientWidth)
    .map(part => part.textContent)"""
"""Which names of controls do not fit."""
LEAST_COLOURS, LEAST_INK = 60, 0.02


def seen(stage):
    """Return the picture on a stage as rows of colours."""
    shot = Image.open(io.BytesIO(stage.screenshot(animations="disabled"))).convert("RGB")
    return np.asarray(shot).reshape(-1, 3)


def share(pixels, colour):
    """Return how much of a picture has a colour."""
    return float((pixels == colour).all(axis=1).mean())


def test_every_panel_is_seen_as_it_should(lab, page, theme):
    eight = open_eight(page, lab)
    for kind in KINDS:
        panel, scene = eight[kind], shown(kind).scene
        root, stage = panel.locator(".kvm"), panel.locator(".stage")
        assert root.get_attribute("data-theme") == theme
        assert panel.locator(".kvmlab-controls").evaluate(CUT) == [], kind
        pictures = {}
        for name, number in (("first", 0), ("telling", telling(scene))):
            go(panel, number)
            pictures[name] = pixels = seen(stage)
            assert len(np.unique(pixels, axis=0)) > LEAST_COLOURS, (kind, name)
            assert 0.2 < share(pixels, PAPER[theme]) < 1 - LEAST_INK, (kind, name)
            changed = share(pixels, NOW[theme])
            if kind != "flushes":  # where a curve appears and has its own colour
                assert (changed > 0) == bool(scene.steps[number].now), (kind, name, changed)
            assert shoot(panel, f"{kind}-{theme}-{name}").stat().st_size > 20_000
        assert pictures["first"].shape == pictures["telling"].shape, "the picture keeps its size"
        assert (pictures["first"] != pictures["telling"]).any(), kind
