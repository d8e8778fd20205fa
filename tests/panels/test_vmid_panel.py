"""Use the VMID panel from Python, as a click in the page would."""

import pytest

from kvmlab.engine import Config, InputError, Machine
from kvmlab.panels.fault import fault
from kvmlab.panels.vmid import MAX_ENTRIES, MAX_STEPS, vmids
from kvmlab.rollover.schedules import SCHEDULES
from kvmlab.scenes.vmid.story import vmid_scene
from kvmlab.session import Session


def title(panel) -> str:
    return panel.player.scene["steps"][panel.step]["title"]


def test_a_click_lets_a_guest_enter():
    panel = vmids(vmid_bits=4)
    panel.guest.value, panel.cpu.value = 3, 1
    panel.enter_button.click()
    assert (panel.step, title(panel)) == (1, "CPU 1 wants to enter guest 3, which has no VMID yet")
    panel.enter(3, 1)
    assert title(panel) == "Guest 3 enters on CPU 1: VMID 1 is good"
    assert "guest 3 entered on CPU 1" in panel.message.value


def test_a_run_in_turn_goes_on_after_the_last_guest():
    panel = vmids(vmid_bits=4, guests=18)
    panel.enter(16, 0)
    panel.count.value = 3
    panel.run_button.click()
    titles = [step["title"] for step in panel.player.scene["steps"]]
    assert titles[-3:] == [
        f"Guest {n} enters on CPU {cpu} and gets VMID {v}" for n, cpu, v in ((17, 1, 2), (0, 0, 3), (1, 1, 4))
    ]


def test_the_run_is_the_machines():
    panel = vmids(vmid_bits=4)
    panel.run(40)
    linux = panel.session.machine.linux
    last = panel.player.scene["steps"][-1]
    assert linux.kvm_vmid_gen == 2 + 39 // 15
    assert f"generation {linux.kvm_vmid_gen}" in last["log"][0][1]


def test_a_scene_that_grew_is_the_scene_of_the_whole_run():
    panel = vmids(vmid_bits=4)
    for entries in (1, 20, 7):
        panel.run(entries)
    assert panel.player.scene == vmid_scene(panel.session.machine.stream, vmid_bits=4, ncpus=2).to_dict()


def test_a_guest_runs_on_one_cpu_at_a_time():
    panel = vmids(vmid_bits=4, ncpus=3, guests=2)
    panel.run(7)
    for _ in range(3):
        panel.enter(0, 2)
    running = [cpu.number for cpu in panel.session.machine.cpus if cpu.in_guest]
    guests = [panel.session.machine.linux.vcpu_on(cpu).kvm.number for cpu in running]
    assert len(guests) == len(set(guests))
    assert panel.session.machine.linux.vcpu_on(2).kvm.number == 0


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda panel: panel.enter(20), "guest is 20; allowed: 0 to 19"),
        (lambda panel: panel.enter(-1), "guest is -1; allowed: 0 to 19"),
        (lambda panel: panel.enter(0, 2), "cpu is 2; allowed: 0 to 1"),
        (lambda panel: panel.enter("<b>"), "guest must be a whole number, not &#x27;&lt;b&gt;&#x27;"),
        (lambda panel: panel.run(0), f"entries is 0; allowed: 1 to {MAX_ENTRIES}"),
    ],
)
def test_bad_numbers_are_told_and_nothing_happens(act, words):
    panel = vmids(vmid_bits=4)
    before = len(panel.session.machine.stream)
    act(panel)
    assert f'role="alert"><b class="kvmlab-error">Not done:</b> {words}' in panel.message.value
    assert len(panel.session.machine.stream) == before
    assert len(panel.player.scene["steps"]) == 1


def test_a_panel_has_an_end():
    panel = vmids(vmid_bits=2, ncpus=1)
    while len(panel.scene.steps) + MAX_ENTRIES <= MAX_STEPS:
        panel.run(MAX_ENTRIES)
    steps = len(panel.scene.steps)
    panel.run(MAX_ENTRIES)
    assert f"entries is {MAX_ENTRIES} after {steps} steps" in panel.message.value
    assert len(panel.scene.steps) == steps
    panel.run(MAX_ENTRIES + 1)
    assert f"entries is {MAX_ENTRIES + 1}; allowed: 1 to {MAX_ENTRIES}" in panel.message.value


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="vmid_bits is 16; allowed: 2 to 8"):
        vmids(vmid_bits=16)
    with pytest.raises(InputError, match="guests is 0; allowed: 1 to 600"):
        vmids(guests=0)
    with pytest.raises(InputError, match="ncpus is 5; allowed: 1 to 4"):
        vmids(ncpus=5)
    with pytest.raises(InputError, match="vmid_bits is 16; allowed: 2 to 8"):
        vmids(Machine(Config(vmid_bits=16)))
    with pytest.raises(InputError, match="start is 'x'; allowed: begin, last, end"):
        vmids(start="x")
    with pytest.raises(InputError, match="recording"):
        vmids(Machine(Config(recording=False)))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_to_the_next_rollover_stops_just_before_it_and_makes_exactly_one(schedule):
    panel = vmids(vmid_bits=4, guests=18)
    panel.schedule.value = schedule
    for flushes in (1, 2, 3):
        panel.rollover_button.click()
        assert panel.session.machine.linux.kvm_vmid_gen == 1 + flushes
        later = [step.mark for step in panel.scene.steps[panel.step :]]
        assert later.count("flush") == 1
        assert "need_new_vmid_gen, yes" in panel.scene.steps[panel.step + 1].log[0][1]
        assert "Not done" not in panel.message.value


def test_a_rollover_that_cannot_come_is_explained():
    panel = vmids(vmid_bits=4, guests=15)
    panel.to_rollover()  # the one at boot
    made = len(panel.session.machine.stream)
    panel.rollover_button.click()
    words = "15 guests, 14 of them without a VMID of this generation, and 14 VMIDs are left"
    assert words in panel.message.value
    panel.run(100, "uniform")
    steps = len(panel.scene.steps)
    panel.rollover_button.click()
    assert "no rollover will come under any schedule" in panel.message.value
    assert len(panel.session.machine.stream) > made
    assert len(panel.scene.steps) == steps


def test_destroyed_guests_make_a_rollover_possible():
    panel = vmids(vmid_bits=2, ncpus=1, guests=3)
    panel.run(3)
    panel.session.do("destroy_vm", vm=0)
    panel.session.do("create_vm")
    panel.to_rollover()
    assert panel.session.machine.linux.kvm_vmid_gen == 3
    assert panel.guests == [1, 2, 3]


def test_a_rollover_too_far_away_is_refused_and_nothing_is_lost():
    panel = vmids(vmid_bits=8, guests=256)
    panel.run(1)
    before = len(panel.session.machine.stream)
    panel.to_rollover("zipf")
    assert f"allowed: 1 to {MAX_ENTRIES}" in panel.message.value
    assert len(panel.session.machine.stream) == before
    panel.run(50, "zipf")
    other = vmids(vmid_bits=8, guests=256)
    other.run(1)
    other.run(50, "zipf")
    titles = [[step.title for step in one.scene.steps] for one in (panel, other)]
    assert titles[0] == titles[1]


def test_the_same_clicks_make_the_same_run_and_a_second_click_goes_on():
    one, other = vmids(vmid_bits=4), vmids(vmid_bits=4)
    one.run(30, "uniform")
    for _ in range(3):
        other.run(10, "uniform")
    assert [step.title for step in one.scene.steps] == [step.title for step in other.scene.steps]
    assert one.scene.steps[5].title != one.scene.steps[15].title


def test_an_unknown_schedule_is_told():
    panel = vmids(vmid_bits=4)
    panel.run(3, "<b>")
    assert "schedule is &#x27;&lt;b&gt;&#x27;; allowed: round-robin, uniform, runs, zipf" in panel.message.value
    assert len(panel.scene.steps) == 1


def test_a_session_with_everything_on_it():
    walk = fault()
    panel = vmids(walk.session)
    assert len(panel.scene.steps) == 1
    walk.button.click()
    walk.session.do("ioremap", vm=0, ipa=0x2C00_2000, pa=0x2C00_6000, size=0x1000)
    walk.session.do("swap_out", vm=0, hva=0x4000_0000)
    walk.session.do("access", vm=0, ipa=0x8000_0000)
    assert panel.scene.steps[6].title == "Guest 0 gets VMID 1"
    walk.step = 0
    assert panel.step == 0
    panel.enter(0, 1)
    assert walk.session.machine.linux.vcpu_on(1).kvm.number == 0
    more = vmids(walk.session, guests=3, start="end")
    assert (panel.guests, more.step) == ([0, 1, 2], len(more.scene.steps) - 1)
    more.run(2)
    assert panel.scene.steps[-1].title == "Guest 2 enters on CPU 1 and gets VMID 3"
    walk.session.undo()
    panel.enter(1, 0)
    assert panel.scene == more.scene
    assert "guest 1 entered on CPU 0" in panel.message.value


def test_without_guests_it_says_so():
    panel = vmids(Session())
    panel.enter_button.click()
    assert "guest is 0; allowed: none, create one first" in panel.message.value
    panel.run_button.click()
    assert "guests is 0; allowed: 1 or more" in panel.message.value
    panel.rollover_button.click()
    assert "guests is 0; allowed: 1 or more" in panel.message.value


def test_it_can_ask_before_steps():
    panel = vmids(vmid_bits=4, predict=True)
    assert panel.player.predict is True
    panel.run(3)
    assert panel.player.scene["steps"][1]["ask"]["choices"]
