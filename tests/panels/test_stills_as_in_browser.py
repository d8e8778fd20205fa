"""A still against the truth: what Chromium shows of the same step, part by part."""

import re

import pytest
from playwright.sync_api import sync_playwright

from kvmlab.panels import vmids
from kvmlab.panels.cache import cache
from kvmlab.panels.export import export
from kvmlab.panels.ioremap import ioremap
from kvmlab.panels.notifiers import notifiers
from kvmlab.panels.stills.css import length
from kvmlab.panels.stills.make import _stage
from kvmlab.panels.tables import tables
from kvmlab.panels.tlb import tlb
from kvmlab.scenes.fault.story import fault_scene
from tests.programs import find_chromium
from tests.scenes.runs import everything

pytestmark = pytest.mark.browser

FILLED = "() => document.querySelectorAll('.stage [data-id]').length > 0"
GO = "(range, step) => { range.value = step; range.dispatchEvent(new Event('input')); }"
SEEN = """names => [...document.querySelectorAll('.stage svg *')].filter(el => !el.closest('defs, pattern'))
    .map(el => [el.tagName, el.children.length ? '' : el.textContent, names.map(name => getComputedStyle(el)[name])])"""
COLOURS = ("fill", "stroke")
LENGTHS = ("stroke-width", "font-size", "opacity")
WORDS = ("visibility", "text-anchor", "stroke-linecap", "font-weight")
NAMES = (*COLOURS, *LENGTHS, *WORDS, "stroke-dasharray")
WEIGHTS = {"normal": "400", "bold": "700"}


def vmid_scene():
    panel = vmids(vmid_bits=4)
    panel.run(40)
    return panel.scene


SCENES = {
    "fault": lambda: fault_scene(everything().stream),
    "vmid": vmid_scene,
    **{panel.__name__: lambda panel=panel: panel().scene for panel in (cache, ioremap, notifiers, tables, tlb)},
}


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=arguments)
        yield browser
        browser.close()


def parts(node):
    """Return what a drawing holds, without its patterns."""
    for child in node.children:
        if child.tag != "defs":
            yield child
            yield from parts(child)


def colour(words):
    """Return a colour of ours as Chromium writes it; of a pattern only its name."""
    if re.fullmatch("#[0-9a-f]{6}", words):
        return "rgb({}, {}, {})".format(*bytes.fromhex(words[1:]))
    return re.sub(r'url\("?#(?:kvm\w+-)?(\w+)"?\)', r"url \1", words)


def dashes(words):
    return () if words == "none" else tuple(length(one) for one in re.split(r"[,\s]+", words))


def ours(node):
    """Return what a still takes for the style of a part."""
    style = node.style
    return {
        **{name: colour(style[name]) for name in COLOURS},
        **{name: length(style[name]) for name in LENGTHS},
        **{name: WEIGHTS.get(style[name], style[name]) for name in WORDS},
        "stroke-dasharray": dashes(style["stroke-dasharray"]),
    }


def theirs(values):
    """Return what Chromium takes for it."""
    style = dict(zip(NAMES, values, strict=True))
    return {
        **{name: colour(style[name]) for name in COLOURS},
        **{name: length(style[name]) for name in LENGTHS},
        **{name: style[name] for name in WORDS},
        "stroke-dasharray": dashes(style["stroke-dasharray"]),
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", list(SCENES))
def test_every_part_looks_as_in_chromium(chromium, tmp_path, name, theme):
    scene = SCENES[name]()
    page = chromium.new_context(viewport={"width": 960, "height": 900}, color_scheme=theme).new_page()
    page.goto(export(scene, tmp_path / "walk.html").as_uri())
    page.wait_for_function(FILLED)
    page.emulate_media(reduced_motion="reduce")  # or colours would be read while they still change
    compared = set()
    for step in range(0, len(scene.steps), max(1, len(scene.steps) // 6)):
        page.locator("input[type=range]").evaluate(GO, step)
        seen = page.evaluate(SEEN, list(NAMES))
        nodes = list(parts(_stage(scene, step, theme)))
        assert len(seen) == len(nodes) > 100
        for node, (tag, text, values) in zip(nodes, seen, strict=True):
            assert (node.tag, " ".join(node.text.split())) == (tag, " ".join(text.split()))
            assert ours(node) == theirs(values), f"step {step}: {tag} {dict(node.attributes)}"
            compared.add(tuple(values))
    assert len(compared) > 20
