"""Use the TLB panel from Python, as a click in the page would."""

import pytest

from kvmlab.engine import Config, InputError, Machine, Slot
from kvmlab.panels.fault import fault
from kvmlab.panels.starts import RAM
from kvmlab.panels.tlb import ENTRIES_LIMIT, tlb
from kvmlab.scenes.tlb.story import TlbStory
from kvmlab.session import Session


def titles(panel):
    return [step["title"] for step in panel.player.scene["steps"]]


def title(panel):
    return titles(panel)[panel.step]


def test_the_start_is_two_guests_that_share_an_address_and_an_asid():
    panel = tlb()
    assert panel.step == 0
    assert "Same page, other VMID: a miss" in titles(panel)
    assert titles(panel)[-1] == "The TLB has this page: no walk"
    shown = panel.scene.at(len(panel.scene.steps) - 1)
    assert [shown[f"e0.{slot}.t"][1] for slot in (0, 1)] == ["VMID 1 ASID 1", "VMID 2 ASID 1"]
    assert shown["e0.0.p"] == shown["e0.1.p"]
    assert "2-bit VMIDs: 1 to 3, so they soon run out" in shown["note"][1]


def test_a_click_lets_a_guest_use_an_address():
    panel = tlb()
    panel.guest.value, panel.cpu.value, panel.asid.value = 1, 1, 7
    panel.page.value, panel.kind.value = "0x80001000", "write"
    panel.access_button.click()
    assert panel.message.value.endswith("guest 1, ASID 7, CPU 1: write 0x80001000, done</span>")
    assert "Guest 1 stores to 0x80001000 on CPU 1" in titles(panel)
    entry = panel.session.machine.cpus[1].tlb.entries()[0]
    assert (entry.vmid, entry.asid, entry.page) == (2, 7, 0x80001)


def test_one_page_offered_shares_a_set_with_the_first():
    panel = tlb()
    sets = panel.session.machine.config.tlb_sets
    numbers = [int(ipa, 0) >> 12 for ipa in panel.page.options]
    assert any(number != numbers[0] and number % sets == numbers[0] % sets for number in numbers)


def test_enter_host_and_swap_each_make_their_steps():
    panel = tlb()
    panel.guest.value = 1
    panel.enter_button.click()
    assert title(panel) == "Guest 1 enters on CPU 0 with VMID 2"
    panel.host_button.click()
    assert title(panel) == "The host uses 0xc0001000 on CPU 0: one entry more"
    panel.swap_button.click()
    assert title(panel) == "The host changes its memory at 0x40000000 and tells KVM"
    assert titles(panel)[-1] == "Flush by VMID 2: 1 entry goes"
    assert [entry.vmid for entry in panel.session.machine.cpus[0].tlb.entries()] == [1, 0]


def test_the_next_rollover_makes_guests_as_needed():
    panel = tlb()
    linux = panel.session.machine.linux
    for generation in (3, 4):
        panel.rollover_button.click()
        assert linux.kvm_vmid_gen == generation
        assert any(said.startswith("Rollover flush") for said in titles(panel))
    assert len(linux.vm_list) == 4  # 3 numbers: the 4th guest ran out of them, and no 5th is ever needed
    assert "guests entered: 3, 0 of them new" in panel.message.value
    assert all(entry.vmid != 2 for cpu in panel.session.machine.cpus for entry in cpu.tlb.entries())


def test_a_destroyed_guest_does_not_enter_for_a_rollover():
    panel = tlb()
    panel.session.do("create_vm", slots=[RAM])
    panel.session.do("destroy_vm", vm=2)
    panel.rollover_button.click()
    assert "guests entered: 2, 2 of them new" in panel.message.value


def test_a_rollover_far_away_is_refused_in_words():
    panel = tlb(Machine(Config(vmid_bits=16)))
    panel.session.do("create_vm", slots=[RAM])
    panel.session.do("enter", vm=0)
    before = len(panel.session.commands)
    panel.rollover_button.click()
    assert "Not done:" in panel.message.value
    assert f"at most {ENTRIES_LIMIT}" in panel.message.value
    assert len(panel.session.commands) == before


@pytest.mark.parametrize(
    ("control", "value", "button", "words"),
    [
        ("guest", 99, "access_button", "vm is 99"),
        ("guest", 99, "enter_button", "vm is 99"),
        ("guest", -1, "swap_button", "vm is -1"),
        ("asid", 256, "access_button", "ASID is 256"),
        ("asid", -1, "access_button", "ASID is -1"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_lost(control, value, button, words):
    panel = tlb()
    before, shown = len(panel.session.commands), panel.player.scene
    getattr(panel, control).value = value
    getattr(panel, button).click()
    assert "Not done:" in panel.message.value
    assert words in panel.message.value
    assert (len(panel.session.commands), panel.player.scene) == (before, shown)


def test_a_page_that_is_not_there_cannot_be_swapped_out():
    panel = tlb()
    panel.page.value = "0x80002000"
    panel.swap_button.click()
    assert "the host has no page there" in panel.message.value
    bare = tlb(Machine())
    bare.session.do("create_vm", slots=[Slot(0x1000, 0x1000, 0x5000_0000)])
    bare.swap_button.click()
    assert "guest 0 has no memory there" in bare.message.value


def test_it_stands_where_the_fault_panel_stands():
    session = Session(Config(vmid_bits=4, tlb_sets=2, tlb_ways=1))
    session.do("create_vm", slots=[RAM])
    left, right = tlb(session), fault(session)
    right.button.click()
    assert left.scene.steps[-1].event > 0
    left.access_button.click()
    assert left.event >= left.session.commands[-1].first
    right.step = 0
    assert left.step == 0
    assert left.session is right.session


def test_a_scene_that_grew_is_the_scene_of_the_whole_run():
    panel = tlb()
    panel.access_button.click()
    panel.swap_button.click()
    panel.rollover_button.click()
    story = TlbStory(ncpus=2, vmid_bits=2, tlb_sets=4, tlb_ways=2)
    assert panel.player.scene == story.read(panel.session.machine.stream).to_dict()
    panel.session.undo()
    panel.access_button.click()
    again = TlbStory(ncpus=2, vmid_bits=2, tlb_sets=4, tlb_ways=2)
    assert panel.player.scene == again.read(panel.session.machine.stream).to_dict()


def test_start_and_predict():
    assert tlb(start="end").step == len(tlb().scene.steps) - 1
    assert title(tlb(start="last")) == "Guest 0 enters on CPU 0 with VMID 1"
    assert tlb(predict=True).player.predict
    assert not tlb().player.predict
    with pytest.raises(InputError, match="start is 'middle'"):
        tlb(start="middle")


def test_a_run_without_a_guest_has_a_first_step():
    panel = tlb(Machine(Config(ncpus=1)))
    assert titles(panel) == ["One CPU and its TLB, all empty"]
    panel.access_button.click()
    assert "Not done:" in panel.message.value


def test_it_goes_into_one_file(tmp_path):
    page = tlb().export(tmp_path / "tlb.html").read_text(encoding="utf-8")
    assert "Same page, other VMID: a miss" in page
    assert len(page) < 300_000


def test_a_run_with_the_later_allocator_is_told_as_it_was():
    panel = tlb(Machine(Config(vmid_bits=2, ncpus=1, allocator="5.18")))
    panel.rollover()
    kernel = panel.scene.at(len(panel.scene.steps) - 1)
    assert (kernel["gen.t"][1], kernel["nxt.t"][1]) == ("generation 2", "cur_idx 1")
    assert [kernel[f"g{slot}.v"][1] for slot in range(4)] == ["void", "void", "void", "VMID 1"]
    told = [step for step in panel.scene.steps if step.fn == "flush_context()"]
    assert [step.title for step in told] == ["The VMIDs have run out: generation 2 begins"]
    assert "kick" not in " ".join(step.title for step in panel.scene.steps)
    machine = panel.session.machine
    assert machine.linux.generation == 2
    assert machine.linux.vmids.cur_idx == 1


@pytest.mark.parametrize("allocator", ["3.9", "5.18"])
def test_after_a_rollover_only_the_one_that_entered_has_a_number(allocator):
    panel = tlb(Machine(Config(vmid_bits=2, ncpus=1, allocator=allocator)))
    panel.rollover()
    if allocator == "3.9":
        panel.rollover()  # the first is the one at boot
    kernel = panel.scene.at(len(panel.scene.steps) - 1)
    assert [kernel[f"g{slot}.v"][1] for slot in range(4)].count("void") == 3
    assert [kernel[f"g{slot}.v"][1] for slot in range(4)].count("VMID 1") == 1
