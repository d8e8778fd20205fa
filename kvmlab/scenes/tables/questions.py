"""Questions before steps of the tables scene: made when a command is over, so that the run knows the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from kvmlab.engine.hardware.descriptor import ADDRESS_MASK
from kvmlab.scenes.question import Question, question

OFTEN = 2
"""How often the same question is asked in a run."""


class Asked(Protocol):
    """A step that may get a question."""

    name: str
    args: Any
    refs: int
    ask: Question | None


def put_questions(steps: Sequence[Asked], times: Counter[str]) -> None:
    """Give some steps of a command a question.

    Args:
        steps: the steps of the command, in order.
        times: how often each belief has been asked for; it is brought up to date.
    """
    for number, step in enumerate(steps):
        for belief, one in _candidates(steps, number):
            if one and times[belief] < OFTEN:
                step.ask = one
                times[belief] += 1
                break


def _candidates(steps: Sequence[Asked], number: int) -> list[tuple[str, Question | None]]:
    step, a = steps[number], steps[number].args
    if step.name == "slot/changed":
        return [("M03", _filled(a["npages"]))]
    if step.name == "tables/mapped" and not a["old"]:
        later = [one for one in steps[number + 1 :] if one.name == "tlb/flushed"]
        return [("M06", _word(a["new"])), ("M27", _count(step.refs)), ("M18", _flush(len(later)))]
    if step.name == "tables/unlinked" and steps[number - 1].name != "tables/unlinked":
        cascade = 0
        while number + cascade < len(steps) and steps[number + cascade].name == "tables/unlinked":
            cascade += 1
        return [("M28", _back(cascade))]
    return []


def _filled(npages: int) -> Question | None:
    return question(
        f"The guest is given {npages} pages. How many entries do its tables hold right after that?",
        "0",
        [(str(npages), "M03"), ("1", "")],
        "A slot is a promise. Entries are written when the guest faults, one page at a time.",
    )


def _word(word: int) -> Question | None:
    pa = word & ADDRESS_MASK
    return question(
        f"The page at PA {pa:#x} is mapped now. What does the entry hold?",
        f"{word:#x}",
        [(f"{pa:#x}", "M06"), (f"{pa >> 12:#x}", "")],
        "Bits 39:12 are the address; the low 12 bits and those above 40 are type, rights and attributes.",
    )


def _count(refs: int) -> Question | None:
    return question(
        "What will page_count of the level 3 table be once this entry is written?",
        str(refs),
        [("1", "M27"), (str(refs - 1), ""), (str(refs + 1), "")],
        f"1 for the table itself and 1 for each entry in use: {refs - 1}. Who uses the pages does not count.",
    )


def _flush(flushes: int) -> Question | None:
    if flushes:
        return None  # something else is flushed for in this command
    return question(
        "The entry was empty. How many TLB flushes will this cost?",
        "0",
        [("1 of the whole VMID", "M18"), ("1 of this page", "M18")],
        "A TLB holds no empty entries: there is nothing old to drop.",
    )


def _back(cascade: int) -> Question | None:
    return question(
        "The last entry of a level 3 table has just gone. How many table frames come back now?",
        str(cascade),
        [("0", "M28"), *((str(count), "") for count in (1, 2))],
        "An empty table is freed at once; if the one above is empty by that, it follows.",
    )
