"""What happens to the stage-2 tables, in words: made, linked, mapped, flushed, cleared, freed."""

from __future__ import annotations

from kvmlab.engine.hardware.descriptor import ADDRESS_MASK
from kvmlab.scenes.beat import Args, Beat, Teller
from kvmlab.scenes.fault.picture import SHORT_KIND
from kvmlab.scenes.fault.stage import name
from kvmlab.scenes.moment import Moment, leaf_kind, path_of

RIGHTS = {"rw": "read and write", "ro": "read only", "dev": "device", "inv": "not valid"}


def created(m: Moment, a: Args) -> Beat | None:
    """Tell the birth of the level-1 table."""
    if a["vm"] != m.vm:
        return None
    why = (
        "Two frames hold {e|1024 entries}, one for each GiB of the 40-bit guest space. All are zero, so any "
        "first access will fault."
    )
    return Beat(
        actor="kern", fn="kvm_alloc_stage2_pgd()", title="The guest gets an empty level 1 table", why=why, now=("t",)
    )


def assigned(m: Moment, a: Args) -> Beat | None:
    """Tell a new VMID."""
    if a["vm"] != m.vm:
        return None
    why = (
        f"{{c|It had no number of generation {a['generation']}}}, so it takes the next one. {{e|VTTBR}} now holds "
        "that VMID and the address of the level 1 table."
    )
    return Beat(
        actor="kern",
        fn="update_vttbr()",
        title=f"The guest gets VMID {a['vmid']}, generation {a['generation']}",
        why=why,
        now=("h.vttbr",),
        cause=("t",),
    )


def linked(m: Moment, a: Args) -> Beat:
    """Tell a new table."""
    at, path = a["level"], path_of(a["ipa"], a["level"])
    slot = m.nobjs
    why = (
        f"{{c|Level {at} entry {a['index']} is empty}}, so {{e|the top page of the cache}} takes the place: "
        f"nothing has to be allocated under the lock. {m.nobjs} are left."
    )
    now = (
        name("r", path),
        name("l", path),
        name("t", path),
        f"{name('t', path[:-1])}.n",
        f"c{slot}",
        "k.cache",
        "d2",
        "d7",
    )
    return Beat(
        actor="kern",
        fn="stage2_set_pte()",
        title=f"Cache slot {slot} becomes the level {at + 1} table at {a['table']:#x}",
        why=why,
        now=now,
    )


def mapped(m: Moment, a: Args) -> Beat:
    """Tell the writing of the leaf."""
    path, kind = path_of(a["ipa"]), leaf_kind(a["new"])
    pfn = (a["new"] & ADDRESS_MASK) >> 12
    if a["old"] & 3:
        was, now_is = RIGHTS[leaf_kind(a["old"])], RIGHTS[kind]
        title = f"Level 3, entry {a['index']} is replaced: now {now_is}"
        why = (
            f"{{c|The entry was present}}, {was}; {{e|it is overwritten in place}}. TLBs may still hold the old "
            "one, so a flush must follow."
        )
    else:
        title = f"Level 3, entry {a['index']} maps pfn {pfn:#x}, {RIGHTS[kind]}"
        why = {
            "rw": (
                "{c|The host said writable}, so {e|HAP is 11: read and write}. From now on the page counts as "
                "dirty: KVM cannot see later stores."
            ),
            "ro": (
                "{c|The host said read-only}, so {e|HAP is 01: read only}. Loads will work; the first store will "
                "fault again."
            ),
            "dev": (
                "{c|It was asked for as a device}, so {e|XN is 1: no code runs from it}. It is there before any "
                "access, so no load or store will fault."
            ),
            "inv": "The value written is {e|not a valid page}.",
        }[kind]
        if m.spte:
            why = (
                "{c|KVM takes only the frame from the host's entry}, so {e|it maps read-only, always}. The next store "
                "will fault and ask the host."
            )
    cause = () if kind == "dev" or a["old"] & 3 else (name("p", path),)
    fields = {"rw": ("d5",), "ro": ("d5",), "dev": ("d1",), "inv": ()}[kind]
    now = (name("r", path), name("l", path), f"{name('t', path[:-1])}.n", *fields)
    return Beat(actor="kern", fn="stage2_set_pte()", title=title, why=why, now=now, cause=cause, late=True)


def refused(m: Moment, a: Args) -> Beat:
    """Tell a device mapping over something present."""
    path = path_of(a["ipa"])
    kind = SHORT_KIND[leaf_kind(a["old"])]
    why = (
        f"{{c|A {kind} page is there already}}, and a device may not replace it, so {{e|nothing is written}}. "
        "Pages mapped before this one stay."
    )
    return Beat(
        actor="kern",
        fn="stage2_set_pte()",
        title="Something is mapped here already: -EFAULT",
        why=why,
        now=(),
        cause=(name("r", path),),
        mark="error",
    )


def flushed(m: Moment, a: Args) -> Beat | None:
    """Tell a flush of this VM's translations, if it found any."""
    if a["scope"] != "vmid" or a["vm"] != m.vm or not a["removed"]:
        return None
    count = "1 entry" if a["removed"] == 1 else f"{a['removed']} entries"
    why = (
        f"{{c|A TLB may hold what is gone}}, so all of VMID {a['vmid']} goes: {{e|{count}}}. ARMv7 cannot drop "
        "the translations of just one IPA."
    )
    return Beat(
        actor="kern",
        fn="kvm_tlb_flush_vmid()",
        title=f"Every TLB entry of VMID {a['vmid']} is flushed",
        why=why,
        now=("h.tlb",),
        mark="flush",
    )


def _pages(count: int) -> str:
    return "1 page" if count == 1 else f"{count} pages"


def ioremapped(m: Moment, a: Args) -> Beat:
    """Tell the end of a device mapping."""
    title = f"The device is mapped, {_pages(a['mapped'])}; it returns 0"
    why = (
        "{c|Every page is in place}, so {e|the guest will reach the device directly}: no fault, no exit. What is "
        "left in the cache is given back."
    )
    if a["ret"] == 0 and not a["mapped"]:
        title, why = (
            "Nothing was mapped, and it returns 0",
            "{c|The end was cut to 32 bits}, or the size was 0, so {e|the loop never ran}. No error is reported.",
        )
    elif a["ret"]:
        title = f"It returns {a['ret']}; {_pages(a['mapped'])} of it stay mapped"
        why = (
            "{c|One page could not be mapped}, so the loop stops. {e|What was mapped before stays}: Linux 3.9 "
            "does not undo it."
        )
    return Beat(actor="kern", fn="kvm_phys_addr_ioremap()", title=title, why=why, now=("zK",))


def cleared(m: Moment, a: Args) -> Beat:
    """Tell a leaf that the host takes away."""
    path = path_of(a["ipa"])
    because = {"destroy_vm": "No guest will use it again", "remove_slot": "Its slot is gone"}
    why = (
        f"{{c|{because.get(m.by, 'The host takes its page back')}}}, so {{e|the entry becomes zero}}. The page itself "
        "was never counted by this mapping."
    )
    return Beat(
        actor="kern",
        fn="clear_pte_entry()",
        title=f"Level 3, entry {path[-1]} is cleared",
        why=why,
        now=(name("r", path), f"{name('t', path[:-1])}.n"),
        late=True,
    )


def unlinked(m: Moment, a: Args) -> Beat:
    """Tell a table that is given back."""
    path = path_of(a["ipa"], a["level"])
    why = "{c|Its last entry is gone}, so {e|the table goes back} to the allocator, and the entry above becomes zero."
    return Beat(
        actor="kern",
        fn="clear_pmd_entry()" if a["level"] == 2 else "clear_pud_entry()",
        title=f"The level {a['level'] + 1} table at {a['table']:#x} is freed",
        why=why,
        now=(name("r", path), f"{name('t', path[:-1])}.n"),
        late=True,
    )


TABLES: dict[str, Teller] = {
    "tables/created": created,
    "vmid/assigned": assigned,
    "tables/linked": linked,
    "tables/mapped": mapped,
    "tables/refused": refused,
    "tlb/flushed": flushed,
    "ioremap/done": ioremapped,
    "tables/cleared": cleared,
    "tables/unlinked": unlinked,
}
