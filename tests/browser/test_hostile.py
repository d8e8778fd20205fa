"""Text that is no word of ours is shown as text: nothing in it runs, and the page keeps its shape."""

import json
from xml.etree import ElementTree

import pytest
from playwright.sync_api import expect

from kvmlab.engine import InputError, Slot
from kvmlab.panels import fault
from kvmlab.panels.controls import DIGITS_LIMIT
from kvmlab.panels.export import export
from kvmlab.panels.panel import MESSAGE_LIMIT
from kvmlab.panels.stills import figure
from kvmlab.scenes.scene import plain
from kvmlab.session import Session
from tests.browser.eight import ANY, CELL, KINDS
from tests.browser.hostile import HOSTILE, hostile_scene
from tests.browser.lab import shoot
from tests.browser.walk import go, open_cells

pytestmark = pytest.mark.browser

PLAYER = "from tests.browser.hostile import hostile_player\nhostile_player({name!r})"
FOREIGN = ".kvm :is(script, img, iframe, a:not(.fn)), .kvmlab-message :is(script, img, a)"
WIDER = """() => ['html', '.jp-OutputArea-output', '.kvmwrap', '.kvmlab-message'].filter(name =>
    [...document.querySelectorAll(name)].some(part => part.clientWidth && part.scrollWidth > part.clientWidth + 1))"""
STAGE = """root => [...root.querySelectorAll('.stage text[data-id]')].map(part => part.textContent)"""


def check(page, root, name):
    """Walk through a hostile scene; every text is there, letter by letter."""
    scene, words = hostile_scene(name), HOSTILE[name]
    asked = next(number for number, step in enumerate(scene.steps) if step.ask)
    for number in (1, asked, len(scene.steps) - 1):
        go(root, number)
        step = scene.steps[number]
        shown = root.evaluate(
            "root => Object.fromEntries([...root.querySelectorAll('[data-p]')].map(p => [p.dataset.p, p.textContent]))"
        )
        wanted = {"title": step.title, "why": plain(step.why), "fn": words, "chip": words, "source": words}
        assert {part: shown[part] for part in wanted} == wanted
        assert words in shown["log"]
        picture = scene.at(number)
        assert sum(text == words for _, text in picture.values()) > 3
        assert sum(text == words for text in root.evaluate(STAGE)) > 3
        assert page.evaluate(WIDER) == []
    go(root, asked - 1)
    root.locator("[data-p=ask]").click()
    root.locator("[data-p=step]").click()
    choices = root.locator("[data-choice] span").all_text_contents()
    assert choices == [*scene.steps[asked].ask.choices, "skip"]
    assert page.evaluate(WIDER) == [], "question"
    root.locator("[data-choice='1']").click()
    assert scene.steps[asked].ask.because in root.locator("[data-p=asked]").text_content()
    assert page.evaluate(WIDER) == []
    assert page.evaluate("[window.broken, document.querySelectorAll(" + json.dumps(FOREIGN) + ").length]") == [None, 0]


def test_a_hostile_scene_in_a_notebook(lab, page):
    open_cells(page, lab, [PLAYER.format(name=name) for name in HOSTILE])
    roots = page.locator(".kvm")
    expect(roots).to_have_count(len(HOSTILE))
    for number, name in enumerate(HOSTILE):
        check(page, roots.nth(number), name)
        shoot(roots.nth(number), f"hostile-{name.replace(' ', '-')}")


@pytest.mark.parametrize("width", [800, 1280])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_scene_in_an_exported_file(chromium, tmp_path, name, width):
    with chromium.new_context(viewport={"width": width, "height": 800}) as context:
        page, problems = context.new_page(), []
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(export(hostile_scene(name), tmp_path / "walk.html").as_uri())
        page.wait_for_function("document.querySelectorAll('.stage [data-id]').length > 0")
        check(page, page.locator("#player"), name)
        assert page.locator("h1").text_content() == HOSTILE[name]
        assert problems == []


def test_what_is_typed_into_a_field_comes_back_as_words(lab, page):
    open_cells(page, lab, [CELL.format(kind=kind) for kind in KINDS])
    typed = 0
    for number in range(len(KINDS)):
        panel = page.locator(ANY).nth(number)
        fields = panel.locator(".kvmlab-controls input[type=text]:visible")
        for field in fields.all():
            name = field.locator("xpath=ancestor::div[contains(@class, 'widget-text')][1]").locator("label")
            was = field.input_value()
            for words in HOSTILE.values():
                field.fill(words)
                field.press("Enter")
                said = panel.locator(".kvmlab-message [role=alert]").first
                expect(said).to_contain_text(repr(words.strip()[:DIGITS_LIMIT]))
                text = said.text_content()
                assert text.startswith(f"Not done: {name.text_content()} is "), text
                assert "write a number, such as 0x80001000 or 4096" in text
                assert len(text) < MESSAGE_LIMIT + 20
                assert page.evaluate(WIDER) == []
                typed += 1
            field.fill(was)
    assert typed >= 15
    assert page.evaluate("[window.broken, document.querySelectorAll(" + json.dumps(FOREIGN) + ").length]") == [None, 0]


def lines(session_file):
    return [json.loads(line) for line in session_file.read_text().splitlines()]


@pytest.fixture
def saved(tmp_path):
    """A session's file, to be spoiled."""
    session = Session()
    session.do("create_vm", slots=[Slot(0x8000_0000, 1 << 20, 0x4000_0000)])
    session.do("access", vm=0, ipa=0x8000_0000, access="write", value=1)
    session.save(tmp_path / "run.jsonl", "a run")
    return tmp_path / "run.jsonl"


def leaves(value, path=()):
    """Return the way to every value in plain data."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [way for key, one in items for way in leaves(one, (*path, key))]
    return [path]


@pytest.mark.parametrize("words", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_in_words_or_is_only_a_name(saved, words):
    good = lines(saved)
    refused = 0
    for way in leaves(good):
        spoilt = json.loads(json.dumps(good))
        place = spoilt
        for key in way[:-1]:
            place = place[key]
        place[way[-1]] = words
        saved.write_text("".join(json.dumps(line) + "\n" for line in spoilt))
        try:
            panel = fault(Session.load(saved))
        except InputError as error:
            said = str(error)
            assert said.startswith(str(saved)), said
            assert str(way[-1]) in said or str(way[-2]) in said, said
            assert all(letter.isprintable() for letter in said), (way, said)
            refused += 1
        else:
            assert panel.scene.check()
            assert words not in panel.scene.to_json()
    assert refused > 5


@pytest.mark.parametrize("words", HOSTILE.values(), ids=HOSTILE)
def test_an_error_in_a_panel_is_plain_text(words):
    panel = fault()
    panel.say(words, error=True)
    text = "".join(ElementTree.fromstring(panel.message.value).itertext())
    assert text == "Not done: " + (words if len(words) <= MESSAGE_LIMIT else words[:MESSAGE_LIMIT] + "…")


@pytest.mark.parametrize("name", ["script", "right to left"])
def test_a_hostile_scene_as_a_still(tmp_path, name):
    scene = hostile_scene(name)
    file = figure(scene, 6).save(tmp_path / "step.svg")
    root = ElementTree.parse(file).getroot()
    tags = {part.tag.split("}")[-1] for part in root.iter()}
    assert tags.isdisjoint({"script", "image", "foreignObject", "a"})
    shown = " ".join("".join(letter for letter in scene.steps[6].title if letter.isprintable()).split())
    assert shown[:20] in root.findtext("{http://www.w3.org/2000/svg}desc").replace("  ", " ")
