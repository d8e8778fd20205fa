"""The colours of the panels can be read and told apart: by everybody, on light and on dark ground.

Contrast is that of WCAG 2.1. Colour blindness is simulated as Machado, Oliveira and Fernandes (2009) do, at full
severity. Differences are CIEDE2000, in which 1 is just to be seen.
"""

import re
from itertools import combinations

import numpy as np
import pytest

from kvmlab.panels.player import STATIC

THEMES = ("light", "dark")
ACTORS = ("guest", "hw", "kern", "host")
GROUNDS = ("paper", "band")
TINTS = ("guest-t", "hw-t", "kern-t", "host-t", "now-t", "g0-t", "g1-t", "g2-t")
TEXT = [
    *((ink, ground) for ink in ("ink", "ink2", "ink3", "cause", "now", *ACTORS) for ground in GROUNDS),
    *(("ink", tint) for tint in TINTS),
    *((one, f"{one}-t") for one in (*ACTORS, "now")),
    *((f"on-{one}", one) for one in (*ACTORS, "now")),
    *((curve, "paper") for curve in ("rr", "uni", "zipf")),
    ("dev-ink", "dev"),
    ("paper", "ink"),  # the play button
]
SHAPES = [
    (shape, ground)
    for shape in ("line2", *ACTORS, "now", "cause", "dev", "g0", "g1", "g2", "rr", "uni", "zipf")
    for ground in GROUNDS
]
TOLD_APART = {"who acts, and what changed": (*ACTORS, "now"), "generations": ("g0", "g1", "g2", "now")}
LEAST = {"normal": 20, "protan": 10, "deutan": 10, "tritan": 10}
"""The smallest difference between two of these colours, for each kind of sight."""

TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
)
WHITE = TO_XYZ @ np.ones(3)
SIGHT = {
    "normal": np.eye(3),
    "protan": np.array([
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998],
    ]),
    "deutan": np.array([
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881],
    ]),
    "tritan": np.array([
        [1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039],
    ]),
}  # fmt: skip


def tokens(theme: str) -> dict[str, str]:
    """Return the colours of a theme by name; the dark one says only what differs."""
    sheet = (STATIC / "tokens.css").read_text(encoding="utf-8")
    light, dark = re.findall(r"\.kvm[^{]*\{(.*?)\}", sheet, re.DOTALL)
    found = dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})\b", light))
    return found if theme == "light" else found | dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})\b", dark))


def linear(colour: str) -> np.ndarray:
    """Return red, green and blue as amounts of light, 0 to 1."""
    coded = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    dark, light = sorted(float(TO_XYZ[1] @ linear(colour)) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


def lab(light: np.ndarray) -> tuple[float, float, float]:
    """Return CIE L*, a*, b* of an amount of light."""
    part = TO_XYZ @ light / WHITE
    x, y, z = np.where(part > (6 / 29) ** 3, np.cbrt(part), part / (3 * (6 / 29) ** 2) + 4 / 29)
    return float(116 * y - 16), float(500 * (x - y)), float(200 * (y - z))


def difference(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    """Return the CIEDE2000 difference of two colours in CIE L*, a*, b*."""
    chroma = (np.hypot(*one[1:]) + np.hypot(*other[1:])) / 2
    stretch = 1 + 0.5 * (1 - np.sqrt(chroma**7 / (chroma**7 + 25**7)))
    (c1, h1), (c2, h2) = (
        (np.hypot(a * stretch, b), np.degrees(np.arctan2(b, a * stretch)) % 360) for _, a, b in (one, other)
    )
    grey = c1 * c2 == 0
    turn = 0.0 if grey else (h2 - h1 + 180) % 360 - 180
    hue = h1 + h2 if grey else h1 + turn / 2
    lightness, chroma = (one[0] + other[0]) / 2, (c1 + c2) / 2
    wave = sum(
        weight * np.cos(np.radians(times * hue + shift))
        for weight, times, shift in ((1, 0, 0), (-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.2, 4, -63))
    )
    l_part = (other[0] - one[0]) / (1 + 0.015 * (lightness - 50) ** 2 / np.sqrt(20 + (lightness - 50) ** 2))
    c_part = (c2 - c1) / (1 + 0.045 * chroma)
    h_part = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * chroma * wave)
    blue = 30 * np.exp(-(((hue % 360 - 275) / 25) ** 2))
    rotation = -2 * np.sqrt(chroma**7 / (chroma**7 + 25**7)) * np.sin(np.radians(2 * blue))
    return float(np.sqrt(l_part**2 + c_part**2 + h_part**2 + rotation * c_part * h_part))


def apart(one: str, other: str, sight: str) -> float:
    """Return how different two colours look to somebody."""
    seen = [lab(np.clip(SIGHT[sight] @ linear(colour), 0, 1)) for colour in (one, other)]
    return difference(seen[0], seen[1])


# The published test data of Sharma, Wu and Dalal (2005): pairs at which wrong implementations differ.
@pytest.mark.parametrize(
    ("one", "other", "published"),
    [
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
        ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0011), 7.2195),
        ((50.0, 2.5, 0.0), (56.0, -27.0, -3.0), 31.903),
        ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.0373),
    ],
)
def test_the_difference_is_that_of_the_published_data(one, other, published):
    assert difference(one, other) == pytest.approx(published, abs=1e-4)


def test_contrast_runs_from_one_to_twenty_one():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#777777") == 1
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)


def test_both_themes_name_the_same_colours():
    sheet = (STATIC / "tokens.css").read_text(encoding="utf-8")
    light, dark = (set(re.findall(r"--([\w-]+):", part)) for part in sheet.split('[data-theme="dark"]'))
    assert light == dark == set(tokens("light"))


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("pairs", "least"), [(TEXT, 4.5), (SHAPES, 3.0)], ids=["text", "shapes"])
def test_contrast(theme, pairs, least):
    colours = tokens(theme)
    found = {f"{one} on {other}": contrast(colours[one], colours[other]) for one, other in pairs}
    assert {pair: round(ratio, 2) for pair, ratio in found.items() if ratio < least} == {}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("what", TOLD_APART)
def test_colours_that_mean_something_can_be_told_apart(theme, sight, what):
    colours = tokens(theme)
    found = {(a, b): apart(colours[a], colours[b], sight) for a, b in combinations(TOLD_APART[what], 2)}
    assert {pair: round(much, 1) for pair, much in found.items() if much < LEAST[sight]} == {}
