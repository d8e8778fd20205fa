"""What a learner may be asked before a step with the allocator of Linux 5.18. Right answers come from the run."""

from __future__ import annotations

from kvmlab.scenes.question import Question, question
from kvmlab.scenes.vmid.words import Entry


def first_entry() -> Question | None:
    """Ask what the first entry after boot does."""
    return question(
        "The machine has just booted, and the first guest ever enters. Is anything flushed?",
        "no: only a full bitmap leads to a flush",
        [("yes: every TLB, at the very first entry", "")],
        "That was so in Linux 3.9. Here generation 1 holds numbers, and the search finds a free bit.",
    )


def one_too_many(guest: int, bits: int) -> Question | None:
    """Ask what happens when a guest comes for which no number is free."""
    return question(
        f"All {(1 << bits) - 1} numbers are taken. Guest {guest} enters and needs one. What happens?",
        "all TLBs are flushed; who is on a CPU runs on with its number",
        [
            (f"guest {guest} waits until a number is free", ""),
            ("all other CPUs are kicked out of their guests, then all is flushed", ""),
            ("all guests lose their numbers, their TLB entries and tables", "M25"),
        ],
        "The bitmap is emptied, and what is active on a CPU is set in it again: nobody has to stop.",
    )


def who_loses() -> Question | None:
    """Ask whose number a new generation endangers."""
    return question(
        "A new generation begins. Who can lose its VMID?",
        "guests that are on no CPU, if another takes it first",
        [
            ("every guest, running or not", ""),
            ("nobody: a guest keeps its number as long as it lives", "M22"),
        ],
        "A guest that comes back gets its old number if that is reserved for it, or still free.",
    )


def number(entry: Entry, freed: int | None, free: int) -> Question | None:
    """Ask which number a guest gets that had one, or that comes when a destroyed guest had the number `freed`.

    Args:
        entry: the entry.
        freed: number of the last guest that was destroyed, if it was of this generation.
        free: the number that a newcomer would have got; 0 if none.
    """
    if entry.had:
        ask = f"Guest {entry.guest} had VMID {entry.had[0]} in generation {entry.had[1]}. Which one does it get now?"
        wrong = [(str(free), ""), ("0", "")] if entry.keeps else [(str(entry.had[0]), "M22"), ("0", "")]
        because = {
            "reserved": "It was on a CPU when the generation began, so its number was reserved for it.",
            "free": "It asks for the number it had, and no other guest has taken that in this generation.",
        }.get(entry.keeps, "It asks for the number it had, but another guest was faster in this generation.")
        return question(ask, str(entry.vmid), wrong, because)
    if freed is None:
        return None
    ask = f"A guest with VMID {freed} has been destroyed. Which VMID does guest {entry.guest} get?"
    return question(
        ask,
        str(entry.vmid),
        [(str(freed), "M23"), ("0", "")],
        "Destroying a guest clears no bit: only a rollover does.",
    )


def last_number(guest: int, vmid: int) -> Question | None:
    """Ask whether giving the last number away flushes."""
    return question(
        f"Guest {guest} enters and takes {vmid}, the last free number. Is anything flushed now?",
        "no: not until a guest needs one more",
        [("yes: all numbers are used up", "M24")],
        "Nobody looks for a free bit before a guest without a number enters.",
    )


def known_guest(guest: int, full: bool) -> Question | None:
    """Ask whether the entry of a guest with a good number flushes, although none is free."""
    if not full:
        return None
    return question(
        f"No number is free. Guest {guest}, which has a VMID of this generation, enters. Is anything flushed?",
        "no: its number is still good",
        [("yes: no number is free, so any entry flushes", "M24"), ("yes: only its own TLB entries", "")],
        "The generation in its id is the kernel's, so it needs no other number.",
    )
