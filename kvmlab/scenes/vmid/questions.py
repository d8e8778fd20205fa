"""What a learner may be asked before a step of the VMID scene. Right answers come from the run."""

from __future__ import annotations

from kvmlab.scenes.question import Question, question
from kvmlab.scenes.vmid.words import Entry


def first_entry(bits: int) -> Question | None:
    """Ask what the first entry after boot does."""
    return question(
        "The machine has just booted, and the first guest ever enters. Is anything flushed?",
        "yes: every TLB, at the very first entry",
        [
            (f"no: only guest {1 << bits} will cause a flush", "M24"),
            ("no: a flush belongs to the end of a guest", ""),
        ],
        "kvm_next_vmid starts at 0, and 0 is also what it wraps to when all numbers are given out.",
    )


def one_too_many(guest: int, bits: int) -> Question | None:
    """Ask what happens when a guest comes for which no number is left."""
    return question(
        f"All {(1 << bits) - 1} numbers have been given out. Guest {guest} enters and has none. What happens?",
        "all guests lose their numbers, all TLBs are flushed, tables stay",
        [
            (f"guest {guest} waits until a number is free", ""),
            ("the guest that has been idle longest gives its number up", "M26"),
            ("all guests lose their numbers, their TLB entries and tables", "M25"),
        ],
        "One counter, the generation, goes up: that makes every number void. The tables are not touched.",
    )


def who_loses(running: int) -> Question | None:
    """Ask whose number a new generation makes void; `running` guests are on other CPUs."""
    return question(
        "A new generation begins. Who loses its VMID?",
        "every guest, running or not",
        [
            ("only guests that do not run now" if running else "only the guest idle longest", "M26"),
            ("nobody: a guest keeps its number as long as it lives", "M22"),
        ],
        "A number is good only in the generation in which it was given, and there is one generation for all.",
    )


def after_the_flush() -> Question | None:
    """Ask what a full flush costs the guests."""
    return question(
        "All TLB entries go. What must a guest do to use a page that it had mapped?",
        "walk its tables again: no fault",
        [
            ("fault on every page again: its tables are gone", "M25"),
            ("nothing, if it was running: its entries stay", "M26"),
        ],
        "A flush drops copies of finished walks. The stage-2 tables stay as they are.",
    )


def number(entry: Entry, freed: int | None) -> Question | None:
    """Ask which number a guest gets that had another, or that comes when a destroyed guest had the number `freed`."""
    if freed is not None:
        ask = f"A guest with VMID {freed} has been destroyed. Which VMID does guest {entry.guest} get?"
        wrong = [(str(freed), "M23"), ("0", "")]
        because = "Destroying a guest gives no number back: kvm_next_vmid only counts up."
    elif entry.had and entry.had[0] != entry.vmid:
        ask = f"Guest {entry.guest} had VMID {entry.had[0]} before the rollover. Which one does it get now?"
        wrong = [(str(entry.had[0]), "M22"), ("0", "")]
        because = "Numbers go by the order in which guests come back, not by who had them."
    else:
        return None
    return question(ask, str(entry.vmid), wrong, because)


def last_number(guest: int, vmid: int) -> Question | None:
    """Ask whether giving the last number away flushes."""
    return question(
        f"Guest {guest} enters and takes {vmid}, the last number. Is anything flushed now?",
        "no: not until a guest needs one more",
        [(f"yes: all {vmid} numbers are used up", "M24")],
        "kvm_next_vmid wraps to 0, and nobody looks at it before a guest without a number enters.",
    )


def known_guest(guest: int, full: bool) -> Question | None:
    """Ask whether the entry of a guest with a good number flushes, although none is left."""
    if not full:
        return None
    return question(
        f"No number is left. Guest {guest}, which has a VMID of this generation, enters. Is anything flushed?",
        "no: its number is still good",
        [("yes: no number is left, so any entry flushes", "M24"), ("yes: only its own TLB entries", "")],
        "The test compares generations. They are equal, so update_vttbr returns at once.",
    )


def other_cpu(guest: int, vmid: int, cpu: int) -> Question | None:
    """Ask for the VMID of a guest that moves to another CPU."""
    return question(
        f"Guest {guest} has VMID {vmid} and now enters on CPU {cpu}, where it has not been last. Its VMID there?",
        f"{vmid}, the same",
        [("a new one: each vCPU on a CPU has its own", "M21")],
        "A VMID names the VM, that is its stage-2 tables. It is the same on all CPUs.",
    )
