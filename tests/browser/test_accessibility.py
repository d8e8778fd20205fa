"""All eight panels and their exports for those who see little, hear instead, or have no mouse.

What axe-core can find, and what it cannot: whether the text of a picture says what is to be seen in it.
"""

import re
from html import unescape
from xml.etree import ElementTree

import pytest
from playwright.sync_api import expect

from kvmlab.figures.show import show
from kvmlab.panels import flushes
from kvmlab.panels.stills import figure
from kvmlab.scenes.scene import plain
from tests.browser.accessibility import pictures, violations
from tests.browser.eight import ANY, KINDS, shown, telling
from tests.browser.lab import watch
from tests.browser.walk import ask, go, open_eight

pytestmark = pytest.mark.browser

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def scenes():
    """What each panel shows."""
    return {kind: shown(kind).scene for kind in KINDS}


@pytest.fixture(scope="module", params=["light", "dark"])
def notebook(request, chromium, lab):
    """A notebook with all eight panels, opened once for each theme."""
    lab.set_theme(request.param)
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    problems = watch(page, lab)
    yield page, open_eight(page, lab)
    seen = list(problems)
    context.close()
    lab.stop_kernels()
    lab.set_theme("light")
    assert not seen, "\n".join(seen)


@pytest.fixture(scope="module")
def export_page(chromium):
    """An empty page for exports, whose policy holds."""
    with chromium.new_context(viewport={"width": 1280, "height": 900}) as context:
        page, problems = context.new_page(), []
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        yield page
    assert not problems, "\n".join(problems)


def answered(panel, scene, step):
    """Give a wrong answer to the question that stands."""
    question = scene.steps[step].ask
    wrong = next(number for number in range(len(question.choices)) if number != question.right)
    panel.locator(f"[data-choice='{wrong}']").click()
    expect(panel.locator("[data-p=asked] .pair")).to_be_visible()


def test_nothing_keeps_anybody_from_using_a_panel(notebook, scenes):
    page, eight = notebook
    found = {"first": violations(page, ANY)}
    steps = {kind: telling(scene) for kind, scene in scenes.items()}
    for kind, panel in eight.items():
        go(panel, steps[kind])
    found["step"] = violations(page, ANY)
    for panel in eight.values():
        panel.locator("[data-p=keys]").click()
        expect(panel.locator("[data-p=help]")).to_be_visible()
    found["help"] = violations(page, ANY)
    for kind, panel in eight.items():
        panel.locator("[data-p=shut]").click()
        expect(panel.locator("[data-p=keys]")).to_be_focused()
        ask(panel, steps[kind])
    found["question"] = violations(page, ANY)
    for kind, panel in eight.items():
        answered(panel, scenes[kind], steps[kind])
    found["verdict"] = violations(page, ANY)
    for panel in eight.values():
        panel.locator("[data-p=ask]").click()
        go(panel, 0)
    assert {state: rules for state, rules in found.items() if rules} == {}


def test_axe_sees_into_the_panels(notebook):
    page, eight = notebook
    for kind, panel in eight.items():
        play = panel.locator("[data-p=play]")
        was = play.evaluate("button => [button.getAttribute('aria-label'), button.title]")
        play.evaluate("button => { button.removeAttribute('aria-label'); button.title = ''; }")
        assert "button-name" in " ".join(violations(page, ANY)), kind
        play.evaluate("(button, was) => { button.setAttribute('aria-label', was[0]); button.title = was[1]; }", was)


def test_each_control_has_the_name_that_stands_beside_it(notebook):
    _, eight = notebook
    names = "panel => [...panel.querySelectorAll('.kvmlab-controls label')].map(label => label.textContent)"
    for kind, panel in eight.items():
        for name in panel.evaluate(names):
            field = panel.locator(".kvmlab-controls").get_by_label(name, exact=True)
            assert field.count() == 1, (kind, name)


def shows(scene, number):
    """Return the texts that a step shows in the parts that it changes, by the scene alone."""
    step, picture, found = scene.steps[number], scene.at(number), []
    changed = {*step.now, *(part for part, _, text in step.patches if text is not None)}

    def look(element, inside, hidden):
        name = element.get("data-id")
        state, text = picture[name] if name else ("", "".join(element.itertext()))
        inside, hidden = inside or name in changed, hidden or "off" in f"{element.get('class', '')} {state}".split()
        if element.tag == f"{SVG}text" and inside and not hidden and any(letter.isalnum() for letter in text):
            found.append(text)
        for part in element:
            look(part, inside, hidden)

    look(ElementTree.fromstring(scene.markup), False, False)
    return found


def told(page, scene, go_to, within):
    """Walk through a scene; return how many values its picture's description holds, after comparing all of them."""
    descriptions, values = [], 0
    for number in sorted({*range(0, len(scene.steps), 3), telling(scene), len(scene.steps) - 1}):
        go_to(number)
        (picture,) = pictures(page, within)
        assert picture["label"] == ElementTree.fromstring(scene.markup).get("aria-label")
        assert picture["says"].startswith(f"{scene.steps[number].title}. {plain(scene.steps[number].why)}")
        texts = shows(scene, number)
        assert [text for text in texts if text not in picture["says"]] == [], number
        descriptions.append(picture["says"])
        values += len(texts)
    assert len(set(descriptions)) == len(descriptions), "it stays as it is while the picture changes"
    return values


def test_the_text_of_each_picture_says_what_changed_in_it(notebook, scenes):
    page, eight = notebook
    for kind, panel in eight.items():
        panel.evaluate("(panel, kind) => { panel.id = kind; }", kind)
        assert told(page, scenes[kind], lambda step, panel=panel: go(panel, step), f"#{kind}") > 3, kind


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_export_can_be_used_by_anybody(export_page, scenes, kind, theme, tmp_path):
    page, scene = export_page, scenes[kind]
    page.emulate_media(color_scheme=theme)
    page.goto(shown(kind).export(tmp_path / "walk.html").as_uri())
    page.wait_for_function("document.querySelectorAll('.stage [data-id]').length > 0")
    player, step = page.locator("#player"), telling(scene)
    found = {"first": violations(page, "html")}
    go(player, step)
    player.locator("[data-p=keys]").click()
    found["help"] = violations(page, "html")
    player.locator("[data-p=shut]").click()
    ask(player, step)
    found["question"] = violations(page, "html")
    answered(player, scene, step)
    found["verdict"] = violations(page, "html")
    player.locator("[data-p=ask]").click()
    assert {state: rules for state, rules in found.items() if rules} == {}
    assert told(page, scene, lambda step: go(player, step), "#player") > 3


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_a_still_says_what_it_shows(scenes, kind, tmp_path):
    scene, said = scenes[kind], set()
    label = ElementTree.fromstring(scene.markup).get("aria-label")
    for number in (0, telling(scene), len(scene.steps) - 1):
        step = scene.steps[number]
        still = ElementTree.parse(figure(scene, number).save(tmp_path / "step.svg")).getroot()
        title, description = (still.findtext(f"{SVG}{name}") for name in ("title", "desc"))
        assert still.get("role") == "img"
        assert (title.startswith(scene.title), title.endswith(step.title)) == (True, True)
        assert [words for words in (step.title, plain(step.why), label) if words not in description] == []
        said.add(description)
    assert len(said) == 3


def test_the_curves_as_a_figure_say_what_they_show():
    for guests in (200, 307):
        panel = flushes(guests)
        picture = show(panel.figure())._repr_mimebundle_()["text/html"]
        alt = unescape(re.search(r'<img[^>]* alt="([^"]*)"', picture)[1])
        found = panel.found.setting
        assert {str(found.most), str((1 << found.vmid_bits) - 1)} <= set(re.findall(r"\d+", alt)), alt
