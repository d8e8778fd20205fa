"""Use the VMID panel from Python, as a click in the page would."""

import pytest

from kvmlab.engine import InputError
from kvmlab.panels.vmid import MAX_ENTRIES, vmids
from kvmlab.scenes.vmid import vmid_scene


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
    panel.turn_button.click()
    titles = [step["title"] for step in panel.player.scene["steps"]]
    assert titles[-3:] == [
        f"Guest {n} enters on CPU {cpu} and gets VMID {v}" for n, cpu, v in ((17, 1, 2), (0, 0, 3), (1, 1, 4))
    ]


def test_the_run_is_the_machines():
    panel = vmids(vmid_bits=4)
    panel.run(40)
    linux = panel.machine.linux
    last = panel.player.scene["steps"][-1]
    assert linux.kvm_vmid_gen == 2 + 39 // 15
    assert f"generation {linux.kvm_vmid_gen}" in last["log"][0][1]


def test_a_scene_that_grew_is_the_scene_of_the_whole_run():
    panel = vmids(vmid_bits=4)
    for entries in (1, 20, 7):
        panel.run(entries)
    assert panel.player.scene == vmid_scene(panel.machine.stream, vmid_bits=4, ncpus=2).to_dict()


def test_a_guest_runs_on_one_cpu_at_a_time():
    panel = vmids(vmid_bits=4, ncpus=3, guests=2)
    panel.run(7)
    for _ in range(3):
        panel.enter(0, 2)
    running = [cpu.number for cpu in panel.machine.cpus if cpu.in_guest]
    guests = [panel.machine.linux.vcpu_on(cpu).kvm.number for cpu in running]
    assert len(guests) == len(set(guests))
    assert panel.machine.linux.vcpu_on(2).kvm.number == 0


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
    before = len(panel.machine.stream)
    act(panel)
    assert f'role="alert"><b class="kvmlab-error">Not done:</b> {words}' in panel.message.value
    assert len(panel.machine.stream) == before
    assert len(panel.player.scene["steps"]) == 1


def test_a_panel_has_an_end():
    panel = vmids(vmid_bits=2, ncpus=1)
    panel.run(MAX_ENTRIES)
    panel.enter(0)
    assert f"entries is 1 after {MAX_ENTRIES}" in panel.message.value


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="vmid_bits is 16; allowed: 2 to 8"):
        vmids(vmid_bits=16)
    with pytest.raises(InputError, match="guests is 0; allowed: 1 to 600"):
        vmids(guests=0)
    with pytest.raises(InputError, match="ncpus is 5; allowed: 1 to 4"):
        vmids(ncpus=5)
