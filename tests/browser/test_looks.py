"""The panels can be read at every step: no text overlaps another, leaves its frame, is cut off, too pale or too small.

A plain page with the real player and styles; no JupyterLab, so it is quick.
"""

from functools import cache

import pytest

from kvmlab.engine import Config, Machine, Slot
from kvmlab.panels.starts import grown_tables, shared_address
from kvmlab.rollover.survey import Setting, survey
from kvmlab.scenes.cache.story import cache_scene
from kvmlab.scenes.fault.story import fault_scene
from kvmlab.scenes.flush.story import flush_scene
from kvmlab.scenes.ioremap.story import ioremap_scene
from kvmlab.scenes.notifier.story import notifier_scene
from kvmlab.scenes.tables.layout import View
from kvmlab.scenes.tables.story import tables_scene
from kvmlab.scenes.vmid.story import vmid_scene
from tests.browser.plain import plain_page
from tests.scenes import test_cache_scene as cache_runs
from tests.scenes import test_ioremap_scene as ioremap_runs
from tests.scenes import test_notifier_scene as notifier_runs
from tests.scenes import test_tables as tables_runs
from tests.scenes import test_tlb_scene as tlb_runs
from tests.scenes.runs import RAM, RUNS

pytestmark = pytest.mark.browser

CONTROLS = ["prev", "back", "play", "step", "next", "grain", "speed", "ask", "keys", "fn", "slider"]
THEMES = ("light", "dark")
MOST = 14
"""Steps of each run that are looked at; all of it takes too long, and most steps are like others."""
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


def far_tables(**unfolded):
    """Tables with the longest words there are: a run of pages at the end of 1 TiB, and another, which are unfolded."""
    machine, top = Machine(), (1 << 40) - RAM.size
    machine.create_vm([RAM, Slot(ipa=top, size=RAM.size, hva=0x5000_0000)])
    for page in range(40):
        machine.access(0, RAM.ipa + 0x1000 * (470 + page), "read" if page % 2 and page > 30 else "write")
    machine.access(0, top + RAM.size - 0x1000, "write")
    machine.ioremap(0, 0x2C00_0000, 0x2C00_6000, 100 * 0x1000)
    return tables_scene(machine.stream, view=View(open=unfolded))


SCENES = {
    "fault, first store": lambda: fault_scene(RUNS["first_store"]().stream),
    "fault, everything": lambda: fault_scene(RUNS["everything"]().stream),
    "tables, start": lambda: tables_scene(grown_tables().machine.stream),
    "tables, everything": lambda: tables_scene(RUNS["everything"]().stream),
    "tables, two guests": lambda: tables_scene(tables_runs.two_guests().stream, vms=(0, 1)),
    "tables, unfolded": lambda: far_tables(**{"r0.2.0.470-500": True, "r0.2.0.478-485": True}),
    "tables, folded": lambda: far_tables(**{"h0.1023": False}),
    "cache, first store": lambda: cache_scene(RUNS["first_store"]().stream),
    "cache, filled again": lambda: cache_scene(cache_runs.storm(1 << 21, 45).stream),
    "cache, everything": lambda: cache_scene(RUNS["everything"]().stream),
    "ioremap, VGIC": lambda: ioremap_scene(ioremap_runs.vgic().stream),
    "ioremap, large device": lambda: ioremap_scene(ioremap_runs.long_range().stream),
    "ioremap, many places": lambda: ioremap_scene(ioremap_runs.many_places().stream),
    "tlb, start": lambda: tlb_runs.scene(shared_address().machine),
    "tlb, classroom": lambda: tlb_runs.scene(tlb_runs.classroom()),
    "tlb, four CPUs": lambda: tlb_runs.scene(tlb_runs.mixed(1, ncpus=4, tlb_sets=64, tlb_ways=4)),
    "notifier, everything": lambda: notifier_scene(notifier_runs.everything().stream),
    "notifier, race": lambda: notifier_scene(RUNS["race"]().stream),
    "notifier, none": lambda: notifier_scene(notifier_runs.without().stream, notify=False),
    "flush": lambda: flush_scene(survey(Setting(guests=300, cpus=4))),
    "vmid, 4 bits": lambda: vmids(4, 2),
    "vmid, 8 bits": lambda: vmids(8, 4),
}


ONE_EACH = [
    next(name for name in SCENES if name.startswith(panel)) for panel in {name.split(",")[0]: 0 for name in SCENES}
]
"""A run of each panel, where its runs would not differ."""


@cache
def made(name):
    return SCENES[name]()


@pytest.fixture(params=SCENES)
def scene(request):
    return made(request.param)


@pytest.fixture(params=ONE_EACH)
def one_scene(request):
    return made(request.param)


@pytest.fixture
def any_scene():
    return made("fault, first store")


@pytest.fixture(scope="module")
def page(chromium):
    with plain_page(chromium) as page:
        yield page


def mount(page, scene, theme="light", width=1280, motion="reduce", predict=False, height=2000):
    page.emulate_media(reduced_motion=motion)
    page.set_viewport_size({"width": width, "height": height})
    count = page.evaluate("([...all]) => looks.mount(...all)", [scene.to_dict(), theme, predict])
    assert count == len(scene.steps)


def looked_at(scene, most=MOST):
    """Return the steps to look at: some from all over the run, and those with the longest words."""
    steps, last = range(len(scene.steps)), len(scene.steps) - 1
    longest = [max(steps, key=lambda n: len(getattr(scene.steps[n], part))) for part in ("title", "why", "fn", "log")]
    return sorted({*steps[:: max(1, len(steps) // most)], *longest, last})


def contrast(pair):
    def luminance(colour):
        parts = [int(part) / 255 for part in colour.split(",")]
        red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted(map(luminance, pair.split(" on ")))
    return (light + 0.05) / (dark + 0.05)


def pale(pairs):
    """Return the pairs of colours that are too near each other to be read."""
    return {f"{text}: {pair}": round(contrast(pair), 2) for pair, text in pairs.items() if contrast(pair) < 4.5}


@pytest.mark.parametrize("width", LEAST)
def test_every_step_is_laid_out_well(page, scene, width):
    mount(page, scene, width=width)
    seen = page.evaluate("steps => looks.walk(steps)", looked_at(scene))
    assert seen["found"] == {}
    assert page.evaluate("([...all]) => looks.controlsAt(...all)", [looked_at(scene), 1 if width < 1100 else 2]) == {}
    assert seen["places"] == 1, "something moves from step to step"
    smallest = seen["smallest"]
    assert (smallest["any"][0] >= LEAST[width][0], smallest["head"][0] >= LEAST[width][1]) == (True, True), smallest


@pytest.mark.parametrize("theme", THEMES)
def test_every_text_stands_out_from_what_is_under_it(page, scene, theme):
    mount(page, scene, theme)
    pairs = page.evaluate("steps => looks.colours(steps)", looked_at(scene))
    assert len(pairs) > 8
    assert pale(pairs) == {}


def test_jumping_to_a_step_shows_what_stepping_to_it_shows(page, one_scene):
    mount(page, one_scene)
    last = len(one_scene.steps) - 1
    jumps = [*range(last, -1, -max(1, last // 20)), last // 2, 0, last, last // 3]
    seen = page.evaluate("steps => looks.scrub(steps)", jumps)
    assert seen["wrong"] == []
    assert seen["pictures"] > 0.6 * len(one_scene.steps)  # or there was nothing to go wrong


@pytest.mark.parametrize(("wish", "seconds"), [("reduce", 0), ("no-preference", 0.14)])
def test_colours_change_at_once_for_those_who_want_no_motion(page, any_scene, wish, seconds):
    mount(page, any_scene, motion=wish)
    assert page.evaluate("looks.change(1)") == seconds


def test_a_jump_has_no_motion(page, any_scene):
    mount(page, any_scene, motion="no-preference")
    assert page.evaluate("looks.change(5)") == 0


@pytest.mark.parametrize("theme", THEMES)
def test_everything_is_reached_by_tab_and_shows_it(page, one_scene, theme):
    mount(page, one_scene, theme)
    page.evaluate("step => looks.show(step)", len(one_scene.steps) - 2)  # so that there is a way back, too
    wanted = page.evaluate("looks.controls()")
    reached = {}
    for _ in range(len(wanted)):
        page.keyboard.press("Tab")
        name, ring, ground = page.evaluate("looks.focus()")
        reached[name] = ring and contrast(f"{ring} on {ground}")
    asks = any(step.ask for step in one_scene.steps)
    assert list(reached) == wanted
    assert [name for name in wanted if name in CONTROLS] == [name for name in CONTROLS if name != "ask" or asks]
    assert {name: ratio for name, ratio in reached.items() if not ratio or ratio < 3} == {}


def asked_at(scene, most=4):
    """Return the steps with the longest questions, and for each how many choices it has and one that is wrong."""
    asks = {t: step.ask for t, step in enumerate(scene.steps) if step.ask and t}
    longest = sorted(asks, key=lambda t: -len(asks[t].ask + asks[t].because + "".join(asks[t].choices)))[:most]
    wrong = []
    for one in map(asks.get, longest):
        others = sorted({*range(len(one.choices))} - {one.right}, key=lambda choice: not one.beliefs[choice])
        wrong.append(others[0])  # one that many believe, if there is such
    return longest, [len(asks[t].choices) for t in longest], wrong


ASKING = (
    "fault, everything",
    "tables, everything",
    "cache, filled again",
    "ioremap, VGIC",
    "tlb, classroom",
    "notifier, everything",
    "flush",
    "vmid, 8 bits",
)
"""Runs with the most to ask."""
ASKED = [(560, "light"), (640, "dark"), (800, "dark"), (1112, "light"), (1280, "dark")]


@pytest.mark.parametrize("name", ASKING)
@pytest.mark.parametrize(("width", "theme"), ASKED)
def test_a_question_and_its_answer_can_be_read(page, name, width, theme):
    scene = made(name)
    steps, choices, wrong = asked_at(scene)
    assert steps
    mount(page, scene, theme, width, predict=True)
    seen = page.evaluate("([...all]) => looks.questions(...all)", [steps, choices, wrong])
    assert seen["found"] == {}
    assert len(seen["pairs"]) > 3
    assert pale(seen["pairs"]) == {}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", [560, 1112])
def test_a_kernel_that_is_gone_is_said(page, any_scene, width, theme):
    mount(page, any_scene, theme, width)
    page.evaluate("looks.lose(true)")
    assert page.evaluate("([...all]) => looks.controlsAt(...all)", [[3], 1 if width < 1100 else 2]) == {}
    assert pale(page.evaluate("looks.lost()")) == {}


def test_a_question_fits_a_small_screen_at_twice_the_size(page, one_scene):
    """A screen of 1280 x 720 that shows everything twice as large has 640 x 360."""
    steps, _, _ = asked_at(one_scene, most=1)
    mount(page, one_scene, width=640, height=360, predict=True)
    assert 0 < page.evaluate("step => looks.questionHeight(step)", steps[0]) <= 360
