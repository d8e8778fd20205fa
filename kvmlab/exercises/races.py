"""Exercises on a fault and a change of the host that meet: how that ends, and a schedule that goes wrong."""

from __future__ import annotations

from functools import cache
from random import Random

from kvmlab.engine import Config, InputError, Machine, Slot
from kvmlab.engine.explore import Program, run_schedule
from kvmlab.engine.hardware.walker import walk
from kvmlab.engine.host.mm import PRESENT
from kvmlab.engine.kernel.pgtable import PAGE_SIZE
from kvmlab.engine.race import PLACES
from kvmlab.engine.tasks import Deadlock
from kvmlab.exercises.judge import refute
from kvmlab.exercises.parts import Answer, Draft, Exercise, Result, Schedule, Wrong
from kvmlab.exercises.runs import any_slot, boot, marks, say_slot
from kvmlab.exercises.template import keep, numbers, template

_MOVED = "seq was sampled before the change, so the test fails: nothing is mapped, and the guest faults again."
WHY = {
    "before the sample": "The sample comes after the change: nothing moves from then on, and the new state is found.",
    "before the look-up": _MOVED,
    "before the lock": _MOVED,
    "after the test": "The page was tested and mapped by then, and a change of another page does not touch it.",
}
"""What a change comes to, by the place in the fault at which it is made."""


@template("race-end", "How a fault and a change of the host end", "07", "09")
def race_end(draw: Random) -> Draft | None:
    """Ask how often a guest faults that meets a change of the host."""
    slot, machine = any_slot(draw), boot()
    vm = machine.create_vm([slot])
    page = PAGE_SIZE * draw.randrange(1, 300)
    near = page + PAGE_SIZE
    machine.access(vm, slot.ipa + near, "write")
    machine.swap_in(vm, slot.hva + page)
    at, other = draw.choice(list(PLACES)), draw.random() < 0.4
    host = draw.choice(("swap_out", "discard"))
    begun = len(machine.stream)
    where = slot.hva + (near if other else page)
    machine.race(vm, {"ipa": slot.ipa + page, "access": "write"}, host, {"hva": where}, at)
    faults = len(marks(machine, "kvm_guest_fault", begun))
    retried = len(marks(machine, "notifier/retried", begun))
    right = faults, retried
    belief = "M37" if other else "M33"
    wrong = keep(
        right,
        [
            Wrong((1, 0), "that lets the fault map the page although something has changed since it looked.", belief)
            if retried
            else Wrong((2, 1), "the change was over before the sample, or came after the test: nothing to notice."),
            Wrong((1, 1), "that lets the kernel try again within one fault.", "M39"),
            Wrong((2, 0), "that takes every return of 1 for a mapping.", "M15") if retried
            else Wrong((1 + faults % 2, 0), "look whether the page that was mapped is the one that goes."),
            Wrong((3, 2), "one change is noticed once: the next fault samples anew."),
        ],
    )  # fmt: skip
    verb = {"swap_out": "swaps out", "discard": "throws away"}[host]
    return Draft(
        f"A guest stores to a page that the host has and the tables have not. While the fault is under way, {at}, "
        f"the host {verb} {'another page of this VM' if other else 'that very page'}, all of it at once. How many "
        "times does the guest fault until its store is done, and how many of these faults map nothing?",
        (say_slot(slot), f"the store: IPA {slot.ipa + page:#x}", f"the host's page: {where:#x}"),
        numbers("faults", "of them map nothing"),
        right,
        wrong,
        (
            "Is seq sampled before or after the change?",
            "Is the change before or after the test under the lock?",
            "Between sample and test any change is noticed, of whatever page. After it, look whether the page is gone.",
        ),
        WHY[at]
        if at != "after the test" or other
        else "The page is mapped, and then taken back at once: the guest's instruction faults again.",
    )


IPA, HVA = 0x8000_0000, 0x4000_0000
TASKS = ("guest", "host")
BROKEN = (
    ("discard", "none"), ("discard", "seq only"), ("discard", "count only"), ("discard", "sampled late"),
    ("swap_out", "none"), ("swap_out", "count only"), ("swap_out", "sampled late"),
)  # fmt: skip
SAID = {
    "none": "no test at all before it maps",
    "seq only": "only the test of mmu_notifier_seq, not of the count",
    "count only": "only the test of mmu_notifier_count, not of seq",
    "sampled late": "both tests, but mmu_notifier_seq is sampled after the page look-up",
}


def race_program(host: str, retry: str) -> Program:
    """Return a fault that races with an act of the host, both not begun.

    Args:
        host: "discard" or "swap_out".
        retry: the test that the fault makes, see `Config.retry`.
    """
    machine = Machine(Config(retry=retry, tlb_sets=4))
    vm = machine.create_vm([Slot(IPA, 1 << 20, HVA)])
    machine.access(vm, IPA + PAGE_SIZE, "write", value=1)  # the guest runs, its tables exist
    machine.swap_in(vm, HVA)  # the host has the page, the guest has not touched it
    fault = machine.begin("access", vm=vm, ipa=IPA, access="write", value=7, limit=1)
    return Program(machine, {"guest": fault, "host": machine.begin(host, vm=vm, hva=HVA)}, _stale)


def _stale(machine: Machine) -> str:
    found = walk(machine.linux.memory, machine.kvm(0).pgd, IPA)
    pte = machine.host(0).pte(HVA)
    stale = found.pa >= 0 and not (pte & PRESENT and found.pa >> 12 == pte >> 12)
    return f"the tables map frame {found.pa >> 12:#x}, which the host has taken back" if stale else ""


@cache
def _steps(host: str, retry: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the steps of the two tasks in words, by letting one run after the other."""
    said = []
    for name in TASKS:
        steps = race_program(host, retry).operations[name].steps
        said.append(("begin", *(point.name.replace("kvm[0].", "") for point in steps)))
    return said[0], said[1]


@cache
def _shortest(host: str, retry: str) -> Answer:
    """Return a schedule that goes wrong with few switches: one visit of the host, or two."""
    first, second = (len(steps) for steps in _steps(host, retry))
    for a in (*range(1, first + 1), 0):
        for b in range(1, second + 1):
            for c in range(first - a + 1):
                answer: Answer = (0,) * a + (1,) * b + (0,) * c + (1,) * (second - b) + (0,) * (first - a - c)
                if _verdict(host, retry, answer):
                    return answer
    raise AssertionError(f"{host} with {retry} never goes wrong")


def _verdict(host: str, retry: str, given: Answer) -> str:
    return run_schedule(race_program(host, retry), [TASKS[task] for task in given]).verdict()


def judge_schedule(exercise: Exercise, given: Answer) -> Result:
    """Run a schedule under the broken test, and under the right one."""
    assert isinstance(exercise.form, Schedule)
    host, retry = exercise.form.rival, exercise.form.retry
    try:
        verdict = _verdict(host, retry, given)
        intact = _verdict(host, "both", given)
    except (InputError, Deadlock) as error:
        return Result(False, f"That schedule cannot be run: {error}. A task that waits for the lock cannot step.")
    if verdict and not intact:
        return Result(True, f"In the end {verdict}. With the test of 3.9 the same schedule does no harm.")
    if len(set(given)) < 2 or given in {wrong.answer for wrong in exercise.wrong}:
        return refute("one task after the other ends well, as it nearly always does.", "M36")
    return Result(
        False, "Run to its end, this schedule leaves the tables right. Where is the window, and who is in it?"
    )


@template("bad-schedule", "A schedule that breaks a wrong test", "07", judge=judge_schedule)
def bad_schedule(draw: Random) -> Draft | None:
    """Ask for a schedule after which the tables map what the host has taken back."""
    host, retry = draw.choice(BROKEN)
    steps = _steps(host, retry)
    right = _shortest(host, retry)
    in_turn = tuple(task for task in (0, 1) for _ in steps[task])
    wrong = (
        Wrong(in_turn, "one task after the other ends well, as it nearly always does.", "M36"),
        Wrong(tuple(reversed(in_turn)), "one task after the other ends well, as it nearly always does.", "M36"),
    )
    form = Schedule(TASKS, host, retry)
    lines = [
        f"{task}: " + " > ".join(f"{n} {words}" for n, words in enumerate(steps[i], 1)) for i, task in enumerate(TASKS)
    ]
    return Draft(
        f"A fault of this kernel makes {SAID[retry]}. The guest stores to a page while the host "
        f"{'throws it away' if host == 'discard' else 'swaps it out'}. Give a schedule after which the tables map a "
        "frame that the host has taken back: one letter a step, G for the guest and H for the host. Where it ends "
        "early, the rest runs one after the other.",
        tuple(lines),
        form,
        right,
        wrong,
        (
            "What does the fault know when it comes to the lock, and when did it learn that?",
            "Let the guest look the page up, then let the host change it, then let the guest go on.",
            f"It may begin with {form.show(right[:5])}.",
        ),
        f"For instance {form.show(right)}.",
    )
