"""What KVM is told when the host changes a page, and what it does about it, in words."""

from __future__ import annotations

from dataclasses import dataclass, field

from kvmlab.scenes.beat import Beat
from kvmlab.scenes.moment import leaf_kind
from kvmlab.scenes.notifier.questions import Asks
from kvmlab.scenes.notifier.state import State
from kvmlab.scenes.notifier.tell_host import plural
from kvmlab.scenes.notifier.tell_vcpu import part


@dataclass
class Call:
    """One call of a notifier, from taking mmu_lock to releasing it.

    Attributes:
        seq: the sequence after it.
        count: the count after it.
        opened: by how much it changed the count.
        where: host address, and the end of the range if it is one.
        cleared: guest pages that were unmapped.
        flushes: TLB flushes.
        written: guest pages that were mapped, with their descriptors.
        changed: whether it is about a new frame.
    """

    seq: int
    count: int
    opened: int
    where: tuple[int, ...] = ()
    cleared: list[int] = field(default_factory=list)
    flushes: int = 0
    written: list[tuple[int, int]] = field(default_factory=list)
    changed: bool = False


def called(state: State, call: Call, asks: Asks) -> Beat:
    """Tell a call of a notifier."""
    entries = plural(len(call.cleared), "entry", "entries")
    flushes = plural(call.flushes, "flush", "flushes")
    now: tuple[str, ...] = tuple(p for ipa in call.cleared for p in part(state, "e", ipa))
    cause = tuple(f"h{hva:x}" for hva in call.where[:1])
    one = None
    if call.opened > 0:
        name, now = "invalidate_range_start", ("cnt", *now)
        title = f"KVM is told: a range opens. count {call.count}, {entries} cleared"
        why = (
            f"{{c|The host is about to change pages}}: {{e|until the end every fault of this guest retries}}. "
            f"{plural(call.flushes, 'TLB flush', 'TLB flushes')} of the VMID, one a guest page."
        )
        one = asks.cleared(call.cleared, call.flushes, call.where)
    elif call.opened < 0:
        name, now, cause = "invalidate_range_end", ("seq", "cnt"), ()
        title = f"KVM is told: the range is done. seq {call.seq}, count {call.count}"
        why = (
            "{e|seq goes up, then count goes down}, in this order: a fault that sampled while {c|the range was open} "
            "sees one of the two."
        )
    elif call.changed:
        name, now = "change_pte", ("seq", *(p for ipa, _ in call.written for p in part(state, "e", ipa)))
        if call.written:
            words = call.written[0][1]
            title = f"KVM is told of the new frame and maps it. seq {call.seq}"
            right = "read-only" if leaf_kind(words) == "ro" else "read-write"
            why = (
                f"{{c|The level 3 table is there}}, so {{e|{words:#x} is entered, {right}}}, though range_start had "
                "emptied the entry just before."
            )
            one = asks.changed(state, words)
        else:
            title = f"A new frame; KVM writes nothing. seq {call.seq}"
            why = (
                "{c|No level 3 table is there}, and a notifier brings no pages for one: {e|the next fault will map it}."
            )
    else:
        name, now = "invalidate_page", ("seq", *now)
        title = f"KVM is told: one page. seq {call.seq}, {entries} cleared"
        if len(call.cleared) > 1 or call.flushes > 1:
            why = (
                f"{{c|{plural(call.flushes, 'slot shows', 'slots show')} this host page}}, so it is handled once for "
                f"each: {{e|{entries} cleared}}, {flushes} of the whole VMID."
            )
        elif call.cleared:
            why = (
                f"{{c|The host has taken its page}}; KVM cannot refuse. {{e|The guest's next touch faults}}. "
                f"{flushes} of the whole VMID, on all CPUs."
            )
        else:
            why = (
                f"{{c|Nothing was mapped there}}, so there is nothing to clear. {{e|seq goes up all the same}}. "
                f"{flushes} of the whole VMID, for nothing."
            )
        one = asks.cleared(call.cleared, call.flushes, call.where) or asks.gives_way(call.cleared)
    return Beat(
        actor="kern",
        fn=f"kvm_mmu_notifier_{name}()",
        title=title,
        why=why,
        now=now,
        cause=cause,
        mark="notifier",
        label="TELL THE OTHERS",
        ask=one,
    )
