"""The vCPU's half of the notifier scene, in words: a fault samples, looks the page up, tests, and maps or does not."""

from __future__ import annotations

from kvmlab.engine.host.mm import WRITABLE
from kvmlab.scenes.beat import Args, Beat
from kvmlab.scenes.fault.tell_hardware import NOUN
from kvmlab.scenes.moment import leaf_kind
from kvmlab.scenes.notifier.questions import Asks
from kvmlab.scenes.notifier.state import PAGE, State

VERBS = {"write": "stores to", "read": "loads from", "fetch": "fetches from"}


def part(state: State, kind: str, ipa: int) -> tuple[str, ...]:
    """Return the id of a guest page's part, if the page has a host page."""
    hva = state.hva_of(ipa)
    return () if hva is None else (f"{kind}{hva:x}.{ipa:x}",)


def frame_parts(state: State, ipa: int) -> tuple[str, ...]:
    """Return the ids of the cards that can show the frame of a guest page."""
    hva = state.hva_of(ipa)
    return () if hva is None else (f"f{hva:x}", f"d{hva:x}", f"x{hva:x}.{ipa:x}")


def trapped(state: State, a: Args) -> Beat | None:
    """Tell that the guest's access has faulted."""
    access = state.access
    if not access:
        return None
    ipa = access["ipa"]
    found = {"inv": "is empty", "ro": "is read-only"}.get(leaf_kind(state.word(ipa)), "does not allow it")
    again = state.fault is not None
    does = f"'s {NOUN[access['access']]} at" if again else f" {VERBS[access['access']]}"
    title = f"The guest{does} {ipa:#x} {'faults again' if again else 'and faults'}"
    return Beat(
        actor="hw",
        fn="exit to Hyp mode",
        title=title,
        why=f"{{c|Its stage-2 entry {found}}}, so {{e|the CPU leaves the guest}}. KVM has to ask the host for the "
        "frame.",
        now=part(state, "g", ipa & -PAGE),
        cause=part(state, "e", ipa & -PAGE),
    )


def sampled(state: State, a: Args) -> Beat:
    """Tell that the window opens."""
    return Beat(
        actor="kern",
        fn="user_mem_abort()",
        title=f"KVM notes mmu_notifier_seq: {a['seq']}",
        why="{e|The window opens}: until the test this fault holds no lock, so {c|the host can change any page}, "
        "this one "
        "too.",
        now=("smp",),
        cause=("seq",),
    )


def looked_up(state: State, a: Args) -> Beat:
    """Tell what the host answered."""
    ipa = a["gfn"] << 12
    if a["pfn"] < 0:
        return Beat(
            actor="host",
            fn="gfn_to_pfn_prot()",
            title="The host gives no frame: no right to write",
            why="{c|The process has no right to write to this page}, so {e|KVM gets an error and maps nothing}.",
        )
    answer = "writable" if a["writable"] else "for reading"
    return Beat(
        actor="host",
        fn="gfn_to_pfn_prot()",
        title=f"The host names frame {a['pfn']:#x}, {answer}",
        why="{c|Slot, then host address, then frame}: {e|the frame is pinned}, so it cannot be reused while this fault "
        "lasts. Its place in the process can change.",
        now=frame_parts(state, ipa),
        cause=tuple(f"h{hva:x}" for hva in (state.hva_of(ipa),) if hva is not None),
    )


def tested(state: State, a: Args, passed: bool, notify: bool) -> Beat:
    """Tell the test under mmu_lock."""
    fault, pfn = state.fault, f"{state.fault.pfn or 0:#x}" if state.fault else ""
    moved = a["seq"] != a["sampled"]
    if not passed:
        if a["count"]:
            title = f"count is {a['count']}: a range is open. Retry"
            why = (
                f"{{c|The host is in the middle of a change}}, so {{e|frame {pfn} is not mapped}}, whichever page it "
                "is about."
            )
        else:
            title = f"Sampled {a['sampled']}, now {a['seq']}: something moved. Retry"
            why = (
                f"{{c|The numbers differ}}, so frame {pfn} may no longer be the guest's: {{e|it is not mapped}}. "
                "They do not say which page moved."
            )
    elif not notify:
        title = "Without notifiers there is nothing to test"
        why = (
            f"{{c|CONFIG_MMU_NOTIFIER is off}}: the test is compiled to false, so {{e|frame {pfn} will be mapped}} "
            "whatever the host has done."
        )
    elif moved or a["count"]:
        title = f"Sampled {a['sampled']}, now {a['seq']}, count {a['count']}: mapped all the same"
        why = f"{{c|This kernel's test was weakened}}, so {{e|frame {pfn} will be mapped}}, though it may be gone."
    else:
        title = f"Sampled {a['sampled']}, now {a['seq']}, count 0: go on"
        why = (
            f"{{c|Nothing has moved since the sample}}, so {{e|frame {pfn} will be mapped}}. A notifier that comes now "
            "has to wait for mmu_lock."
        )
    return Beat(
        actor="kern",
        fn="mmu_notifier_retry()",
        title=title,
        why=why,
        now=("vd", *(frame_parts(state, fault.ipa) if fault else ())),
        cause=("cnt",) if a["count"] else ("smp", "seq"),
        mark="test",
    )


def mapped(state: State, ipa: int, old: int, new: int) -> Beat:
    """Tell the new entry of a fault."""
    kind = leaf_kind(new)
    if leaf_kind(old) != "inv":
        why = "{c|An entry was there}, so one flush follows: {e|all of this VMID's translations}, on all CPUs."
    elif kind == "rw":
        why = "{c|The host said writable}, so {e|the guest may write}, and the page counts as dirty from now on."
    else:
        why = (
            "{c|A read was answered for reading only}, as always on Linux 3.9 for ARM: {e|the entry is read-only}, "
            "and the first store faults again."
        )
    words = "read-write" if kind == "rw" else "read-only"
    return Beat(
        actor="kern",
        fn="stage2_set_pte()",
        title=f"KVM writes {new:#x}: mapped, {words}",
        why=why,
        now=(*part(state, "e", ipa & -PAGE), *part(state, "le", ipa & -PAGE), *frame_parts(state, ipa & -PAGE)),
        label="PUBLISH",
    )


def handled(state: State, a: Args, asks: Asks) -> Beat | None:
    """Tell what KVM returns, where a window has been open."""
    fault = state.fault
    if fault is None or fault.sampled is None:
        return None
    if a["ret"] < 0:
        title, why = f"KVM returns {a['ret']} to user space", "{c|There is no frame}, so {e|nothing is mapped}."
    elif fault.verdict == "retry":
        title = "KVM returns 1, and nothing is mapped"
        why = (
            "{c|1 means: go on with the guest}. {e|It repeats its instruction and faults again}; that is the whole "
            "retry. The pin is dropped."
        )
    else:
        title = "KVM returns 1 and drops its pin"
        why = (
            "{c|A mapping holds no reference}: {e|the frame is the host's}, to take away at any time. It only has to "
            "tell KVM first."
        )
    return Beat(
        actor="kern",
        fn="kvm_handle_guest_abort()",
        title=title,
        why=why,
        now=frame_parts(state, fault.ipa),
        ask=asks.returned(state, fault) if fault.verdict == "retry" else None,
    )


def touched(state: State, a: Args, kind: str, faults: int) -> Beat:
    """Tell where the guest's access arrived."""
    ipa, pfn = a["ipa"] & -PAGE, a["pa"] >> 12
    hva = state.hva_of(ipa)
    noun = NOUN[kind]
    if hva is not None and pfn != state.frame(hva) and state.stale(ipa, hva):
        harm = (
            "the store hits memory of somebody else"
            if kind == "write"
            else f"what it reads, {a['value']:#x}, is no longer its own"
        )
        return Beat(
            actor="guest",
            fn="guest code",
            title=f"The guest's {noun} goes to frame {pfn:#x}, not its own",
            why=f"{{c|Its entry still leads to a frame that the host gave away}}: {{e|{harm}}}. No fault, no warning.",
            now=(*part(state, "g", ipa), *part(state, "le", ipa)),
            cause=part(state, "x", ipa),
            mark="stale",
        )
    if kind == "write" and hva is not None and pfn == state.frame(hva) and not state.pte(hva) & WRITABLE:
        return Beat(
            actor="guest",
            fn="guest code",
            title=f"The guest writes to frame {pfn:#x}, which it may not",
            why="{c|Its entry still says read-write, the host's does not}: {e|whoever shares the frame reads "
            f"{a['value']:#x} too}}. No notifier cleared it.",
            now=(*part(state, "g", ipa), *part(state, "le", ipa)),
            cause=part(state, "e", ipa),
            mark="stale",
        )
    times = {0: "without a fault", 1: "after one fault"}.get(faults, f"after {faults} faults")
    return Beat(
        actor="guest",
        fn="guest code",
        title=f"The guest's {noun} reaches frame {pfn:#x}",
        why=f"{{c|The entry leads there}}: {{e|the value is {a['value']:#x}}}, {times}. KVM has no part in it.",
        now=(*part(state, "g", ipa), *part(state, "le", ipa), *part(state, "ll", ipa)),
        cause=part(state, "e", ipa),
    )


TOUCHES = {"ram/stored": "write", "ram/loaded": "read", "ram/fetched": "fetch"}
"""What the guest does at each mark of its memory."""
