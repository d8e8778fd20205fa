"""The panels can be read at every step: no text overlaps another, leaves its frame, is cut off, too pale or too small.

A plain page with the real player and styles; no JupyterLab, so it is quick.
"""

import pytest

from kvmlab.engine import Config, Machine
from kvmlab.scenes.fault.story import fault_scene
from kvmlab.scenes.vmid.story import vmid_scene
from tests.browser.plain import plain_page
from tests.scenes.runs import RUNS

pytestmark = pytest.mark.browser

CONTROLS = ["prev", "back", "play", "step", "next", "grain", "speed", "ask", "keys", "fn", "slider"]
THEMES = ("light", "dark")
LEAST = {
    560: (10.5, 9),
    632: (12, 10),
    800: (12, 12),
    1000: (12, 12),
    1112: (10.8, 11.2),
    1280: (12, 12),
    1920: (18, 18),
}
"""For each width of the panel the smallest type, in pixels; and that of the heads of the tables, which have least room.

632 and 1112 are what JupyterLab leaves of a window of 800 and 1280. At 560 everything shrinks, and at 1112 the TLB, the
fields of a descriptor and the heads of the tables do, rather than that the picture gets higher than the screen or an
address touches the count beside it.
"""


def vmids(bits, ncpus):
    """Guests enter in turn until the VMIDs have run out, and two more."""
    machine = Machine(Config(vmid_bits=bits, ncpus=ncpus))
    for entry in range((1 << bits) + 2):
        guest, cpu = machine.create_vm(), machine.cpus[entry % ncpus]
        if cpu.in_guest:
            machine.leave(cpu.number)
        machine.enter(guest, cpu=cpu.number)
    return vmid_scene(machine.stream, vmid_bits=bits, ncpus=ncpus)


SCENES = {
    "fault, first store": lambda: fault_scene(RUNS["first_store"]().stream),
    "fault, everything": lambda: fault_scene(RUNS["everything"]().stream),
    "vmid, 4 bits": lambda: vmids(4, 2),
    "vmid, 8 bits": lambda: vmids(8, 4),
}


@pytest.fixture(scope="module", params=SCENES)
def scene(request):
    return SCENES[request.param]()


@pytest.fixture(scope="module")
def page(chromium):
    with plain_page(chromium) as page:
        yield page


def mount(page, scene, theme="light", width=1280, motion="reduce"):
    page.emulate_media(reduced_motion=motion)
    page.set_viewport_size({"width": width, "height": 2000})
    assert page.evaluate("([scene, theme]) => looks.mount(scene, theme)", [scene.to_dict(), theme]) == len(scene.steps)


def looked_at(scene, every=10):
    """Return the steps to look at: all, but of the many that are alike every tenth."""
    last = len(scene.steps) - 1
    return [n for n, step in enumerate(scene.steps) if not step.fast or n % every == 0 or n == last]


def contrast(pair):
    def luminance(colour):
        parts = [int(part) / 255 for part in colour.split(",")]
        red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted(map(luminance, pair.split(" on ")))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("width", LEAST)
def test_every_step_is_laid_out_well(page, scene, width):
    mount(page, scene, width=width)
    seen = page.evaluate("steps => looks.walk(steps)", looked_at(scene))
    assert seen["found"] == {}
    assert seen["places"] == 1, "something moves from step to step"
    smallest = seen["smallest"]
    assert (smallest["any"][0] >= LEAST[width][0], smallest["head"][0] >= LEAST[width][1]) == (True, True), smallest


@pytest.mark.parametrize("theme", THEMES)
def test_every_text_stands_out_from_what_is_under_it(page, scene, theme):
    mount(page, scene, theme)
    steps = looked_at(scene)
    pairs = page.evaluate("steps => looks.colours(steps)", steps[:: max(1, len(steps) // 30)])
    assert len(pairs) > 8
    assert {f"{text}: {pair}": round(contrast(pair), 2) for pair, text in pairs.items() if contrast(pair) < 4.5} == {}


def test_jumping_to_a_step_shows_what_stepping_to_it_shows(page, scene):
    mount(page, scene)
    last = len(scene.steps) - 1
    jumps = [*range(last, -1, -max(1, last // 20)), last // 2, 0, last, last // 3]
    seen = page.evaluate("steps => looks.scrub(steps)", jumps)
    assert seen["wrong"] == []
    assert seen["pictures"] > 0.9 * len(scene.steps)  # or there was nothing to go wrong


@pytest.mark.parametrize(("wish", "seconds"), [("reduce", 0), ("no-preference", 0.14)])
def test_colours_change_at_once_for_those_who_want_no_motion(page, scene, wish, seconds):
    mount(page, scene, motion=wish)
    assert page.evaluate("looks.change(1)") == seconds


def test_a_jump_has_no_motion(page, scene):
    mount(page, scene, motion="no-preference")
    assert page.evaluate("looks.change(5)") == 0


@pytest.mark.parametrize("theme", THEMES)
def test_everything_is_reached_by_tab_and_shows_it(page, scene, theme):
    mount(page, scene, theme)
    page.evaluate("looks.show(3)")  # so that there is a way back, too
    wanted = page.evaluate("looks.controls()")
    reached = {}
    for _ in range(len(wanted)):
        page.keyboard.press("Tab")
        name, ring, ground = page.evaluate("looks.focus()")
        reached[name] = ring and contrast(f"{ring} on {ground}")
    asks = any(step.ask for step in scene.steps)
    assert list(reached) == wanted
    assert [name for name in wanted if name in CONTROLS] == [name for name in CONTROLS if name != "ask" or asks]
    assert {name: ratio for name, ratio in reached.items() if not ratio or ratio < 3} == {}
