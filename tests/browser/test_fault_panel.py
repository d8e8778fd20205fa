"""Notebook 01 in a real JupyterLab: step with mouse and keyboard, slide, let the guest touch more, and look at it."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from kvmlab.engine import Machine, Slot
from kvmlab.scenes.fault.story import fault_scene
from tests.browser.lab import open_notebook, run_all, shoot

pytestmark = pytest.mark.browser

NOTEBOOK = "01-a-guest-faults.ipynb"
RAM = Slot(ipa=0x8000_0000, size=64 << 20, hva=0x4000_0000)
WORDS = """panel => Object.fromEntries([...panel.querySelectorAll('.stage [data-id]')]
    .filter(part => part.tagName === 'text').map(part => [part.dataset.id, part.textContent]))"""


@pytest.fixture
def scene():
    """What the first panel of the notebook has to show, made here and now by the engine."""
    machine = Machine()
    guest = machine.create_vm([RAM])
    machine.access(guest, 0x8000_0000, "write", value=0x2A)
    return fault_scene(machine.stream)


@pytest.fixture
def panel(page, lab):
    """The notebook's first panel, after a run of all cells."""
    open_notebook(page, lab, NOTEBOOK)
    run_all(page)
    panel = page.locator(".kvmlab-panel").first
    panel.scroll_into_view_if_needed()
    expect(part(panel, "n")).to_have_text(re.compile(r"^\s*1/"))
    return panel


def part(panel, name):
    return panel.locator(f'[data-p="{name}"]')


def at(panel):
    return int(part(panel, "n").inner_text().split("/")[0]) - 1


def shown(panel):
    return panel.locator(".kvm").evaluate(WORDS)


def test_the_picture_is_the_scene_at_every_step(panel, scene):
    panel.locator(".kvm").focus()
    for number, step in enumerate(scene.steps):
        assert part(panel, "title").inner_text() == step.title
        picture = scene.at(number)
        assert shown(panel) == {name: picture[name][1] for name in shown(panel)}
        panel.page.keyboard.press("ArrowRight")
    last = len(scene.steps) - 1
    forward = shown(panel)
    panel.page.keyboard.press("Home")
    panel.page.keyboard.press("End")
    assert (at(panel), shown(panel)) == (last, forward)
    for number in range(last, -1, -1):
        assert part(panel, "title").inner_text() == scene.steps[number].title
        panel.page.keyboard.press("ArrowLeft")
    assert {name: text for name, text in shown(panel).items() if text} == {
        name: text for name, (_, text) in scene.at(0).items() if text
    }


def test_mouse_slider_and_marks(panel, scene):
    part(panel, "step").click()
    part(panel, "step").click()
    part(panel, "back").click()
    assert at(panel) == 1
    slider = panel.locator(".score input")
    box = slider.bounding_box()
    panel.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert abs(at(panel) - (len(scene.steps) - 1) / 2) <= 1
    panel.page.keyboard.press("Home")
    part(panel, "next").click()
    assert scene.steps[at(panel)].mark == "fault"
    part(panel, "next").click()
    assert at(panel) == len(scene.steps) - 1
    panel.page.keyboard.press("PageUp")
    assert scene.steps[at(panel)].mark == "fault"
    part(panel, "play").click()
    panel.page.wait_for_function(
        "panel => panel.querySelector('[data-p=play]').ariaLabel === 'pause'", arg=panel.element_handle()
    )
    panel.page.keyboard.press("ArrowRight")
    expect(part(panel, "play")).to_have_attribute("aria-label", "play")


def test_keys_stay_in_the_panel_and_help_opens(panel):
    cells = panel.page.locator(".jp-Cell").count()
    panel.locator(".kvm").focus()
    for key in ("d", "d", "a", "b", "x", "?"):
        panel.page.keyboard.press(key)
    assert panel.page.locator(".jp-Cell").count() == cells
    expect(part(panel, "help")).to_be_visible()
    panel.page.keyboard.press("Escape")
    expect(part(panel, "help")).to_be_hidden()


def test_a_step_is_spoken_and_python_is_told(panel):
    panel.locator(".kvm").focus()
    panel.page.keyboard.press("ArrowRight")
    live = part(panel, "live")
    expect(live).to_have_text(re.compile(r"^Step 2 of \d+\. kernel\. PUBLISH\. The guest gets VMID 1"))
    assert live.get_attribute("aria-live") == "polite"


def test_new_accesses_appear_as_new_steps(panel, scene):
    old = len(scene.steps)
    field, button, message = (
        panel.locator("input[type=text]").first,
        panel.get_by_role("button", name="Access"),
        panel.locator(".kvmlab-message"),
    )

    field.fill("twelve")
    button.click()
    expect(message).to_contain_text("IPA is 'twelve'")
    field.fill("0x10000000000")
    field.press("Enter")
    expect(message).to_contain_text("allowed: 0 to 0xffffffffff")
    field.fill("<img src=x onerror=alert(1)>")
    button.click()
    expect(message).to_contain_text("<img src=x")
    assert at(panel) == 0

    field.fill("0x80005000")
    button.click()
    expect(message).to_contain_text("write 0x80005000: done, 1 fault")
    expect(part(panel, "title")).to_have_text("The guest stores 0x2a to 0x80005000")
    assert at(panel) >= old  # after the steps that the other cells have brought meanwhile
    for _ in range(30):
        panel.page.keyboard.press("ArrowRight")
    expect(part(panel, "title")).to_have_text(re.compile(r"^The store is done: 0x2a lies at PA 0x[0-9a-f]+000$"))
    expect(panel.locator('[data-id="r2.0.5.x"]')).to_have_text("RW page")
    expect(message).to_be_visible()


def test_panels_of_one_machine_show_one_moment_and_share_no_ids(page, panel):
    others = [page.locator(".kvmlab-panel").nth(which) for which in (1, 2, 3)]
    panel.locator(".kvm").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert [at(other) for other in (panel, *others)] == [5] * 4
    assert {part(other, "title").inner_text() for other in others} == {part(panel, "title").inner_text()}
    ids = page.evaluate("[...document.querySelectorAll('.kvm [id]')].map(part => part.id)")
    assert len(ids) == len(set(ids)) > 0


def test_a_panel_shown_twice_moves_together_and_python_reads_and_sets_it(lab, page):
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    cells = [
        "from kvmlab.panels import fault\npanel = fault()\npanel.access()\npanel.step = 4\npanel",
        "panel",
        "import ipywidgets\nlabel = ipywidgets.Label('0').add_class('cursor')\n"
        "panel.player.observe(lambda change: setattr(label, 'value', str(change['new'])), 'step')\nlabel",
    ]
    path = lab.folder / "twice.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells], metadata=kernel), path)
    open_notebook(page, lab, path.name)
    run_all(page)
    path.unlink()
    one, two = page.locator(".kvmlab-panel").nth(0), page.locator(".kvmlab-panel").nth(1)
    assert at(one) == at(two) == 4
    two.locator(".kvm").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert at(one) == at(two) == 7
    assert shown(one) == shown(two)
    expect(page.locator(".cursor")).to_have_text("7")


def test_the_theme_is_followed_at_once(panel):
    root = panel.locator(".kvm")
    assert root.get_attribute("data-theme") == "light"
    panel.page.evaluate("document.body.dataset.jpThemeLight = 'false'")  # what a change of theme does; not kept
    expect(root).to_have_attribute("data-theme", "dark")


@pytest.mark.parametrize("width", [800, 1280])
def test_it_can_be_shown_to_a_class(lab, theme, page, width):
    page.set_viewport_size({"width": width, "height": 1100})
    open_notebook(page, lab, NOTEBOOK)
    run_all(page)
    for name, which, steps in (("first", 0, 14), ("device", 3, 8)):
        panel = page.locator(".kvmlab-panel").nth(which)
        panel.locator(".kvm").focus()
        for _ in range(steps):
            page.keyboard.press("ArrowRight")
        root = panel.locator(".kvm")
        assert root.get_attribute("data-theme") == theme
        panel.scroll_into_view_if_needed()
        cut = root.evaluate(
            "root => [...root.querySelectorAll('.title, .why')].filter(e => e.scrollHeight > e.clientHeight + 2).length"
        )
        assert cut == 0
        assert shoot(panel, f"fault-{name}-{theme}-{width}").stat().st_size > 20_000
