"""What happens to the tables, in words: made, linked, written, refused, cleared, unlinked, freed, leaked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kvmlab.engine.hardware.descriptor import ADDRESS_MASK, decode
from kvmlab.scenes.moment import leaf_kind
from kvmlab.scenes.scene import Actor
from kvmlab.scenes.tables.forest import Forest, Spot

Args = Mapping[str, Any]
Sign = tuple[str, Spot, str]
"""A part that a step is about: "r" row, "t" table, "n" page_count, "l" link, "x" bytes, "d" a field by its name,
"f" the count of flushes."""

RIGHTS = {"rw": "read and write", "ro": "read only", "dev": "device", "inv": "not valid"}
VERBS = {"write": "stores to", "read": "loads from", "fetch": "fetches from"}


@dataclass(frozen=True, kw_only=True)
class Tale:
    """The words of a step, and the parts they are about; as `Beat`, but with entries and tables instead of ids."""

    actor: Actor
    fn: str
    title: str
    why: str
    now: tuple[Sign, ...] = ()
    cause: tuple[Sign, ...] = ()
    mark: str | None = None
    late: bool = False


@dataclass
class Context:
    """What a teller knows besides the event.

    Args:
        forest: the tables right after the event.
        vm: the VM it is about.
        spot: the entry it is about.
        slot: the cache slot that the last page was taken from.
        freed: frames given back in this command so far.
    """

    forest: Forest
    vm: int
    spot: Spot
    slot: int = 0
    freed: int = 0


def sign(kind: str, spot: Spot, more: str = "") -> Sign:
    """Return a part to point at."""
    return kind, spot, more


def above(spot: Spot) -> Spot:
    """Return the table that holds an entry."""
    return spot[0], spot[1][:-1]


def start() -> Tale:
    """Tell what there is to see before anything happens."""
    why = (
        "A column is a level, a card a table, a row an entry in use. {c|Nothing has been allocated}, so {e|the columns "
        "are empty}. Click a row to decode or unfold it."
    )
    return Tale(actor="kern", fn="start of KVM", title="Before the first guest: no table exists", why=why)


def created(c: Context, a: Args) -> Tale:
    """Tell the birth of a level 1 table."""
    root = c.vm, ()
    why = (
        "{c|Every guest needs a root}: two frames with {e|1024 entries}, 1 GiB each. All are zero. Only the first "
        "frame counts itself: page_count 1 and 0."
    )
    title = f"Guest {c.vm} gets an empty level 1 table"
    return Tale(actor="kern", fn="kvm_alloc_stage2_pgd()", title=title, why=why, now=(sign("t", root),))


def slot_changed(c: Context, a: Args) -> Tale | None:
    """Tell that a VM gets memory, which changes no table."""
    if not a["npages"]:
        return None
    why = (
        f"{{c|A slot only says}} which host address stands behind gfn {a['gfn']:#x} and the next ones. "
        "{e|No entry is written}: they come fault by fault."
    )
    title = f"Guest {c.vm} gets {a['npages']} pages: the tables stay as they are"
    return Tale(actor="host", fn="kvm_set_memory_region()", title=title, why=why, cause=(sign("t", (c.vm, ())),))


def linked(c: Context, a: Args) -> Tale:
    """Tell a new table."""
    level = a["level"]
    why = (
        f"{{c|Level {level} entry {a['index']} was empty}}, so {{e|the top page of the memory cache}} is linked there: "
        "its address with the type bits 11. It holds no entry yet."
    )
    title = f"Cache slot {c.slot} becomes the level {level + 1} table at {a['table']:#x}"
    now = (sign("r", c.spot), sign("l", c.spot), sign("t", c.spot), sign("n", above(c.spot)), sign("x", c.spot))
    return Tale(actor="kern", fn="stage2_set_pte()", title=title, why=why, now=now)


def mapped(c: Context, a: Args) -> Tale:
    """Tell the writing of a leaf."""
    kind, old, index = leaf_kind(a["new"]), a["old"], a["index"]
    if old & 3:
        why = (
            f"{{c|It was present}}, {RIGHTS[leaf_kind(old)]}; {{e|it is overwritten in place}}, page_count stays. "
            "TLBs may hold the old one, so a flush must follow."
        )
        changed = [now.name for now, was in zip(decode(a["new"], 3).fields, decode(old, 3).fields, strict=True)
                   if now.value != was.value] if leaf_kind(old) != "inv" and kind != "inv" else []  # fmt: skip
        fields = tuple(sign("d", c.spot, name) for name in changed)
        now = (sign("r", c.spot), sign("x", c.spot), *fields)
        title = f"Level 3 entry {index} is replaced: now {RIGHTS[kind]}"
        return Tale(actor="kern", fn="stage2_set_pte()", title=title, why=why, now=now, late=True)
    why = {
        "rw": "{c|The page may be written}, so HAP is 11. {e|page_count goes up by one}: the table counts its entries, "
        "not the users of the page.",
        "ro": "{c|The page may only be read}, so HAP is 01: a store will fault. {e|page_count goes up by one}, "
        "as for any entry.",
        "dev": "{c|A device was asked for}, so XN is 1 and the attributes differ. {e|page_count goes up by one}, "
        "as for any entry.",
        "inv": "{c|The value is no valid page}, yet the entry was empty before: {e|page_count goes up by one}.",
    }[kind]
    title = f"Level 3 entry {index} maps pfn {(a['new'] & ADDRESS_MASK) >> 12:#x}, {RIGHTS[kind]}"
    now = (sign("r", c.spot), sign("n", above(c.spot)), sign("x", c.spot))
    return Tale(actor="kern", fn="stage2_set_pte()", title=title, why=why, now=now, late=True)


def refused(c: Context, a: Args) -> Tale:
    """Tell a device mapping over something present."""
    why = (
        f"{{c|A page is there already}}, {RIGHTS[leaf_kind(a['old'])]}, and ioremap may not replace it, so "
        "{e|nothing is written}. Entries written before this one stay."
    )
    title = f"IPA {a['ipa']:#x} is mapped already: -EFAULT"
    return Tale(
        actor="kern", fn="stage2_set_pte()", title=title, why=why, cause=(sign("r", c.spot),), mark="error"
    )  # fmt: skip


def ignored(c: Context, a: Args) -> Tale:
    """Tell a write for which a table is missing and none may be made."""
    why = (
        f"{{c|There is no level {a['level'] + 1} table}} for this page and no cache to take one from, so "
        "{e|nothing is written}. The next access will fault and ask."
    )
    title = f"IPA {a['ipa']:#x} has no table: the new value is ignored"
    return Tale(actor="kern", fn="stage2_set_pte()", title=title, why=why, cause=(sign("r", c.spot),))


def cleared(c: Context, a: Args) -> Tale:
    """Tell a leaf that goes."""
    why = (
        "{c|Whoever asked wants the page unmapped}, so {e|the entry becomes zero} and its table counts one less. "
        "The page itself was never counted by it."
    )
    title = f"Level 3 entry {c.spot[1][-1]} is cleared"
    now = (sign("r", c.spot), sign("n", above(c.spot)), sign("x", c.spot))
    return Tale(actor="kern", fn="clear_pte_entry()", title=title, why=why, now=now, late=True)


def unlinked(c: Context, a: Args) -> Tale:
    """Tell a table that goes back."""
    why = (
        f"{{c|Its page_count was 1}}: no entry is left. So {{e|level {a['level']} entry {a['index']} becomes zero}} "
        "and the frame goes back, before any TLB is flushed."
    )
    title = f"The level {a['level'] + 1} table at {a['table']:#x} is freed"
    fn = "clear_pmd_entry()" if a["level"] == 2 else "clear_pud_entry()"
    now = (sign("r", c.spot), sign("n", above(c.spot)), sign("x", c.spot))
    return Tale(actor="kern", fn=fn, title=title, why=why, now=now, mark="freed", late=True)


def flushed(c: Context, a: Args) -> Tale:
    """Tell a flush: it changes TLBs, and not one byte of a table."""
    gone = {0: "None was there", 1: "1 entry goes"}.get(a["removed"], f"{a['removed']} entries go")
    why = (
        f"ARMv7 cannot drop just one IPA, so {{c|all of VMID {a['vmid']}}} is dropped on every CPU. {{e|{gone}}}. "
        "Not one byte of the tables changes by it."
    )
    title = f"The TLBs drop what they hold of VMID {a['vmid']}: {a['removed']}"
    now = (sign("f", (c.vm, ())),)
    return Tale(actor="kern", fn="kvm_tlb_flush_vmid()", title=title, why=why, now=now, mark="flush")


def unmap(c: Context, a: Args) -> Tale:
    """Tell that KVM hears of pages that go away."""
    where = f"hva {a['hva']:#x}" if "hva" in a else f"hva {a['start']:#x} to {a['end'] - 1:#x}"
    why = (
        f"{{c|The host changes}} {where}. KVM looks through all slots of guest {c.vm} for IPAs that show it, and "
        "{e|unmaps page by page}, flushing after each."
    )
    fn = "kvm_unmap_hva()" if "hva" in a else "kvm_unmap_hva_range()"
    return Tale(actor="kern", fn=fn, title=f"KVM is told: unmap {where}", why=why, cause=(sign("t", (c.vm, ())),))


def set_spte(c: Context, a: Args) -> Tale:
    """Tell that KVM hears of another frame behind a page."""
    why = (
        f"{{c|Another frame stands behind}} hva {a['hva']:#x}. {{e|The entry will point there, read-only}}; if its "
        "tables are missing, nothing will be written."
    )
    title = f"KVM is told: another frame behind hva {a['hva']:#x}"
    return Tale(actor="kern", fn="kvm_set_spte_hva()", title=title, why=why, cause=(sign("t", (c.vm, ())),))


def ioremapped(c: Context, a: Args) -> Tale:
    """Tell the end of a device mapping."""
    pages = "1 page" if a["mapped"] == 1 else f"{a['mapped']} pages"
    if a["ret"]:
        title = f"It returns {a['ret']}; {pages} of the device stay mapped"
        why = "{c|One page could not be mapped}, so the loop ends. {e|What was written before stays}: no undo."
    elif a["mapped"]:
        title = f"The device is mapped, {pages}; it returns 0"
        why = "{c|Every page has its entry}, so {e|the guest reaches the device without a fault} and without an exit."
    else:
        title = "Nothing was mapped, and it returns 0"
        why = "{c|The end of the range was cut to 32 bits}, or the size was 0, so {e|the loop never ran}."
    mark = "error" if a["ret"] else None
    return Tale(actor="kern", fn="kvm_phys_addr_ioremap()", title=title, why=why, mark=mark)


def destroyed(c: Context, a: Args) -> Tale:
    """Tell the end of a VM's tables: what was freed, and what leaks."""
    left = [spot for spot, pa in c.forest.tables.items() if spot[0] == c.vm and pa in c.forest.leaked]
    root = (c.vm, ()) in left
    if left:
        title = f"Guest {c.vm} ends: {c.freed} table frames freed, {len(left) + root} leak"
        why = (
            "{c|From inside a region the walk steps a whole 2 MiB or 1 GiB on}, over the head of the next one, so "
            "{e|tables are missed}. Nobody will free them."
        )
    else:
        title = f"Guest {c.vm} ends: all its {c.freed} table frames are freed"
        why = "{c|Every entry was cleared}, so each table emptied and went back; {e|the two frames of level 1 go last}."
    now = tuple(sign("t", spot) for spot in left) or (sign("t", (c.vm, ())),)
    return Tale(actor="kern", fn="kvm_free_stage2_pgd()", title=title, why=why, now=now, mark="end of a guest")


TELLERS: dict[str, Callable[[Context, Args], Tale | None]] = {
    "tables/created": created,
    "slot/changed": slot_changed,
    "tables/linked": linked,
    "tables/mapped": mapped,
    "tables/refused": refused,
    "tables/ignored": ignored,
    "tables/cleared": cleared,
    "tables/unlinked": unlinked,
    "tlb/flushed": flushed,
    "kvm_unmap_hva": unmap,
    "kvm_unmap_hva_range": unmap,
    "kvm_set_spte_hva": set_spte,
    "ioremap/done": ioremapped,
    "tables/destroyed": destroyed,
}
