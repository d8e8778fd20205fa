"""The second litmus: two vCPUs of one VM enter at the same time, under every schedule.

Linux 3.9 stores the VM's generation before its VTTBR: a vCPU that does not take the lock can see one without the other.
"""

import pytest

from kvmlab.engine import Config, Machine
from kvmlab.engine.explore import Program, explore, run_schedule, shortest_counterexample


def two_vmids(machine: Machine) -> str:
    """Say whether the two CPUs, both in the same guest, run with different or empty VTTBRs."""
    vttbrs = [cpu.vttbr for cpu in machine.cpus if cpu.in_guest]
    if 0 in vttbrs:
        return "a CPU is in the guest with VTTBR 0: the host's VMID, and no tables"
    if len(set(vttbrs)) > 1:
        return "one VM runs under two VTTBRs"
    return ""


def program(*fixes: str, rollovers: int = 0) -> Program:
    machine = Machine(Config(vmid_bits=2, tlb_sets=1, fixes=frozenset(fixes)))
    vm = machine.create_vm(vcpus=2)
    for _ in range(rollovers * 3):
        machine.enter(vm)
        machine.enter(machine.create_vm())
    machine.leave(0)
    tasks = {f"vcpu{n}": machine.begin("enter", vm=vm, vcpu=n, cpu=n) for n in (0, 1)}
    return Program(machine, tasks, two_vmids)


@pytest.mark.parametrize("rollovers", [0, 1])
def test_linux_3_9_has_bad_schedules_and_the_later_order_has_none(rollovers: int) -> None:
    counts = {}
    for fixes in ((), ("vmid before generation",)):
        outcomes = list(explore(lambda f=fixes: program(*f, rollovers=rollovers)))
        bad = {outcome.verdict for outcome in outcomes if outcome.verdict}
        counts[fixes] = len(outcomes), sum(bool(outcome.verdict) for outcome in outcomes)
        print(f"fixes {fixes or 'none'}: {counts[fixes][0]} schedules, {counts[fixes][1]} bad: {bad or 'none'}")
    assert counts == {(): (110, 8), ("vmid before generation",): (120, 0)}


def test_the_shortest_bad_schedule_is_harmless_in_the_later_order() -> None:
    shortest = shortest_counterexample(program)
    assert shortest is not None
    assert shortest.switches == 2
    replayed = run_schedule(program(), shortest.schedule)
    assert replayed.verdict() == shortest.verdict != ""
