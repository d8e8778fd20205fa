"""The first litmus: one guest fault against one host invalidation, under every schedule.

Counts of schedules depend on what is one step; that the right check has none that goes wrong does not.
"""

import pytest

from kvmlab.engine import Config, Machine, Slot
from kvmlab.engine.config import RETRY_CHECKS
from kvmlab.engine.explore import Program, Run, explore, run_schedule, shortest_counterexample
from kvmlab.engine.hardware.walker import walk
from kvmlab.engine.host.mm import PRESENT

IPA, HVA = 0x8000_0000, 0x4000_0000

# host's operation, retry check -> schedules, bad ends
EXPECTED = {
    ("discard", "both"): (462, 0),
    ("discard", "none"): (462, 150),
    ("discard", "seq only"): (462, 105),
    ("discard", "count only"): (462, 45),
    ("discard", "sampled late"): (462, 40),
    ("swap_out", "both"): (210, 0),
    ("swap_out", "none"): (210, 15),
    ("swap_out", "seq only"): (210, 0),  # invalidate_page opens no range, so the sequence alone will do
    ("swap_out", "count only"): (210, 15),
    ("swap_out", "sampled late"): (210, 16),
}


def stale(machine: Machine) -> str:
    """Say whether the stage-2 tables map a frame that the host has taken back."""
    found = walk(machine.linux.memory, machine.kvm(0).pgd, IPA)
    pte = machine.host(0).pte(HVA)
    if found.pa >= 0 and not (pte & PRESENT and found.pa >> 12 == pte >> 12):
        return f"IPA {IPA:#x} maps frame {found.pa >> 12:#x}, which the host has taken back"
    return ""


def program(retry: str, host: str) -> Program:
    machine = Machine(Config(retry=retry, tlb_sets=4))
    vm = machine.create_vm([Slot(IPA, 1 << 20, HVA)])
    machine.access(vm, IPA + 0x1000, "write", value=1)  # the guest runs, its tables exist
    machine.swap_in(vm, HVA)  # the host has the page, the guest has not touched it
    fault = machine.begin("access", vm=vm, ipa=IPA, access="write", value=7, limit=1)
    return Program(machine, {"fault": fault, "host": machine.begin(host, vm=vm, hva=HVA)}, stale)


@pytest.mark.parametrize("host", ["discard", "swap_out"])
@pytest.mark.parametrize("retry", RETRY_CHECKS)
def test_only_the_right_check_has_no_bad_schedule(retry: str, host: str) -> None:
    outcomes = list(explore(lambda: program(retry, host)))
    bad = [outcome for outcome in outcomes if outcome.verdict]
    print(f"{host}, retry check {retry!r}: {len(outcomes)} schedules, {len(bad)} end in a stale mapping")
    assert len({outcome.schedule for outcome in outcomes}) == len(outcomes)
    assert (len(outcomes), len(bad)) == EXPECTED[host, retry]


def test_every_schedule_is_a_way_to_merge_the_two_tasks() -> None:
    schedules = [outcome.schedule for outcome in explore(lambda: program("both", "discard"))]
    lengths = {(schedule.count("fault"), schedule.count("host")) for schedule in schedules}
    assert lengths == {(6, 5)}
    # 11 steps, of which 5 are the host's: "11 choose 5"
    assert len(schedules) == 462


def test_a_bad_schedule_can_be_replayed_step_by_step() -> None:
    shortest = shortest_counterexample(lambda: program("none", "discard"))
    assert shortest is not None
    assert shortest.switches == 2
    run = Run(program("none", "discard"))
    verdicts = []
    for name in shortest.schedule:
        assert name in run.enabled
        run.step(name)
        verdicts.append(bool(run.verdict()))
    assert run.ended
    assert run.verdict() == shortest.verdict
    assert verdicts[-1]
    assert not verdicts[0]
    names = [event.name for event in run.program.machine.stream if event.kind == "mark"]
    looked_up, mapped = names.index("page/looked_up", -200), len(names) - 1 - names[::-1].index("tables/mapped")
    assert looked_up < mapped


def test_the_same_schedule_is_harmless_with_the_check() -> None:
    shortest = shortest_counterexample(lambda: program("none", "discard"))
    assert shortest is not None
    run = run_schedule(program("both", "discard"), shortest.schedule)
    assert run.verdict() == ""
    assert any(event.name == "notifier/retried" for event in run.program.machine.stream)


def test_without_notifiers_every_check_is_useless() -> None:
    def unnotified() -> Program:
        made = Machine(Config(CONFIG_MMU_NOTIFIER=False))
        vm = made.create_vm([Slot(IPA, 1 << 20, HVA)])
        made.access(vm, IPA, "write", value=1)
        return Program(made, {"host": made.begin("discard", vm=vm, hva=HVA)}, stale)

    (outcome,) = explore(unnotified)
    assert outcome.verdict
