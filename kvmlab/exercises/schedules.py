"""Exercises on schedules: how many there are, and which orders of stores are safe in all of them."""

from __future__ import annotations

from functools import cache
from itertools import permutations
from random import Random

from kvmlab.engine import Config, Machine, Operation
from kvmlab.engine.explore import Program, explore
from kvmlab.engine.state import Field, Struct
from kvmlab.engine.tasks import Point, Steps
from kvmlab.exercises.parts import Draft, Several, Wrong
from kvmlab.exercises.template import keep, numbers, template


def _walker(steps: int) -> Steps[None]:
    """Take some steps, and do nothing."""
    for number in range(1, steps):
        yield Point(f"step {number + 1}")


@cache
def _count(first: int, second: int) -> int:
    """Return how many schedules two tasks of so many steps have, by going through them."""

    def make() -> Program:
        machine = Machine(Config(tlb_sets=1, tlb_ways=1, recording=False))
        tasks = {"A": Operation("cpu0", "a", _walker(first)), "B": Operation("cpu1", "b", _walker(second))}
        return Program(machine, tasks, lambda _: "")

    return sum(1 for _ in explore(make))


@template("schedules", "How many schedules there are", "07")
def how_many(draw: Random) -> Draft | None:
    """Ask how many schedules two tasks have."""
    first, second = draw.randrange(2, 7), draw.randrange(2, 5)
    locked = draw.choice((0, 0, 2, 3))
    if locked >= first or (first, second) == (2, 2):
        return None
    shown = first - max(locked - 1, 0)
    right = _count(shown, second)
    wrong = keep(
        (right,),
        [
            Wrong((first * second,), "that multiplies; each way to merge the two is a schedule of its own."),
            Wrong((1 << shown + second,), "that chooses a task freely at each step; each task has only its own steps."),
            Wrong((_count(first, second),), "nobody who needs the lock, or looks at the counters, comes in between.")
            if locked
            else Wrong((first + second,), "that is the length of one schedule."),
            Wrong((2,), "that lets each task run as a whole: the lock would have to cover all of it.", "M32"),
            Wrong((1,), "that allows one order only.", "M33"),
        ],
    )
    said = f"; its steps 1 to {locked} are done under a lock that B needs for each of its steps" if locked else ""
    return Draft(
        f"Task A has {first} steps{said}. Task B has {second} steps. In how many orders can the steps of both be "
        "taken, if each task keeps its own order?",
        (),
        numbers("schedules"),
        (right,),
        wrong,
        (
            "With two steps each, list them: AABB, ABAB, ABBA, BAAB, BABA, BBAA.",
            "Choose which of the places in the schedule are A's.",
            "What is under one lock counts as one step. Then (a + b)! / (a! b!).",
        ),
        f"{shown} steps of A among {shown + second} places: {right}; that many came out when all were run.",
    )


STORES = ("generation", "VMID", "VTTBR")


class _Vm(Struct):
    generation = Field()
    vmid = Field()
    vttbr = Field()


@cache
def safe_order(order: tuple[str, ...]) -> bool:
    """Return whether a reader without the lock can rely on VTTBR when it sees the generation, in every schedule."""

    def make() -> Program:
        machine = Machine(Config(tlb_sets=1, tlb_ways=1, recording=False))
        vm = _Vm(machine.stream, "vm")

        def writer() -> Steps[None]:
            for number, store in enumerate(order):
                if number:
                    yield Point(f"store {store}")
                setattr(vm, store.lower(), 1)

        def reader() -> Steps[str]:
            current = vm.generation
            yield Point("use VTTBR")
            return "stale" if current and not vm.vttbr else ""

        return Program(
            machine,
            {"writer": Operation("cpu0", "w", writer()), "reader": Operation("cpu1", "r", reader())},
            lambda _: "",
        )

    return not any(outcome.results["reader"] for outcome in explore(make))


@template("store-order", "Which orders of stores are safe", "07")
def store_order(draw: Random) -> Draft | None:
    """Ask which orders of three stores an unlocked reader can live with."""
    orders = draw.sample(list(permutations(STORES)), draw.choice((3, 4, 5)))
    right = tuple(n for n, order in enumerate(orders) if safe_order(order))
    if not right or len(right) == len(orders):
        return None

    def those(last: str) -> tuple[int, ...]:
        return tuple(n for n, order in enumerate(orders) if order[-1] == last)

    wrong = [
        Wrong(tuple(range(len(orders))), "the reader takes no lock, so the writer's lock stops nobody.", "M32"),
        Wrong(those("VMID"), "the VMID is part of VTTBR; what the reader tests is the generation."),
        Wrong(those("VTTBR"), "then the generation is there while VTTBR is still the old one."),
        Wrong(tuple(n for n in range(len(orders)) if n not in right), "that is the other way round."),
        Wrong((right[0],), "there is one more in which VTTBR comes before the generation."),
    ]
    kept = keep(right, [one for one in wrong if one.answer])
    return Draft(
        "A VM gets a number: three stores, under a lock. Another CPU takes no lock: if the generation is the "
        "present one, it loads VTTBR. Which of these orders of the stores are safe in every schedule?",
        ("stores become visible to the other CPU in the order in which they are made",),
        Several(tuple(", ".join(order) for order in orders)),
        right,
        kept,
        (
            "What does the reader test?",
            "What does it use if the test succeeds?",
            "What it uses has to be there before what it tests.",
        ),
        "Safe are those in which VTTBR is stored before the generation: "
        + "; ".join(", ".join(orders[n]) for n in right)
        + ".",
    )
