"""Questions before a step of the TLB scene; right and wrong answers are computed from the state."""

from __future__ import annotations

from kvmlab.scenes.beat import Args
from kvmlab.scenes.question import Question, question
from kvmlab.scenes.tlb.state import Look, TlbState
from kvmlab.scenes.tlb.words import count


def which_tags(s: TlbState, look: Look, hit: bool) -> Question | None:
    """Ask whether another guest's entry for the same page and ASID can hit; None if there is none."""
    other = s.near(look)
    if other is None:
        return None
    miss, taken = "a miss: no entry has all three tags", f"a hit on the entry with VMID {other.vmid}"
    mine = f"a hit on the entry with VMID {look.vmid}"
    ask = f"VMID {look.vmid} looks for page {look.page:#x}, ASID {look.asid}. What does the TLB answer?"
    because = "All three tags must fit. VMIDs tell guests apart, so two guests may use the same page number and ASID."
    if hit:
        return question(ask, mine, [(taken, "M21"), ("a miss: entering a guest empties the TLB", "")], because)
    return question(ask, miss, [(taken, "M21")], because)


def who_finds(faulted: bool, scope: str | None) -> Question | None:
    """Ask what comes of a miss; `scope` is that of the flush that took the entry, if one did."""
    walk, fault = "the walker finds the page; KVM hears nothing", "the walk fails: KVM gets a fault"
    if scope:
        which = "The rollover flush" if scope == "all" else "A flush by VMID"
        ask = f"{which} took the entry for this page. What comes of the miss?"
        belief = "M25" if scope == "all" else "M16"
        lost = "a fault: the flush took the leaf from the tables, too"
        if faulted:
            return question(
                ask,
                fault,
                [(walk, "")],
                "The tables do not allow this access: a flush neither adds nor removes a leaf.",
            )
        because = "A flush drops cached translations only. The tables are as before, so one walk brings the page back."
        return question(ask, walk, [(lost, belief)], because)
    ask = "The TLB has missed. What comes next?"
    if faulted:
        because = "The walker looks first. KVM is told because the walk failed, not because the TLB missed."
        return question(ask, fault, [("KVM is told before any walk: a miss traps", "M07"), (walk, "")], because)
    because = "The hardware walks the tables by itself. Software hears only of faults, and this page is mapped."
    return question(ask, walk, [("a trap: KVM has to fill the TLB", "M07"), (fault, "")], because)


def still_usable(stale: int) -> Question | None:
    """Ask whether a leaf that is cleared can still be used; None if no TLB holds it."""
    if not stale:
        return None
    because = "A TLB does not watch the tables: what it holds can be used until it is flushed."
    return question(
        "KVM clears the leaf of this page. Can the guest still reach the old page?",
        f"yes, until the flush: {count(stale)} in the TLBs",
        [("no: without a leaf every access faults at once", "M17")],
        because,
    )


def how_many_go(s: TlbState, a: Args, page: int | None) -> Question | None:
    """Ask how many entries a flush by VMID takes; wrong answers are counted in the same TLBs."""
    right, gone = a["removed"], s.gone
    wrong = {
        sum(entry.page == page for _, _, entry in gone): "M19",
        sum(cpu == gone[0][0] for cpu, _, _ in gone) if gone else 0: "M19",
        right + sum(map(len, s.entries)): "",
    }
    because = "Linux 3.9 drops the whole VMID on every CPU; entries of other VMIDs stay, and no table changes."
    return question(
        "KVM flushes for this page. How many TLB entries go, on all CPUs?",
        count(right),
        [(count(number), belief) for number, belief in wrong.items()],
        because,
    )


def what_goes(s: TlbState, a: Args) -> Question | None:
    """Ask what a rollover takes."""
    gone = a["removed"]
    if not gone:
        return None
    return question(
        "A new generation begins. What does its flush take?",
        f"{count(gone)}: of all VMIDs and CPUs; the tables stay",
        [
            ("all entries, and every guest's stage-2 tables", "M25"),
            ("the entries of guests that do not run now", "M26"),
        ],
        "Numbers get new owners, so no old tag may remain. The tables belong to the guests, not to the numbers.",
    )
