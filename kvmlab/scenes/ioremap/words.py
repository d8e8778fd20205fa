"""What device mappings mean, in words; what they share with a fault is told as there."""

from __future__ import annotations

from dataclasses import replace

from kvmlab.engine.hardware.descriptor import MEMATTR_SHIFT, memattr_words
from kvmlab.scenes.beat import Args, Beat
from kvmlab.scenes.fault.tell_tables import ioremapped, refused
from kvmlab.scenes.ioremap.picture import DEVICE
from kvmlab.scenes.ioremap.state import PAGE, WORD, Call, IoremapState
from kvmlab.scenes.moment import Moment, leaf_kind

NOUN = {"write": "stores to", "read": "loads from", "fetch": "fetches from"}
IOREMAP = "kvm_phys_addr_ioremap()"


def cell(ipa: int) -> str:
    """Return the id of a page's cell."""
    return f"p{ipa >> 12:x}"


def start() -> Beat:
    """Tell what there is before anything has happened."""
    why = (
        "RAM comes fault by fault. {e|A device is mapped ahead}, by a call: the guest must reach its registers "
        "without leaving."
    )
    return Beat(actor="kern", fn="start of KVM", title="How a guest gets a device of its own", why=why)


def created(slots: list[list[int]]) -> Beat:
    """Tell the birth of the VM."""
    ipa, size, _ = slots[0] if slots else (0, 0, 0)
    ram = f"{size >> 20} MiB from IPA {ipa:#x} on are its memory" if slots else "It has no memory"
    why = f"{{c|{ram}}}, and still {{e|no page of it is mapped}}: the tables are a root with nothing in it."
    return Beat(
        actor="kern", fn="kvm_alloc_stage2_pgd()", title="A guest: memory, but no entry", why=why, label="PUBLISH"
    )


def called(s: IoremapState, call: Call) -> Beat:
    """Tell the call."""
    why = (
        f"{{c|The device at PA {call.pa:#x}}} is to appear at {{e|IPA {call.ipa:#x}}}. Nobody faulted: KVM writes the "
        "entries ahead, page by page."
    )
    title = f"KVM is to map {call.size:#x} bytes of a device"
    return Beat(actor="kern", fn=IOREMAP, title=title, why=why, now=("zK",), cause=(cell(call.ipa),))


def failed(s: IoremapState, call: Call, a: Args) -> Beat:
    """Tell a top-up that fails."""
    why = (
        f"{{c|A page allocation failed}}, and every page of the device asks for {a['max']} first, even where no table "
        "is missing. {e|So the loop stops here}."
    )
    return Beat(
        actor="kern",
        fn="mmu_topup_memory_cache(2, 2)",
        title=f"Page {call.mapped + 1}: no frame for the cache, -ENOMEM",
        why=why,
        now=("c0", "c1"),
        mark="error",
        label="IS THERE ROOM",
    )


def mapped(s: IoremapState, call: Call, a: Args) -> Beat:
    """Tell a page of a device."""
    page = call.mapped + 1
    why = (
        "{c|It was asked for as a device}, so XN is 1: {e|no code runs from it}. HAP says read and write, and no "
        "frame of RAM was needed for it."
    )
    title = f"Page {page} of {call.asked}: IPA {a['ipa']:#x} is mapped ahead"
    return Beat(
        actor="kern",
        fn="stage2_set_pte()",
        title=title,
        why=why,
        now=(cell(a["ipa"]), "d1", "n.map"),
        label="PUBLISH",
    )


def memory_type(word: int) -> Beat:
    """Tell the memory attribute of the first device page."""
    memattr = word >> MEMATTR_SHIFT & 0xF
    if memattr == DEVICE:
        title, why = "MemAttr is 0001: device", "{c|Stage 2 has a code of its own}, and {e|this kernel uses it}."
    else:
        title = f"MemAttr is {memattr:04b}, and that is no device type"
        why = (
            f"{{c|A stage-1 index was put into a stage-2 field}}: it says {memattr_words(memattr)}. {{e|Device would "
            "be 0001}. The guest's own Device type hides it."
        )
    return Beat(actor="kern", fn="stage2_set_pte()", title=title, why=why, now=("d6",), label="PUBLISH")


def over(s: IoremapState, m: Moment, a: Args) -> Beat:
    """Tell a page that is taken."""
    return replace(refused(m, a), cause=(cell(a["ipa"]),), now=("zK",), label="MAY I STILL")


def given_back(a: Args) -> Beat:
    """Tell the end of the cache on the stack."""
    count = "One frame is" if a["given_back"] == 1 else f"{a['given_back']} frames are"
    why = (
        "{c|The cache dies with the call}: what no table needed goes back to the allocator. {e|Nothing is kept for "
        "later}."
    )
    return Beat(
        actor="kern",
        fn="mmu_free_memory_cache()",
        title=f"{count} left on the stack, and given back",
        why=why,
        now=("c0", "c1", "n.live"),
        label="IS THERE ROOM",
    )


def done(s: IoremapState, call: Call, m: Moment, a: Args) -> Beat:
    """Tell the end of the call."""
    beat = replace(ioremapped(m, a), label="TELL THE OTHERS", now=("zK",))
    cut = call.end % WORD
    if not a["ret"] and not a["mapped"] and call.end >= WORD:
        why = (
            f"{{c|The end, {call.end:#x}, is cut to 32 bits}}: {cut:#x} is not above the start, so {{e|the loop never "
            "runs}. Nobody reports an error."
        )
        return replace(beat, title="Nothing was mapped, and it returns 0", why=why, mark="error")
    if not a["ret"] and not a["mapped"]:
        why = "{c|The size is 0}, so the end is not above the start and {e|the loop never runs}. No error is reported."
        return replace(beat, title="Nothing was mapped, and it returns 0", why=why)
    if not a["ret"] and call.ipa % PAGE:
        why = (
            f"{{c|The loop starts at {call.ipa:#x}, unaligned}}, and only its end is rounded up, so {call.size:#x} "
            f"bytes become {{e|{_pages(a['mapped'])}}}: the guest gets more than was meant."
        )
        if len(why) > 175:  # with the marks; a long address leaves no room for the last words
            why = why.removesuffix(": the guest gets more than was meant.") + "."
        return replace(beat, why=why)
    return beat


def _pages(count: int) -> str:
    return "1 page" if count == 1 else f"{count} pages"


def quick(s: IoremapState, call: Call, a: Args) -> Beat:
    """Tell a page like the ones before it."""
    return Beat(
        actor="kern",
        fn="stage2_set_pte()",
        title=f"Page {call.mapped + 1} of {call.asked}: IPA {a['ipa']:#x}",
        why="{c|The same again}, with the lock taken and released for each page: {e|one more entry}.",
        now=(cell(a["ipa"]), "n.map"),
        label="PUBLISH",
    )


def reached(s: IoremapState, m: Moment) -> Beat:
    """Tell an access that reaches its page without a fault."""
    a = m.access
    kind = s.kind(a["ipa"] >> 12)
    title = f"The guest {NOUN[a['access']]} {a['ipa']:#x}: no fault, no exit"
    why = "{c|The entry is there}, so {e|the hardware does it alone}: to the guest this is memory like any other."
    if kind == "dev":
        why = (
            "{c|A device entry is there}, so {e|the hardware goes to the device itself}. KVM hears nothing of it, and "
            "neither does user space."
        )
    return Beat(
        actor="guest",
        fn="guest code",
        title=title,
        why=why,
        now=("zG",),
        cause=(cell(a["ipa"]),),
        mark="access",
        label="WHICH PAGE",
    )


def trapped(s: IoremapState, m: Moment) -> Beat:
    """Tell an access that leaves the guest."""
    a = m.access
    why = "{c|The walk finds no entry that allows it}, so {e|the CPU leaves the guest}: only now does KVM learn of it."
    return Beat(
        actor="hw",
        fn="exit to Hyp mode",
        title=f"The guest {NOUN[a['access']]} {a['ipa']:#x}: it traps",
        why=why,
        now=("zG",),
        cause=(cell(a["ipa"]),),
        mark="access",
        label="WHO ASKED",
    )


def filled(m: Moment, a: Args) -> Beat:
    """Tell a page of memory that a fault maps."""
    rights = {"rw": "read and write", "ro": "read only"}.get(leaf_kind(a["new"]), "not valid")
    why = "{c|A fault asked for it}, so {e|one page of the host's memory} stands behind this IPA from now on."
    return Beat(
        actor="kern",
        fn="stage2_set_pte()",
        title=f"RAM: the fault maps IPA {a['ipa'] & ~(PAGE - 1):#x}, {rights}",
        why=why,
        now=(cell(a["ipa"]),),
        label="PUBLISH",
    )


def taken_away(m: Moment, a: Args, count: int) -> Beat:
    """Tell pages that the host takes away."""
    why = "{c|The host takes its memory back}, so {e|the entries become zero}; the next access will fault."
    title = f"{_pages(count)} unmapped by the host"
    return Beat(actor="host", fn="clear_pte_entry()", title=title, why=why, now=(cell(a["ipa"]),), label="PUBLISH")


def destroyed() -> Beat:
    """Tell the end of the VM."""
    why = "{c|Nobody will enter the guest again}, so {e|its entries and tables go}. The device was only lent."
    return Beat(
        actor="kern",
        fn="kvm_arch_destroy_vm()",
        title="The VM is destroyed",
        why=why,
        now=("zK", "n.live"),
        label="PUBLISH",
    )
