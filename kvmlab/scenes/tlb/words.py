"""What happens to the TLBs, in words: a title and one sentence of why for each kind of step."""

from __future__ import annotations

from kvmlab.engine.hardware.descriptor import permits
from kvmlab.scenes.beat import Args, Beat
from kvmlab.scenes.fault.tell_hardware import DOES, NOUN
from kvmlab.scenes.tlb.picture import target
from kvmlab.scenes.tlb.stage import SOUGHT
from kvmlab.scenes.tlb.state import Cached, TlbState

KEYS = tuple(part for part, _, _ in SOUGHT[:3])


def count(number: int, noun: str = "entry", plural: str = "entries") -> str:
    """Return a number with its noun.

    >>> count(1), count(0)
    ('1 entry', '0 entries')
    """
    return f"{number} {noun if number == 1 else plural}"


def start(s: TlbState) -> Beat:
    """Tell what one is looking at."""
    cpus = f"{s.ncpus} CPUs, each with a TLB of its own" if s.ncpus > 1 else "One CPU and its TLB"
    last = (1 << s.bits) - 1
    why = (
        f"A TLB keeps translations, each {{c|tagged with VMID and ASID}}, so {{e|guests share it}}. "
        f"VMIDs have {s.bits} bits here: {last} for guests, 0 is the host's."
    )
    now = tuple(f"c{cpu}" for cpu in range(min(s.ncpus, 4)))
    return Beat(actor="hw", fn="TLB", title=f"{cpus}, all empty", why=why, now=now, label="WHICH PAGE")


def entered(s: TlbState, a: Args, new: bool, at: str | None) -> Beat:
    """Tell that VTTBR has got another VMID; `at` is the part that shows the guest's number."""
    vm, cpu = a["vm"], a["cpu"]
    vmid, held = s.vmid_on(cpu), s.entries[cpu].values()
    mine = sum(entry.vmid == vmid for entry in held)
    other = len(held) - mine
    title = f"Guest {vm} enters on CPU {cpu} with {'a new VMID, ' if new else 'VMID '}{vmid}"
    if not held:
        why = f"{{c|VTTBR now holds VMID {vmid}}}: {{e|only entries with this tag can hit}}. The TLB has none yet."
    elif other:
        why = (
            f"{{c|VTTBR now holds VMID {vmid}}}. Nothing is flushed: {{e|{count(other)} of other VMIDs "
            f"{'stays but' if other == 1 else 'stay but'} cannot hit}}, {mine or 'none'} can."
        )
    else:
        why = f"{{c|VTTBR now holds VMID {vmid}}}, so {{e|{count(mine)} with this tag can hit}}."
    cause = (at,) if at else ()
    return Beat(
        actor="kern", fn="__kvm_vcpu_run", title=title, why=why, now=(f"c{cpu}.v",), cause=cause, label="PUBLISH"
    )


def left(s: TlbState, a: Args) -> Beat:
    """Tell a guest's way out."""
    cpu = a["cpu"]
    why = (
        f"{{c|VTTBR is 0 now}}: the host runs. {{e|{count(len(s.entries[cpu]))} stay}} in the TLB, for the time when "
        "a guest comes back."
    ).replace("1 entry stay", "1 entry stays")
    return Beat(
        actor="kern", fn="__kvm_vcpu_run", title=f"Guest {a['vm']} leaves CPU {cpu}", why=why, now=(f"c{cpu}.v",)
    )


def acts(s: TlbState, access: Args, a: Args) -> Beat:
    """Tell what the guest wants, and what the TLB will compare."""
    what = f"{DOES[access['access']]} {'to' if access['access'] == 'write' else 'from'}"
    why = (
        f"The hardware takes the VMID from {{c|VTTBR}} and the ASID from the guest, so {{e|three tags}} must fit: "
        f"VMID {a['vmid']}, ASID {a['asid']} and the page."
    )
    return Beat(
        actor="guest",
        fn="guest code",
        title=f"Guest {access['vm']} {what} {access['ipa']:#x} on CPU {a['cpu']}",
        why=why,
        now=("g.do", *KEYS),
        cause=(f"c{a['cpu']}.v",),
        label="WHO ASKED",
    )


def hit(s: TlbState, a: Args, access: str, place: int, cell: str | None) -> Beat:
    """Tell a hit; the entry may be stale, or forbid the access."""
    entry = s.entries[a["cpu"]][place]
    title, fn = "The TLB has this page: no walk", "TLB look-up"
    why = (
        f"{{c|VMID {a['vmid']}, ASID {a['asid']} and page {a['ipa'] >> 12:#x} all match}}, so {{e|PA {a['pa']:#x}}} is "
        "known. No table is read; the kernel hears nothing."
    )
    if not permits(a["descriptor"], access):
        title = f"The entry matches, but does not allow the {NOUN[access]}"
        rights = target(entry.descriptor)
        why = f"{{c|The rights are cached too}}: {rights}. So {{e|a permission fault}}, found without a walk."
    elif s.stale(entry):
        title = "A stale entry hits: the guest reaches the old page"
        why = (
            f"{{c|The tables say something else by now}}, but nobody has flushed: {{e|PA {a['pa']:#x}}} is used. "
            "The hardware does not compare."
        )
    return Beat(actor="hw", fn=fn, title=title, why=why, now=((cell or f"c{a['cpu']}.n"), "kr"), cause=KEYS)


def missed(s: TlbState, a: Args, again: bool, near: str | None) -> Beat:
    """Tell a miss."""
    page = f"{a['ipa'] >> 12:#x}"
    other = s.near(s.look) if s.look else None
    if again:
        title = "The instruction runs again, and misses again"
        why = (
            f"{{c|A fault leaves nothing in the TLB}}, so {{e|page {page} is still missing}}: "
            "the tables are walked once more."
        )
    elif other:
        title = "Same page, other VMID: a miss"
        why = (
            f"{{c|An entry with page {page} is there, but with VMID {other.vmid}}}, not {a['vmid']}: {{e|it belongs to "
            "another guest}, so the hardware walks the tables."
        )
    else:
        title = f"No entry for page {page} with these tags: a miss"
        why = (
            f"{{c|No entry has VMID {a['vmid']}, ASID {a['asid']} and page {page}}}, so "
            "{e|the hardware walks the tables}."
        )
    return Beat(actor="hw", fn="TLB look-up", title=title, why=why, now=("kr",), cause=(near,) if near else KEYS)


def filled(s: TlbState, a: Args, cell: str | None, evicted: Cached | None) -> Beat:
    """Tell that the walk has succeeded and what the TLB keeps."""
    why = (
        f"{{c|The walk finds the page}}, so {{e|its leaf is kept}} with VMID {a['vmid']}, ASID {a['asid']}. "
        "Hardware alone did this: KVM hears of no miss."
    )
    if evicted:
        whose = "the host" if evicted.owner is None else f"guest {evicted.owner}"
        why = (
            f"{{c|Set {evicted.page % s.sets} is full}}, so {{e|its least recently used entry goes}}: page "
            f"{evicted.page:#x} of {whose}. The tables keep both pages."
        )
    return Beat(
        actor="hw",
        fn="TLB fill",
        title=f"The walker finds page {a['ipa'] >> 12:#x}, the TLB keeps it",
        why=why,
        now=(cell or f"c{a['cpu']}.n",),
        cause=("leaf",),
    )


def trapped(s: TlbState, a: Args, page: int) -> Beat:
    """Tell that the access cannot go on without KVM."""
    why = (
        "{c|The tables do not allow it}, so {e|the CPU goes to Hyp mode} with a fault. It is the fault that KVM "
        "hears of, not the miss; nothing is cached."
    )
    return Beat(
        actor="hw",
        fn="exit to Hyp mode",
        title=f"A fault for page {page:#x}: the CPU leaves the guest",
        why=why,
        now=(f"c{a['cpu']}.v",),
        cause=("leaf",),
    )


def mapped(s: TlbState, a: Args, stale: int, cells: tuple[str, ...]) -> Beat:
    """Tell a new leaf, and what it makes of those cached."""
    page = f"{a['ipa'] >> 12:#x}"
    if a["old"] & 3:
        title = f"KVM writes another leaf for page {page}"
        why = (
            f"{{c|The leaf changes}}, but a TLB does not watch the tables: {{e|{count(stale)} "
            f"{'is' if stale == 1 else 'are'} stale}} and can be used until the flush."
        )
    else:
        title = f"KVM maps page {page}; no TLB is told"
        why = (
            "{c|There was no leaf before, and faults are not cached}: {e|no TLB can hold an old answer}, "
            "so none is flushed."
        )
    return Beat(actor="kern", fn="stage2_set_pte()", title=title, why=why, now=("leaf", *cells))


def notified(name: str, a: Args) -> Beat:
    """Tell that the host changes a page of its own."""
    hva = a["start"] if "start" in a else a["hva"]
    why = (
        f"{{c|The memory at hva {hva:#x} is the host's}}. Before a frame gets another use, {{e|whoever maps it "
        "is told}: KVM looks for guest pages that lie there."
    )
    title = f"The host changes its memory at {hva:#x} and tells KVM"
    return Beat(actor="host", fn=name, title=title, why=why, label="WHO ASKED")


def cleared(s: TlbState, a: Args, stale: int, cells: tuple[str, ...]) -> Beat:
    """Tell that a leaf goes while TLBs may still hold it."""
    page = f"{a['ipa'] >> 12:#x}"
    if stale:
        title = f"KVM clears page {page}'s leaf; copies are stale"
        why = (
            f"{{c|The tables no longer map the page}}, but {{e|{count(stale)} still "
            f"{'does' if stale == 1 else 'do'}}}: the guest could go on using it until the flush."
        )
    else:
        title = f"KVM clears page {page}'s leaf"
        why = "{c|The tables no longer map the page}. {e|No TLB holds it}, but KVM cannot know that."
    return Beat(actor="kern", fn="clear_pte_entry()", title=title, why=why, now=("leaf", *cells))


def flushed(s: TlbState, a: Args, cells: tuple[str, ...]) -> Beat:
    """Tell a flush."""
    left_over = sum(map(len, s.entries))
    if a["scope"] == "all":
        host = sum(entry.owner is None for _, _, entry in s.gone)
        title = f"Rollover flush: {count(a['removed'])} {'goes' if a['removed'] == 1 else 'go'}, every CPU is empty"
        why = (
            f"{{c|Old numbers get new owners}}, so {{e|every VMID's entries go}}, the host's {host} too. "
            "No table changes: walks will bring them back."
        )
        if not a["removed"]:
            title = "A rollover flush, with nothing there to flush"
        return Beat(
            actor="kern", fn="__kvm_flush_vm_context", title=title, why=why, now=cells, cause=("gen",), mark="flush"
        )
    title = f"Flush by VMID {a['vmid']}: {count(a['removed'])} {'goes' if a['removed'] == 1 else 'go'}"
    why = (
        f"{{c|ARMv7 cannot flush by IPA}}, so {{e|all entries of VMID {a['vmid']} go, on every CPU}}. "
        f"{count(left_over)} of other VMIDs {'stays' if left_over == 1 else 'stay'}."
    )
    if not a["removed"]:
        why = (
            f"{{c|No entry has VMID {a['vmid']}}}: Linux 3.9 flushes all the same, "
            "{e|once for each page}, mapped or not."
        )
    if not a["vmid"]:
        why = "{c|This guest has never run, so its VTTBR is still 0}: the flush hits {e|the host's entries}, VMID 0."
    return Beat(actor="kern", fn="kvm_tlb_flush_vmid()", title=title, why=why, now=cells or ("leaf",), mark="flush")


def rolled_over(s: TlbState, a: Args) -> Beat:
    """Tell a new generation."""
    title = f"The VMIDs have run out: generation {a['generation']} begins"
    why = (
        f"{{c|All {(1 << s.bits) - 1} numbers are taken}}, so {{e|every guest's number is void}} and "
        "counting starts at 1. The old entries are still in the TLBs."
    )
    if s.bitmap:
        why = (
            f"{{c|All {(1 << s.bits) - 1} numbers are taken or reserved}}. {{e|Guests that run keep theirs}} and are "
            "not kicked; the others ask again when they next enter."
        )
        return Beat(actor="kern", fn="flush_context()", title=title, why=why, now=("gen", "nxt"))
    if a["generation"] == 2:
        title = "The first entry after boot begins generation 2"
        why = (
            "{c|kvm_next_vmid was 0, which means none is left}, so {e|a new generation begins}. "
            "That happens once at boot."
        )
    return Beat(actor="kern", fn="update_vttbr()", title=title, why=why, now=("gen", "nxt"))


def kicked(s: TlbState, a: Args) -> Beat:
    """Tell who has to leave before numbers get new owners."""
    cpus = ", ".join(str(cpu) for cpu in a["cpus"][:6]) + (", ..." if len(a["cpus"]) > 6 else "")
    why = (
        "{c|A guest that runs goes on filling its TLB under its old number}, so {e|it must leave} before the flush. "
        "It comes back with a new number."
    )
    now = tuple(f"c{cpu}.v" for cpu in a["cpus"])
    title = f"CPU {cpus} must leave its guest" if len(a["cpus"]) == 1 else f"CPUs {cpus} must leave their guests"
    return Beat(actor="kern", fn="force_vm_exit", title=title, why=why, now=now, cause=("gen",))


def touched(s: TlbState, a: Args, cell: str | None, new: bool) -> Beat:
    """Tell the host's own use of a TLB."""
    why = (
        "{c|The host runs with VMID 0 in VTTBR}, so {e|its translations carry VMID 0}: guests' entries stay beside "
        "them and cannot hit."
    )
    title = f"The host uses {a['hva']:#x} on CPU {a['cpu']}"
    title += ": one entry more" if new else ": a hit"
    return Beat(
        actor="host",
        fn="host process",
        title=title,
        why=why,
        now=(cell or f"c{a['cpu']}.n",),
        cause=(f"c{a['cpu']}.v",),
    )


def destroyed(s: TlbState, a: Args) -> Beat:
    """Tell what a VM leaves behind."""
    mine = sum(entry.owner == a["vm"] for _, _, entry in s.everything())
    why = (
        f"{{c|Its tables are freed and no TLB is flushed}}: {{e|{count(mine)} "
        f"{'stays' if mine == 1 else 'stay'}}} until the rollover, under a VMID nobody enters with."
    )
    return Beat(actor="kern", fn="kvm_arch_destroy_vm()", title=f"Guest {a['vm']} is destroyed", why=why)
