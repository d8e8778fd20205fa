"""Use the comparison of the two allocators from Python, as a click in the page would."""

import random
from html.parser import HTMLParser

import pytest

from kvmlab.engine import Config, InputError, Machine
from kvmlab.panels.allocators import COLUMNS, Allocators, VmidSession, allocators, scheduled
from kvmlab.panels.vmid import vmids
from kvmlab.rollover.allocators import ALLOCATORS
from kvmlab.rollover.schedules import SCHEDULES
from kvmlab.scenes.vmid.counts import count
from kvmlab.session import Session


def sides(panel: Allocators) -> list[Session]:
    return [panel.one.session, panel.other.session]


def entries(panel: Allocators) -> list[list[tuple[int, int]]]:
    """Return for each side who entered where, as asked, without those who were kicked and came back."""
    return [
        [(command.args["vm"], command.args["cpu"]) for command in scheduled(session) if command.name == "enter"]
        for session in sides(panel)
    ]


def titles(panel: Allocators) -> list[str]:
    return [player.shown.steps[player.step].title for player in panel.players]


class Cells(HTMLParser):
    """The words of a table, cell by cell, and the scopes of its heads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells, self.scopes = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.scopes += [value for name, value in attrs if name == "scope"]

    def handle_data(self, data):
        self.cells.append(data)


def test_the_same_guests_enter_on_both_sides_and_only_3_9_kicks():
    panel = allocators(ncpus=3)
    panel.other.rollover_button.click()
    for _ in range(2):
        panel.other.run(30, "uniform")
    machine = panel.other.session.machine
    running = {vcpu.kvm.number for cpu in range(3) if (vcpu := machine.linux.vcpu_on(cpu))}
    panel.other.enter(next(guest for guest in range(20) if guest not in running), 2)
    first, second = entries(panel)
    assert first == second
    assert len(first) > 60
    panel.players[0].step = len(panel.players[0].shown.steps) - 1
    old, new = panel.counts
    assert (old.entries, new.entries) == (len(first), len(first))
    assert old.kicks == old.reentries > 2
    assert (new.kicks, new.reentries) == (0, 0)
    assert old.flushes == new.flushes + 1, "the one at boot"
    assert new.renumbered < old.renumbered
    marks = [[name for name, _ in session.machine.stream.marks()] for session in sides(panel)]
    assert [names.count("kvm_entry") for names in marks] == [old.entries + old.reentries, new.entries]
    assert [cpu.in_guest for cpu in panel.one.session.machine.cpus] == [1, 1, 1]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_next_rollover_comes_on_both_sides_and_both_stand_before_it(schedule):
    panel = allocators(vmid_bits=3, guests=11)
    panel.other.schedule.value = schedule
    for number in (1, 2, 3):
        panel.other.rollover_button.click()
        assert "Not done" not in panel.other.message.value
        before = panel.counts
        for player in panel.players:
            later = player.shown.steps[player.step + 1 :]
            assert later[0].title.endswith("needs a VMID")
            assert [step.mark for step in later].count("flush") == 1
        assert [counts.flushes for counts in before] == [number, number - 1], "nothing is given away before the step"
        for _ in range(5):
            panel.players[1].step += 1
        assert titles(panel) == ["FULL FLUSH: all TLBs, all CPUs"] * 2
        assert [counts.flushes for counts in panel.counts] == [number + 1, number]


def test_the_players_move_together_and_show_what_differs():
    panel = allocators()
    panel.other.rollover_button.click()
    panel.other.rollover_button.click()
    for _ in range(4):
        panel.players[0].step += 1
    assert titles(panel) == ["CPU 0 is kicked out of its guest", "Nobody is kicked: VMID 14 stays with its guest"]
    for player in panel.players:
        differs = player.shown.steps[player.step].differs
        assert {"cpu0", "cpu0.v", "v14", "ev"} <= set(differs)
        assert not {"gen.t", "key.t", "cpu0.n"} & set(differs), "they are one apart from boot on"
    heads = [side.children[0].value for side in panel.children[-1].children]
    for head, name, player in zip(heads, ("Linux 3.9", "Linux 5.18"), panel.players, strict=True):
        assert f"<b>{name}</b> · {len(player.shown.steps)} steps of 31 commands" in head
    panel.players[1].step = 0
    assert [player.step for player in panel.players] == [0, 0]


def test_undo_and_redo_go_over_a_kick_on_both_sides():
    panel = allocators(vmid_bits=2, ncpus=2, guests=6)
    panel.other.run(3)
    before = [session.cursor for session in sides(panel)]
    panel.other.run(1)
    after = [session.cursor for session in sides(panel)]
    assert panel.one.session.commands[-1].command.args == {"vm": 2, "vcpu": 0, "cpu": 0}, "guest 2 came back"
    for _ in range(2):
        panel.other.undo_button.click()
        assert [session.cursor for session in sides(panel)] == before
        assert "needs" not in titles(panel)[0]
        panel.other.redo_button.click()
        assert [session.cursor for session in sides(panel)] == after
    panel.other.undo_button.click()
    panel.other.undo_button.click()
    panel.other.redo_button.click()
    assert [session.cursor for session in sides(panel)] == before, "one turn, not two"
    panel.other.enter(5, 1)
    assert entries(panel) == [[(0, 0), (1, 1), (2, 0), (5, 1)]] * 2
    panel.other.redo_button.click()
    assert "nothing" in panel.other.message.value
    for _ in range(20):
        panel.other.undo_button.click()
    assert [session.cursor for session in sides(panel)] == [
        min(done.first for done in session.commands) for session in sides(panel)
    ]


@pytest.mark.parametrize("allocator", ["3.9", "5.18"])
def test_a_run_can_be_repeated_on_both(allocator):
    source = Session(Config(vmid_bits=3, ncpus=2, allocator=allocator))
    first = vmids(source, guests=10)
    first.run(20)
    source.do("destroy_vm", vm=4)
    source.do("add_slot", vm=3, slot=(0x8000_0000, 0x1000, 0x4000_0000))
    source.do("access", vm=3, ipa=0x8000_0000, access="write")
    length = len(source.machine.stream)
    panel = allocators(source)
    assert [session.machine.config.allocator for session in sides(panel)] == ["3.9", "5.18"]
    assert [scheduled(session) for session in sides(panel)] == [scheduled(source)] * 2
    again = allocators(panel.one.session)
    assert [list(session.machine.stream) for session in sides(again)] == [
        list(session.machine.stream) for session in sides(panel)
    ]
    assert len(source.machine.stream) == length, "the run itself stays as it is"
    panel.other.run(5)
    assert entries(panel)[0] == entries(panel)[1]


def test_the_table_says_what_has_been_counted():
    panel = allocators(vmid_bits=2, guests=5)
    draw = random.Random(1)
    for _ in range(30):
        panel.other.enter(draw.randrange(5), draw.randrange(2))
    for step in (len(panel.players[0].shown.steps) // 2, 10**6):
        panel.players[0].step = step
        table = Cells(panel.costs.value)
        assert table.scopes == ["col"] * len(COLUMNS) + ["row"] * 2
        rows = [[str(getattr(counts, name)) for name in COLUMNS] for counts in panel.counts]
        assert table.cells[1:] == [*COLUMNS.values(), "Linux 3.9", *rows[0], "Linux 5.18", *rows[1]]
        assert rows[0] != rows[1]


def test_it_can_ask_on_both_sides():
    panel = allocators(predict=True, vmid_bits=2)
    panel.other.run(6)
    for player in panel.players:
        assert player.predict is True
        assert any(step.ask for step in player.shown.steps)
    assert allocators(vmid_bits=2).players[0].predict is False


def test_what_makes_no_sense_is_said():
    with pytest.raises(InputError, match="vmid_bits is 9; allowed: 2 to 8"):
        allocators(vmid_bits=9)
    with pytest.raises(InputError, match=r"ncpus is 3; allowed with allocator 5\.18 and 2 bits"):
        allocators(vmid_bits=2, ncpus=3)
    with pytest.raises(InputError, match="guests is 0; allowed: 1 to 600"):
        allocators(guests=0)
    with pytest.raises(InputError, match="vmid_bits is 16; allowed: 2 to 8"):
        allocators(Machine(Config(vmid_bits=16)))
    panel = allocators(vmid_bits=2, guests=3)
    before = [len(session.machine.stream) for session in sides(panel)]
    panel.other.enter(7, 0)
    assert "guest is 7; allowed: 0 to 2" in panel.other.message.value
    panel.other.rollover_button.click()
    assert "no rollover will come under any schedule" in panel.other.message.value
    assert [len(session.machine.stream) for session in sides(panel)] == before


def test_a_vmid_panel_of_linux_5_18_finds_the_next_rollover():
    panel = vmids(Session(Config(vmid_bits=3, allocator="5.18")), guests=11)
    for number in (1, 2, 3):
        panel.rollover_button.click()
        assert panel.session.machine.linux.generation == 1 + number
        later = [step.mark for step in panel.scene.steps[panel.step :]]
        assert later.count("flush") == 1
        assert panel.scene.steps[panel.step + 1].title.endswith("needs a VMID")
    panel.branch_button.click()
    assert "Linux 5.18" in panel.below.children[0].players[0].shown.title


@pytest.mark.parametrize("name", ALLOCATORS)
@pytest.mark.parametrize("seed", range(12))
def test_the_simulator_counts_what_the_events_say(name, seed):
    draw = random.Random(seed)
    bits = draw.choice([2, 3, 4])
    cpus = draw.randint(1, min(4, (1 << bits) - 2))
    guests = (1 << bits) + draw.randrange(6)
    run, copy = (
        VmidSession(Config(vmid_bits=bits, ncpus=cpus, allocator=name, tlb_sets=1)),
        ALLOCATORS[name](bits, cpus),
    )
    on = list(range(cpus))
    for _ in range(guests):
        run.do("create_vm")
    for turn in range(100):
        cpu = turn % cpus
        if turn >= cpus:
            on[cpu] = draw.choice([guest for guest in range(guests) if guest not in on[:cpu] + on[cpu + 1 :]])
        run.turn("enter", vm=on[cpu], cpu=cpu)
        copy.turn(on[cpu], cpu)
    counts = count(run.machine.stream)
    assert vars(counts) == {field: getattr(copy.counts, field) for field in vars(counts)}
    assert counts.flushes > 2
