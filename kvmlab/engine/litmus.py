"""Two races to explore: a guest's fault against the host, and two vCPUs of one guest that enter at the same time.

Calling one makes a fresh program for `kvmlab.engine.explore`. Tasks are named by one letter, so that a schedule can be
written as a word: "GGGHHHHHGGG" lets the fault take three steps, then the host five, then the fault three.

>>> from kvmlab.engine.explore import run_schedule
>>> run_schedule(FaultAgainstHost()(), "GGGHHHHHGGG").verdict()
''
>>> count(FaultAgainstHost())
Count(schedules=462, bad=0)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from kvmlab.engine.commands import Slot, checked
from kvmlab.engine.config import Config
from kvmlab.engine.errors import InputError, check_int
from kvmlab.engine.explore import Outcome, Program, Run, explore
from kvmlab.engine.hardware.walker import walk
from kvmlab.engine.host.mm import PRESENT
from kvmlab.engine.machine import Machine, Operation
from kvmlab.engine.tasks import Steps

RAM = Slot(ipa=0x8000_0000, size=1 << 20, hva=0x4000_0000)
"""Memory of each guest."""
HOSTS = ("discard", "swap_out")
"""What the host can do to the page: with a range that opens and closes, or with one call."""
SECRET = 111
"""What another guest has stored at the address that both use."""


def _half(machine: Machine, name: str, **args: Any) -> Operation:
    """Return a command as a task of a race: announced as a part of it, so that a run of both is told as one."""
    task, said, steps = checked(machine, name, args)

    def announced() -> Steps[Any]:
        machine.stream.command(name, **said, part_of="race")
        result = yield from steps
        return result

    return Operation(task, name, announced())


@dataclass(frozen=True)
class FaultAgainstHost:
    """One fault of a guest (task G) and one act of the host on the same page (task H).

    The guest has run, so its tables exist; the host has the page, and the guest has not touched it. The fault ends when
    KVM returns to the guest. It ends badly if the stage-2 tables then map a frame that the host has taken back.

    Attributes:
        retry: the test that the fault makes; see `Config`.
        host: one of `HOSTS`.
        notifier: whether the host tells KVM at all.

    Raises:
        InputError: no such test, or no such act.
    """

    retry: str = "both"
    host: str = "discard"
    notifier: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be made."""
        if self.host not in HOSTS:
            raise InputError(f"host is {self.host!r}; allowed: {', '.join(HOSTS)}")
        self._config()

    def _config(self) -> Config:
        return Config(retry=self.retry, CONFIG_MMU_NOTIFIER=self.notifier, tlb_sets=4)

    def __call__(self) -> Program:
        """Return a fresh program."""
        machine = Machine(self._config())
        vm = machine.create_vm([RAM])
        machine.access(vm, RAM.ipa + 0x1000, "write", value=1)
        machine.swap_in(vm, RAM.hva)
        fault = _half(machine, "access", vm=vm, ipa=RAM.ipa, access="write", value=7, limit=1)
        return Program(machine, {"G": fault, "H": _half(machine, self.host, vm=vm, hva=RAM.hva)}, _stale)


def _stale(machine: Machine) -> str:
    found, pte = walk(machine.linux.memory, machine.kvm(0).pgd, RAM.ipa), machine.host(0).pte(RAM.hva)
    if found.pa < 0 or (pte & PRESENT and found.pa >> 12 == pte >> 12):
        return ""
    return f"IPA {RAM.ipa:#x} maps frame {found.pa >> 12:#x}, which the host has taken back"


@dataclass(frozen=True)
class TwoVcpus:
    """Two vCPUs of guest 0 that enter at the same time, on CPU 0 (task 0) and CPU 1 (task 1).

    VMIDs have 2 bits. A rollover has just been: guest 0 had VMID 1 before it, guest 3 has it now, and CPU 1 keeps a
    translation of guest 3's. It ends badly if a CPU is in guest 0 with another VMID than guest 0's.

    Attributes:
        fixed: store the generation last, as upstream does since fb544d1ca65a (2018), not first as Linux 3.9.
    """

    fixed: bool = False

    def __call__(self) -> Program:
        """Return a fresh program."""
        fixes = frozenset({"vmid before generation"} if self.fixed else ())
        machine = Machine(Config(vmid_bits=2, tlb_sets=4, fixes=fixes))
        vm = machine.create_vm([RAM], vcpus=2)
        machine.access(vm, RAM.ipa, "write", value=7)
        for _ in range(2):
            machine.enter(machine.create_vm())
        machine.access(machine.create_vm([RAM]), RAM.ipa, "write", value=SECRET, cpu=1)  # the rollover
        machine.leave(0)
        machine.leave(1)
        tasks = {f"{n}": _half(machine, "enter", vm=vm, vcpu=n, cpu=n) for n in (0, 1)}
        return Program(machine, tasks, _wrong_vmid)


def _wrong_vmid(machine: Machine) -> str:
    right = machine.kvm(0).vmid
    for cpu in machine.cpus:
        if cpu.in_guest and cpu.vmid != right:
            return f"CPU {cpu.number} is in guest 0 with VMID {cpu.vmid}, and guest 0 has VMID {right}"
    return ""


class Count(NamedTuple):
    """How many schedules a program has, and how many of them end badly."""

    schedules: int
    bad: int


@cache
def outcomes(make: Callable[[], Program]) -> tuple[Outcome, ...]:
    """Run a program under every schedule; how they end is remembered, since the same program ends the same.

    Args:
        make: makes the program.
    """
    return tuple(explore(make))


def count(make: Callable[[], Program]) -> Count:
    """Count the schedules of a program, and those that end badly.

    Args:
        make: makes the program; the same one each time.

    >>> count(FaultAgainstHost(retry="none")).bad > 0
    True
    """
    ends = outcomes(make)
    return Count(len(ends), sum(bool(outcome.verdict) for outcome in ends))


def step_names(make: Callable[[], Program]) -> dict[str, list[str]]:
    """Return what each task of a program does step by step, where they run one after the other.

    Args:
        make: makes the program.
    """
    run = Run(make())
    names: dict[str, list[str]] = {task: [] for task in run.program.operations}
    while not run.ended:
        task = run.enabled[0]
        names[task].append(run.points[task].name)
        run.step(task)
    return names


def by_chance(make: Callable[[], Program], runs: int, *, one_in: int = 1000, seed: int = 1) -> Iterator[Outcome]:
    """Run a program as a computer would: either task may be first, and a switch to the other one is rare.

    Args:
        make: makes the program; the same one each time.
        runs: how often, 1 to 1,000,000.
        one_in: a running task is interrupted after one step in so many, on the average; 1 to 1,000,000.
        seed: of the random numbers; the same seed gives the same runs.

    Yields:
        One outcome a run.

    Raises:
        InputError: a number is out of range.
    """
    check_int("runs", runs, 1, 1_000_000)
    check_int("one_in", one_in, 1, 1_000_000)
    dice = random.Random(seed)
    return (_one_by_chance(make, one_in, dice) for _ in range(runs))


def _one_by_chance(make: Callable[[], Program], one_in: int, dice: random.Random) -> Outcome:
    run = Run(make())
    task = dice.choice(run.enabled)
    while not run.ended:
        if task not in run.enabled or dice.randrange(one_in) == 0:
            task = dice.choice([name for name in run.enabled if name != task] or run.enabled)
        run.step(task)
    return Outcome(tuple(run.schedule), run.verdict(), run.results)
