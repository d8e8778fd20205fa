"""The player itself, in a plain page: how far a step goes, questions before steps, links, keys."""

from dataclasses import replace
from itertools import groupby

import pytest

from kvmlab.scenes.fault.story import fault_scene
from kvmlab.scenes.labels import LABELS
from kvmlab.scenes.question import question
from kvmlab.scenes.sources import BROWSER, source_of
from tests.browser.plain import plain_page
from tests.scenes.runs import RUNS

pytestmark = pytest.mark.browser

ASKED = {
    5: question("How many?", "2", [("40", "M29"), ("0", "")], "It takes two."),
    9: question("Who?", "the walker", [("the <b>kernel</b>", "M07")], "Nobody else can."),
}


@pytest.fixture(scope="module")
def page(chromium):
    with plain_page(chromium) as page:
        yield page


@pytest.fixture(scope="module")
def scene():
    """A run of several commands, with two questions and no others."""
    scene = fault_scene(RUNS["everything"]().stream)
    return replace(scene, steps=tuple(replace(step, ask=ASKED.get(n)) for n, step in enumerate(scene.steps)))


def mount(page, scene, predict=False):
    page.set_viewport_size({"width": 1280, "height": 900})
    page.evaluate("([scene, predict]) => looks.mount(scene, 'light', predict)", [scene.to_dict(), predict])
    page.locator(".kvm").focus()


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)
    return page.evaluate("looks.at()")


def text(page, part):
    return page.locator(f".kvm [data-p={part}]").inner_text()


@pytest.mark.parametrize(
    ("grain", "same"),
    [
        ("event", lambda step: id(step)),
        ("function", lambda step: (step.command, step.fn)),
        ("command", lambda step: step.command),
    ],
)
def test_a_step_goes_as_far_as_its_grain(page, scene, grain, same):
    mount(page, scene)
    press(page, *("g" * ["event", "function", "command"].index(grain)))
    assert page.locator(".kvm [data-p=grain]").input_value() == grain
    lasts = [list(run)[-1][0] for _, run in groupby(enumerate(scene.steps), lambda pair: same(pair[1]))]
    walk = [press(page, "ArrowRight") for _ in lasts]
    assert walk[:-1] == [last for last in lasts if last > 0][: len(walk) - 1]
    press(page, "End")
    back = [press(page, "ArrowLeft") for _ in lasts[1:]]
    assert back == lasts[-2::-1]


def test_every_step_shows_its_label_and_links_to_its_file(page, scene):
    mount(page, scene)
    for number, step in enumerate(scene.steps):
        page.evaluate("step => looks.show(step)", number)
        assert text(page, "label") == step.label
        assert step.label in LABELS
        link = page.locator(".kvm a[data-p=fn]")
        assert link.inner_text() == step.fn
        assert link.get_attribute("href") == BROWSER + source_of(step.fn)
        assert link.get_attribute("rel") == "noopener noreferrer"


def test_it_asks_before_a_step_and_tells_after_it(page, scene):
    mount(page, scene, predict=True)
    assert press(page, *["ArrowRight"] * 6) == 4, "it waits before the step that it asks about"
    asked = page.locator(".kvm [data-p=asked]")
    assert "How many?" in asked.inner_text()
    assert [one.inner_text().split("\n")[-1] for one in asked.locator("button").all()] == ["0", "2", "40", "skip"]
    assert press(page, "3") == 5
    words = asked.inner_text()
    assert "You said 40" in words
    assert "It did 2" in words
    assert "refilled only below 2" in words, "the belief behind the answer is named and refuted"
    assert page.evaluate("looks.log.answers") == [[5, 2]]
    assert press(page, "ArrowRight") == 6
    assert asked.is_hidden()
    assert press(page, "Home", *["ArrowRight"] * 5) == 5, "it asks once"


def test_a_right_answer_is_said_to_be_right_and_no_belief_is_named(page, scene):
    mount(page, scene, predict=True)
    press(page, *["ArrowRight"] * 5, "2")
    words = text(page, "asked")
    assert "You said 2" in words
    assert "Many think" not in words
    page.locator(".kvm [data-choice=done]").click()
    assert page.locator(".kvm [data-p=asked]").is_hidden()


def test_a_question_can_be_skipped_left_and_switched_off(page, scene):
    mount(page, scene, predict=True)
    asked = page.locator(".kvm [data-p=asked]")
    assert press(page, *["ArrowRight"] * 5, "s") == 5
    assert asked.is_hidden()
    assert page.evaluate("looks.log.answers") == [[5, "skip"]]
    assert press(page, *["ArrowRight"] * 5) == 8
    assert "the <b>kernel</b>" in asked.inner_text(), "text is text"
    assert press(page, "ArrowLeft") == 7
    assert asked.is_hidden()
    assert press(page, "ArrowRight", "ArrowRight") == 8
    press(page, "Escape")
    assert asked.is_hidden()
    assert press(page, "a", "ArrowRight") == 9
    assert page.locator(".kvm [data-p=ask]").get_attribute("aria-pressed") == "false"
    assert press(page, "End") == len(scene.steps) - 1


def test_it_asks_inside_a_long_step_too(page, scene):
    mount(page, scene, predict=True)
    assert press(page, "g", "g", "ArrowRight") == 4, "the whole command would be longer"
    assert press(page, "2", "ArrowRight") == 8
    assert press(page, "s", "ArrowRight") == max(n for n, step in enumerate(scene.steps) if step.command == 1)


def test_playing_stops_at_a_question(page, scene):
    mount(page, scene, predict=True)
    page.locator(".kvm [data-p=speed]").select_option("4")
    page.locator(".kvm").focus()
    press(page, " ")
    page.locator(".kvm [data-p=asked]").wait_for()
    assert page.evaluate("looks.at()") == 4
    assert page.locator(".kvm [data-p=play]").get_attribute("aria-label") == "play"


def test_a_lost_kernel_is_said(page, scene):
    mount(page, scene)
    lost = page.locator(".kvm [data-p=lost]")
    assert lost.is_hidden()
    page.evaluate("looks.lose(true)")
    assert "run all cells" in lost.inner_text()
    assert press(page, "ArrowRight") == 1, "it steps all the same"
    page.evaluate("looks.lose(false)")
    assert lost.is_hidden()
