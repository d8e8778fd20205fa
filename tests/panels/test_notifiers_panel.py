"""Use the notifier panel from Python, as clicks in the page would."""

import pytest

from kvmlab.engine import Config, InputError, Machine, Slot
from kvmlab.engine.host.mm import KSM, PRESENT, SWAPPED
from kvmlab.engine.race import PLACES
from kvmlab.panels.fault import fault
from kvmlab.panels.notifiers import ACTS, STEP_BY_STEP, notifiers
from kvmlab.scenes.notifier.story import notifier_scene
from kvmlab.scenes.scene import Scene
from kvmlab.session import Session

SHARED_IPA, SHARED = 0x8000_2000, 0x4000_2000


def act(panel, name, ipa=None, pages=1):
    """Choose one of the host's acts by its command, and click."""
    if ipa is not None:
        panel.address.value = f"{ipa:#x}"
    panel.act.value, panel.pages.value = name, pages
    panel.host_button.click()


def title(panel):
    return panel.scene.steps[panel.step].title


def commands(panel):
    return [done.command.name for done in panel.session.commands]


def last_events(panel):
    done = panel.session.commands[-1]
    return [panel.machine.stream[seq].name for seq in range(done.first, done.last)]


def test_it_starts_with_a_page_that_two_slots_show():
    panel = notifiers()
    assert panel.step == 0
    assert any("one host page has two guest addresses" in step.why for step in panel.scene.steps)
    assert panel.machine.host(0).pte(SHARED) & PRESENT
    assert notifiers(start="end").step == len(panel.scene.steps) - 1


def test_a_click_swaps_out_what_the_guest_uses():
    panel = notifiers()
    act(panel, "swap_out")
    assert title(panel) == "The host wants the frame of 0x40002000 back"
    assert panel.machine.host(0).pte(SHARED) & SWAPPED
    assert "host: swap out, hva 0x40002000" in panel.message.value
    panel.guest_button.click()
    assert title(panel) == "The guest stores to 0x80002000 and faults"
    assert "guest stores: done, 1 fault" in panel.message.value


@pytest.mark.parametrize("name", [name for _, name in ACTS])
def test_each_act_of_the_host_is_a_click(name):
    panel = notifiers()
    act(panel, name, ipa=0x8000_0000, pages=2)
    assert "Not done" not in panel.message.value
    assert commands(panel)[-1] == {"forbid": "protect", "allow": "protect"}.get(name, name)
    assert Scene.from_dict(panel.player.scene) == notifier_scene(panel.machine.stream)


def test_a_range_across_two_slots():
    panel = notifiers()
    act(panel, "discard", ipa=0x8000_1000, pages=3)
    assert last_events(panel).count("tlb/flushed") == 4  # three host pages, of which two slots show one
    assert last_events(panel).count("tables/cleared") == 3


def test_a_merge_makes_two_pages_equal_first_and_a_store_breaks_it():
    panel = notifiers()
    panel.session.do("access", vm=0, ipa=0x8000_0004, access="write", value=77)
    act(panel, "ksm_merge", ipa=0x8000_0000)
    host = panel.machine.host(0)
    assert host.pte(0x4000_0000) & KSM
    assert host.pte(0x4000_0000) == host.pte(0x4000_1000)
    act(panel, "host_write", ipa=0x8000_1000)
    assert host.pte(0x4000_0000) >> 12 != host.pte(0x4000_1000) >> 12
    assert panel.machine.access(0, 0x8000_0004).value == 77


@pytest.mark.parametrize("place", [*PLACES, STEP_BY_STEP])
def test_a_race_retries_where_it_should(place):
    panel = notifiers()
    act(panel, "discard", ipa=0x8000_0000)
    act(panel, "swap_in")
    panel.act.value, panel.place.value = "discard", place
    panel.race_button.click()
    wanted = {"before the look-up": 1, "before the lock": 1, STEP_BY_STEP: 2}.get(place, 0)
    assert last_events(panel).count("notifier/retried") == wanted
    assert title(panel) == "The guest's access and the host's change run at once"
    assert "guest stores, host: discard; done" in panel.message.value


def test_without_notifiers_the_page_goes_stale():
    panel = notifiers(notifier=False)
    act(panel, "swap_out")
    panel.kind.value = "read"
    panel.guest_button.click()
    assert [step.mark for step in panel.scene.steps].count("stale") == 2
    assert not panel.machine.config.CONFIG_MMU_NOTIFIER


def test_undo_takes_a_race_back_and_a_branch_goes_on_without_it():
    panel = notifiers()
    act(panel, "swap_in", ipa=0x9000_1000)
    before = panel.session.cursor
    panel.act.value = "swap_out"
    panel.race_button.click()
    panel.undo_button.click()
    assert panel.session.cursor == before
    panel.redo_button.click()
    panel.step = len(panel.scene.steps) - 1
    assert [done.command.name for done in panel.branch().other.session.commands] == commands(panel)[:-1]


def test_it_shares_a_run_with_a_fault_panel():
    session = Session()
    session.do("create_vm", slots=[Slot(0x8000_0000, 1 << 20, 0x4000_0000)])
    panel, other = notifiers(session), fault(session)
    other.button.click()
    assert any("stores to 0x80000000" in step.title for step in panel.scene.steps)
    panel.address.value = "0x80000000"
    panel.race_button.click()
    assert commands(panel)[-1] == "race"
    panel.step = len(panel.scene.steps) - 1
    assert other.event <= panel.event
    assert other.scene.check().steps[-1].event <= len(session.machine.stream)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("0x70000000", "IPA is 0x70000000; no slot shows host memory there"),
        ("<script>", "IPA is &#x27;&lt;script&gt;&#x27;; write a number"),
        ("", "IPA is &#x27;&#x27;; write a number"),
        ("9" * 9999, "no slot shows host memory there"),
        ("-5", "no slot shows host memory there"),
        ("0x90002000", "hva is 0x40004000; the host has no page there"),
    ],
)
@pytest.mark.parametrize("button", ["host_button", "race_button"])
def test_nonsense_is_told_and_nothing_happens(address, words, button):
    panel = notifiers()
    before = len(panel.machine.stream)
    panel.address.value = address
    getattr(panel, button).click()
    assert "Not done" in panel.message.value
    assert words in panel.message.value
    assert len(panel.machine.stream) == before


def test_too_many_pages_and_too_different_pages_are_told():
    panel = notifiers()
    act(panel, "discard", pages=0)
    assert "pages is 0; allowed: 1 to 256" in panel.message.value
    for word in range(70):
        panel.session.do("host_write", vm=0, hva=0x4000_0000 + 4 * word, value=1 + word)
    act(panel, "ksm_merge", ipa=0x8000_0000)
    assert "the pages differ in 70 words; allowed: 64" in panel.message.value


def test_predict_mode_has_something_to_ask():
    panel = notifiers(predict=True)
    act(panel, "swap_out")
    assert panel.player.predict
    assert any(step.ask for step in panel.scene.steps)


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(InputError, match="start is 'now'"):
        notifiers(start="now")
    with pytest.raises(InputError, match="recording is False"):
        notifiers(Machine(Config(recording=False)))
    assert len(notifiers(Machine()).scene.steps) == 1


def test_nothing_in_a_panel_without_its_vm_breaks_it():
    panel = notifiers(Machine())
    for button in (panel.guest_button, panel.host_button, panel.race_button):
        button.click()
        assert "vm is 0; allowed: none, create one first" in panel.message.value
