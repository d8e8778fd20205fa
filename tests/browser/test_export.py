"""An exported file in Chromium, opened from disk: it plays, tells its steps, and asks nobody for anything."""

import socket
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from kvmlab.panels import vmids
from kvmlab.panels.export import export
from kvmlab.scenes.fault.story import fault_scene
from kvmlab.scenes.scene import Scene, plain
from tests.browser.lab import shoot
from tests.scenes.runs import everything, first_store

pytestmark = pytest.mark.browser

NASTY = "</script><script>document.title='broken'</script><!-- \"'&amp;\u202e"
WORDS = """() => Object.fromEntries([...document.querySelectorAll('.stage [data-id]')]
    .filter(part => part.tagName === 'text').map(part => [part.dataset.id, part.textContent]))"""
FILLED = "() => document.querySelectorAll('.stage [data-id]').length > 0"


def vmid_scene():
    panel = vmids(vmid_bits=4)
    panel.run(40)
    return Scene.from_dict(panel.player.scene)


@pytest.fixture
def open_file(chromium, tmp_path):
    """Return what opens a scene's export; the test fails on any error in the console and on any further request."""
    contexts, problems, asked = [], [], []

    def open_file(scene, *, playing=True, width=1280, height=800, **options):
        path = export(scene, tmp_path / "walk.html")
        contexts.append(chromium.new_context(viewport={"width": width, "height": height}, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda said: problems.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: problems.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (problems.append("dialog"), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda websocket: asked.append(websocket.url))
        page.goto(path.as_uri())
        if playing:
            page.wait_for_function(FILLED)
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert problems == []
    assert asked == [(tmp_path / "walk.html").as_uri()] * len(contexts)


def part(page, name):
    return page.locator(f'[data-p="{name}"]')


def at(page):
    return int(part(page, "n").inner_text().split("/")[0]) - 1


@pytest.mark.parametrize("scene", [fault_scene(first_store().stream), vmid_scene()], ids=lambda scene: scene.name)
def test_keys_walk_forward_and_back_at_once(open_file, scene):
    page = open_file(scene)
    for number, step in enumerate(scene.steps):
        assert (at(page), part(page, "title").inner_text()) == (number, step.title)
        assert part(page, "why").inner_text() == plain(step.why)
        picture = scene.at(number)
        assert {name: picture[name][1] for name in page.evaluate(WORDS)} == page.evaluate(WORDS)
        page.keyboard.press("ArrowRight")
    for number in range(len(scene.steps) - 1, -1, -1):
        assert (at(page), part(page, "title").inner_text()) == (number, scene.steps[number].title)
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("End")
    assert at(page) == len(scene.steps) - 1


def test_mouse_slider_and_play(open_file):
    scene = fault_scene(everything().stream)
    page = open_file(scene)
    part(page, "step").click()
    part(page, "step").click()
    part(page, "back").click()
    assert (at(page), part(page, "title").inner_text()) == (1, scene.steps[1].title)
    slider = page.locator(".score input")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert abs(at(page) - (len(scene.steps) - 1) / 2) <= 2
    assert part(page, "title").inner_text() == scene.steps[at(page)].title
    page.keyboard.press("Home")
    part(page, "next").click()
    assert scene.steps[at(page)].mark == "fault"
    there = at(page)
    part(page, "play").click()
    expect(part(page, "title")).to_have_text(scene.steps[there + 1].title)


def test_a_hostile_text_is_text(open_file):
    scene = fault_scene(first_store().stream)
    step = replace(scene.steps[1], title=NASTY, why=NASTY, fn=NASTY, log=(("kern", NASTY),))
    page = open_file(replace(scene, title=NASTY, source=NASTY, steps=(scene.steps[0], step, *scene.steps[2:])))
    page.keyboard.press("ArrowRight")
    for name in ("title", "why", "fn", "source"):
        assert part(page, name).evaluate("part => part.textContent") == NASTY
    assert page.evaluate("[document.title, document.querySelector('h1').textContent]") == [NASTY, NASTY]
    assert page.locator(".words h3").nth(1).evaluate("heading => heading.textContent") == f"2. {NASTY}"
    page.keyboard.press("End")
    assert part(page, "title").inner_text() == scene.steps[-1].title


def test_even_a_scene_that_asks_gets_nothing(chromium, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1)
        away = f"http://127.0.0.1:{server.getsockname()[1]}"
        scene = fault_scene(first_store().stream)
        more = (
            f'<image href="{away}/picture" width="9" height="9" onerror="document.title = 1"/>'
            f'<rect style="fill: url({away}/paint#x)" width="9" height="9"/>'
            f'<style>@import "{away}/style";</style></svg>'
        )
        path = export(replace(scene, markup=scene.markup.replace("</svg>", more)), tmp_path / "walk.html")
        with chromium.new_context() as context:
            page = context.new_page()
            page.goto(path.as_uri())
            page.wait_for_function(FILLED)
            for way in (f"fetch('{away}/fetch')", f"new Image().src = '{away}/image'"):
                page.evaluate(f"() => {{ try {{ {way} }} catch {{}} }}")
            page.evaluate(
                "document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = 2'}))"
            )
            with pytest.raises(TimeoutError):
                server.accept()
            assert page.title() == scene.title


def test_without_script_it_can_be_read(open_file):
    scene = fault_scene(first_store().stream)
    page = open_file(scene, playing=False, java_script_enabled=False)
    assert page.locator("noscript p").inner_text().startswith("The picture needs JavaScript.")
    expect(page.locator("noscript p")).to_be_visible()
    headings = page.get_by_role("heading", level=3)
    assert headings.all_inner_texts() == [f"{number}. {step.title}" for number, step in enumerate(scene.steps, 1)]
    expect(headings.last).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [800, 1280])
def test_it_can_be_shown_to_a_class(open_file, theme, width):
    for scene, steps in ((fault_scene(first_store().stream), 14), (vmid_scene(), 24)):
        page = open_file(scene, width=width, height=width * 3 // 4, color_scheme=theme)
        for _ in range(steps):
            page.keyboard.press("ArrowRight")
        assert page.locator("#player").get_attribute("data-theme") == theme
        player, body = (
            page.locator(name).evaluate("part => getComputedStyle(part).backgroundColor")
            for name in ("#player", "body")
        )
        assert player == body
        assert page.evaluate("document.documentElement.scrollWidth") == width
        for name in ("title", "why"):
            assert part(page, name).evaluate("part => part.scrollHeight - part.clientHeight") <= 2
        assert page.locator("#player").bounding_box()["y"] < 50
        assert shoot(page, f"export-{scene.name}-{theme}-{width}").stat().st_size > 20_000
        page.locator("#words").evaluate("heading => heading.scrollIntoView()")
        shoot(page, f"export-{scene.name}-words-{theme}-{width}")
