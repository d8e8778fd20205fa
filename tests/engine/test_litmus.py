"""The two races as they are given to a learner: what they count, and what happens to the guest."""

import json
from pathlib import Path

import pytest

from kvmlab.engine import InputError
from kvmlab.engine.explore import explore, run_schedule, shortest_counterexample
from kvmlab.engine.litmus import HOSTS, RAM, SECRET, FaultAgainstHost, TwoVcpus, by_chance, count, step_names


@pytest.mark.parametrize("host", HOSTS)
def test_without_notifiers_it_ends_badly_exactly_where_the_look_up_was_first(host):
    outcomes = list(explore(FaultAgainstHost(notifier=False, host=host)))
    for outcome in outcomes:
        word = "".join(outcome.schedule)
        look, clear = ([n for n, task in enumerate(word) if task == name][step] for name, step in (("G", 3), ("H", 1)))
        assert bool(outcome.verdict) == (look < clear), word


def test_the_order_of_2013_gives_a_guest_the_memory_of_another():
    end = run_schedule(TwoVcpus()(), "00111")  # CPU 1 loads VTTBR before CPU 0 has stored the new one
    machine = end.program.machine
    old, new = machine.kvm(3).vmid, machine.kvm(0).vmid
    assert [cpu.vmid for cpu in machine.cpus] == [new, old]
    assert old != new
    assert end.verdict() == f"CPU 1 is in guest 0 with VMID {old}, and guest 0 has VMID {new}"
    assert machine.access(0, RAM.ipa, vcpu=0, cpu=0).value == 7
    assert machine.access(0, RAM.ipa, vcpu=1, cpu=1).value == SECRET
    frame = machine.host(0).pte(RAM.hva) >> 12
    assert machine.kvm(0).vmid_gen == machine.linux.kvm_vmid_gen
    assert machine.access(0, RAM.ipa, vcpu=1, cpu=1).pa >> 12 != frame


def test_one_step_later_it_is_the_number_of_the_host():
    end = run_schedule(TwoVcpus()(), "000111")
    assert end.program.machine.cpus[1].vmid == 0
    assert "with VMID 0" in end.verdict()


def test_in_the_later_order_cpu_1_waits_at_the_lock():
    with pytest.raises(InputError, match="task is '1'; allowed now: 0"):
        run_schedule(TwoVcpus(fixed=True)(), "0011")
    machine = run_schedule(TwoVcpus(fixed=True)(), "001").program.machine
    assert machine.access(0, RAM.ipa, vcpu=1, cpu=1).value == 7


def test_only_the_order_of_2013_has_bad_ends():
    old, new = count(TwoVcpus()), count(TwoVcpus(fixed=True))
    print(f"2013: {old}; 2018: {new}")
    assert old.bad > new.bad == 0
    shortest = shortest_counterexample(TwoVcpus())
    assert shortest is not None
    assert shortest.switches == 2


def test_names_of_steps_say_what_comes_next():
    names = step_names(FaultAgainstHost())
    assert names["G"].index("sample mmu_notifier_seq") < names["G"].index("look the page up")
    late = step_names(FaultAgainstHost(retry="sampled late"))
    assert late["G"].index("sample mmu_notifier_seq") > late["G"].index("look the page up")
    assert sum(map(len, names.values())) == 11
    assert step_names(TwoVcpus(fixed=True))["0"].index("store vmid_gen") > step_names(TwoVcpus())["0"].index(
        "store vttbr"
    )


def test_runs_by_chance_repeat_with_their_seed_and_mostly_do_not_switch():
    race = FaultAgainstHost(retry="none")
    first, again, other = ([one.schedule for one in by_chance(race, 60, one_in=20, seed=seed)] for seed in (3, 3, 4))
    assert first == again != other
    assert {schedule[0] for schedule in first} == {"G", "H"}
    rare = list(by_chance(race, 200, one_in=1000))
    alone = [outcome for outcome in rare if outcome.switches == 1]  # one after the other: where one ends
    assert len(alone) > 180
    assert not [outcome for outcome in alone if outcome.verdict]
    often = list(by_chance(race, 200, one_in=2))
    assert sum(bool(outcome.verdict) for outcome in often) > 20


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: FaultAgainstHost(retry="twice"), "retry is 'twice'"),
        (lambda: FaultAgainstHost(host="reboot"), "host is 'reboot'; allowed: discard, swap_out"),
        (lambda: by_chance(FaultAgainstHost(), 0), "runs is 0; allowed: 1 to"),
        (lambda: by_chance(FaultAgainstHost(), 5, one_in=0), "one_in is 0"),
    ],
)
def test_a_mistake_is_named(make, named):
    with pytest.raises(InputError, match=named):
        make()


@pytest.mark.slow
def test_what_notebook_07_says_of_the_counts_is_so():
    path = Path(__file__).parents[2] / "notebooks" / "07-two-cpus-at-once.ipynb"
    cells = {cell["id"]: "".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]}
    both, none, seq, late = (count(FaultAgainstHost(test)) for test in ("both", "none", "seq only", "sampled late"))
    closed = count(FaultAgainstHost("count only")).bad
    assert f"B. {both.schedules} ·" in cells["predict-number"]
    assert f"None of {both.schedules}" in cells["proof-why"]
    assert both.bad == 0
    assert f"yet {late.bad} schedules are bad" in cells["all-late-why"]
    assert f"{seq.bad} + {closed} = {none.bad}" in cells["halves-why"]
    assert not any(run.verdict for run in by_chance(FaultAgainstHost("sampled late"), 1000, seed=1))
