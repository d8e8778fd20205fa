"""What the guest and the hardware do, in words: look-up, walk, abort, the access itself."""

from __future__ import annotations

from kvmlab.engine.hardware.descriptor import ADDRESS_MASK, kind_of, permits
from kvmlab.engine.hardware.syndrome import FSC_TYPE_MASK, FSC_TYPES
from kvmlab.scenes.beat import Args, Beat, Teller
from kvmlab.scenes.fault.picture import tlb_cell
from kvmlab.scenes.fault.stage import name
from kvmlab.scenes.moment import Moment, Path, path_of

DOES = {"write": "stores", "read": "loads", "fetch": "fetches"}
NOUN = {"write": "store", "read": "load", "fetch": "fetch"}
NEXT = {1: "level 2 table", 2: "level 3 table", 3: "page"}
BITS = {1: "39:30", 2: "29:21", 3: "20:12"}


def guest_acts(m: Moment) -> Beat:
    """Tell the instruction that everything begins with."""
    a = m.access
    ipa = f"{a['ipa']:#x}"
    title = (
        f"The guest stores {a['value']:#x} to {ipa}"
        if a["access"] == "write"
        else f"The guest {DOES[a['access']]} from {ipa}"
    )
    why = (
        "The guest takes the address for a physical one. {e|It is an IPA}: the hardware still has to find out "
        "where that is."
    )
    return Beat(actor="guest", fn="guest code", title=title, why=why, now=("g.do",))


def entered_again(m: Moment, a: Args) -> Beat:
    """Tell the repetition of the instruction."""
    if m.registers is None:
        why = "{c|The tables and VTTBR are ready}, so {e|the guest runs}."
        return Beat(actor="guest", fn="guest code", title="The guest runs", why=why, now=("g.run",), cause=("h.vttbr",))
    why = (
        "{c|The PC has not moved} while the guest was away, so {e|it makes the same access once more}. It does "
        "not know it was stopped."
    )
    return Beat(
        actor="guest",
        fn="guest code",
        title="The guest runs the same instruction again",
        why=why,
        now=("g.run",),
        cause=("g.do",),
    )


def tlb_missed(m: Moment, a: Args) -> Beat:
    """Tell a TLB miss."""
    why = (
        f"{{c|No entry}} has VMID {a['vmid']} and page {a['ipa'] >> 12:#x}, so the hardware walks the tables: "
        "{e|it cuts the address} into three indices and an offset."
    )
    return Beat(
        actor="hw",
        fn="TLB look-up",
        title="The TLB has no entry for this page",
        why=why,
        now=("ix0", "ix1", "ix2", "ix3"),
        cause=("h.tlb",),
    )


def tlb_hit(m: Moment, a: Args) -> Beat | None:
    """Tell a TLB hit, unless the entry forbids the access: then the fault is what there is to tell."""
    if not permits(a["descriptor"], m.access["access"]):
        return None
    cell = tlb_cell(m, a["ipa"])
    why = (
        f"{{c|VMID {a['vmid']} and page {a['ipa'] >> 12:#x} match}}, so {{e|PA {a['pa']:#x}}} is known at once. "
        "No table is read, and the kernel hears nothing."
    )
    return Beat(
        actor="hw",
        fn="TLB look-up",
        title="The TLB knows this page: no walk",
        why=why,
        now=(cell or "h.tlb",),
        cause=("g.do",),
        mark="hit",
    )


def level(m: Moment, a: Args) -> Beat | None:
    """Tell a level of the walk that leads on; the last level is told by what ends the walk."""
    at, index, word = a["level"], a["index"], a["descriptor"]
    if kind_of(word, at) != "table":
        return None
    path = path_of(a["ipa"], at)
    why = (
        f"Bits {BITS[at]} of the address are {{c|{index}}}, so the walker reads that entry: {word:#x}. {{e|It "
        f"names a {NEXT[at]}}}."
    )
    return Beat(
        actor="hw",
        fn=f"stage-2 walk, level {at}",
        title=f"Level {at}, entry {index} leads to the table at {word & ADDRESS_MASK:#x}",
        why=why,
        now=(name("r", path),),
        cause=(f"ix{at - 1}",),
    )


def faulted(m: Moment, a: Args) -> Beat:
    """Tell where and why the walk breaks off."""
    at, kind = a["level"], a["fault"]
    path: Path = path_of(a["ipa"], at)
    if not m.read and kind == "permission":
        cell = tlb_cell(m, a["ipa"])
        why = (
            f"{{c|The TLB keeps the rights too}}, and they do not allow a {NOUN[m.access['access']]}. {{e|A "
            "permission fault}: no walk is needed to find it."
        )
        return Beat(
            actor="hw",
            fn="TLB look-up",
            title="The TLB entry does not allow this access",
            why=why,
            now=("g.do",),
            cause=(cell or "h.tlb", "d5"),
            mark="fault",
        )
    zero = "It is not valid" if m.word and m.word[0] else "It is zero"
    title = f"Level {at}, entry {path[-1]} is empty: the walk ends here"
    why = (
        f"Bits {BITS[at]} are {{c|{path[-1]}}}, so the walker reads that entry. {{e|{zero}}}, so there is no "
        f"{NEXT[at]} to go on to."
    )
    if kind == "permission":
        title = f"Level {at}, entry {path[-1]} forbids it: the walk ends here"
        why = (
            f"The entry names a page, but {{c|its HAP bits}} do not allow {{e|a {NOUN[m.access['access']]}}}. The "
            "page is known, the right is missing."
        )
    elif kind != "translation":
        title = f"Level {at}, entry {path[-1]}: {kind}, the walk ends here"
        why = f"The walker could not use {{c|entry {path[-1]}}}, so {{e|the walk breaks off}} with this fault: {kind}."
    return Beat(
        actor="hw",
        fn=f"stage-2 walk, level {at}",
        title=title,
        why=why,
        now=(name("r", path),),
        cause=(f"ix{at - 1}",),
        mark="fault",
    )


def trapped(m: Moment, a: Args) -> Beat:
    """Tell the way out of the guest after an abort."""
    hsr, hpfar = a["hsr"], a["hpfar"]
    cause = name("r", m.missed) if m.missed else "h.tlb"
    where = f"HPFAR {hpfar:#x} stands for the page at IPA {(hpfar & ~0xF) << 8:#x}"
    if hsr & FSC_TYPE_MASK == FSC_TYPES["permission"]:
        where = "HPFAR is not valid after a permission fault"
    why = (
        f"{{c|The look-up failed}}, so the CPU goes to Hyp mode. {{e|HSR says what happened}}, level {hsr & 3} "
        f"included; {where}."
    )
    return Beat(
        actor="hw",
        fn="exit to Hyp mode",
        title="The CPU leaves the guest and says what happened",
        why=why,
        now=("h.reg", "g.run"),
        cause=(cause,),
    )


def walk_done(m: Moment, a: Args) -> Beat:
    """Tell a walk that succeeds."""
    path = path_of(a["ipa"], len(m.read))
    why = (
        f"The entry names the page, {{c|offset {a['ipa'] & 0xFFF:#x}}} is added: {{e|PA {a['pa']:#x}}}. HAP "
        f"allows the {NOUN[m.access['access']]}, so the walk is done."
    )
    return Beat(
        actor="hw",
        fn=f"stage-2 walk, level {len(path)}",
        title=f"Level {len(path)}, entry {path[-1]} holds the page",
        why=why,
        now=(name("r", path), name("p", path)) if len(path) == 3 else (name("r", path),),
        cause=("ix2", "ix3"),
    )


def tlb_filled(m: Moment, a: Args) -> Beat:
    """Tell that the TLB keeps a translation."""
    cell = tlb_cell(m, a["ipa"])
    why = (
        f"{{c|The walk read {len(m.read)} entries}}, so {{e|the result is kept}}, tagged with VMID {a['vmid']}. "
        "The next access to this page needs no walk."
    )
    return Beat(
        actor="hw",
        fn="TLB fill",
        title="The TLB keeps the translation",
        why=why,
        now=(cell or "h.tlb",),
        cause=(name("r", m.read[-1]),) if m.read else (),
    )


def accessed(m: Moment, a: Args) -> Beat:
    """Tell the access itself."""
    access = m.access["access"]
    verb = "lies" if access == "write" else "comes from"
    why = (
        "{c|The hardware has the PA}, so {e|the instruction ends}. The guest never sees that address; for it "
        "this was one instruction."
    )
    return Beat(
        actor="guest",
        fn="guest code",
        title=f"The {NOUN[access]} is done: {a['value']:#x} {verb} {'at ' if access == 'write' else ''}PA {a['pa']:#x}",
        why=why,
        now=("g.do",),
        cause=(name("p", path_of(a["ipa"])),),
    )


def done(m: Moment, a: Args) -> Beat | None:
    """Tell an access that did not end as the guest wished."""
    said = {
        "mmio": (
            "User space emulates the access",
            "{c|No memory lies there}, so {e|the VMM plays the device} and then lets the guest go on.",
        ),
        "aborted": (
            "The guest takes an abort of its own",
            "{c|No memory lies there}, so {e|the guest's own abort handler} has to deal with it.",
        ),
        "error": (
            f"The run ends with error {a['ret']}",
            "{c|KVM could not mend the fault}, so {e|the run call returns an error} to user space.",
        ),
        "refaulting": (
            f"Still nothing mapped after {a['faults']} faults",
            "{c|Every attempt was refused}; a real guest would {e|fault on for ever}.",
        ),
    }
    if a["status"] not in said:
        return None
    title, why = said[a["status"]]
    if a["status"] == "aborted":
        return Beat(actor="guest", fn="guest code", title=title, why=why, now=("g.run",), cause=("g.do",))
    return Beat(actor="host", fn="user space", title=title, why=why, now=("g.run",), cause=("g.do",))


HARDWARE: dict[str, Teller] = {
    "kvm_entry": entered_again,
    "tlb/missed": tlb_missed,
    "tlb/hit": tlb_hit,
    "walk/level": level,
    "walk/faulted": faulted,
    "cpu/trapped": trapped,
    "walk/done": walk_done,
    "tlb/filled": tlb_filled,
    "ram/stored": accessed,
    "ram/loaded": accessed,
    "ram/fetched": accessed,
    "access/done": done,
}
