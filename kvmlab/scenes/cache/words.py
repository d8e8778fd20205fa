"""What happens to a memory cache, in words."""

from __future__ import annotations

from kvmlab.scenes.beat import Args, Beat
from kvmlab.scenes.cache.state import ROWS, SLOTS, CacheState

NOUN = {"write": "stores to", "read": "loads from", "fetch": "fetches from"}
COUNT = {0: "no frame", 1: "one frame", 2: "two frames"}


def start(s: CacheState) -> Beat:
    """Tell what there is before anything has happened."""
    why = (
        f"{{e|{SLOTS} slots, no frame in them}}. The frames to come are blank: each may become one stage-2 table of "
        "the guest, nothing else."
    )
    return Beat(actor="kern", fn="start of KVM", title=f"The memory cache of vCPU {s.vcpu} is empty", why=why)


def created(s: CacheState) -> Beat:
    """Tell the birth of the VM."""
    why = (
        "{c|A VM begins with its root table}: {e|two frames, straight from the allocator}. No lock is held, so this "
        "may sleep. The cache stays empty until a fault."
    )
    title = "The new guest has a root table and nothing else"
    return Beat(actor="kern", fn="kvm_alloc_stage2_pgd()", title=title, why=why, now=("al",), label="PUBLISH")


def armed(s: CacheState, k: int) -> Beat:
    """Tell an injected failure."""
    title = f"The {ordinal(k)} page allocation from now will fail" if k else "No page allocation will fail any more"
    why = (
        "In earnest one page {c|practically never} fails with GFP_KERNEL; this failure is {e|injected}, to see what "
        "stays."
    )
    return Beat(actor="host", fn="should_fail_alloc_page()", title=title, why=why, now=("fail",) if k else ("al",))


def trapped(s: CacheState, number: int) -> Beat:
    """Tell a fault."""
    a = s.access
    why = (
        "{c|The walk found no usable entry} for this page, so {e|KVM has to write one}. It cannot know yet how many "
        "tables are missing above it."
    )
    title = f"Fault {number}: the guest {NOUN[a['access']]} {a['ipa']:#x}"
    return Beat(actor="hw", fn="exit to Hyp mode", title=title, why=why, now=("zG",), label="WHO ASKED")


def topped_up(s: CacheState, a: Args) -> Beat:
    """Tell a top-up."""
    before = a["nobjs"] - a["taken"]
    have = "The cache is empty" if not before else f"Only {before} is left"
    why = (
        f"{{c|{have}}}, and a new path takes up to {a['min']}, so {{e|{a['taken']} frames are allocated}}. GFP_KERNEL "
        "may sleep here: no lock is held."
    )
    slots = tuple(f"s{slot}" for slot in range(before, a["nobjs"]))
    return Beat(
        actor="kern",
        fn=f"mmu_topup_memory_cache({a['min']}, {a['max']})",
        title=f"Before the lock: the cache is filled to {a['nobjs']}",
        why=why,
        now=(*slots, "al"),
        mark="top-up",
        label="IS THERE ROOM",
    )


def checked(s: CacheState, a: Args) -> Beat:
    """Tell a check that finds enough."""
    why = (
        f"{{c|{a['nobjs']} is not less than {a['min']}}}, so the top-up returns at once: {{e|nothing is allocated}}. "
        "It need not be full."
    )
    return Beat(
        actor="kern",
        fn=f"mmu_topup_memory_cache({a['min']}, {a['max']})",
        title=f"Before the lock: {a['nobjs']} frames are enough",
        why=why,
        cause=("tray",),
        label="IS THERE ROOM",
    )


def failed(s: CacheState, a: Args, before: int) -> Beat:
    """Tell a top-up that fails."""
    got = a["nobjs"] - before
    kept = (
        "It had got none"
        if not got
        else "{e|The one it had got is kept}"
        if got == 1
        else f"{{e|The {got} it had got are kept}}"
    )
    enough = f" That is no less than {a['min']}, and still an error." if a["nobjs"] >= a["min"] else ""
    why = (
        f"{{c|The allocator has no page}}, so the top-up ends with -ENOMEM. {kept}: {a['nobjs']} in the cache.{enough}"
    )
    slots = tuple(f"s{slot}" for slot in range(before, a["nobjs"]))
    return Beat(
        actor="kern",
        fn=f"mmu_topup_memory_cache({a['min']}, {a['max']})",
        title="An allocation fails: -ENOMEM",
        why=why,
        now=(*slots, "tray"),
        mark="failure",
        label="IS THERE ROOM",
    )


def locked(s: CacheState) -> Beat:
    """Tell the taking of the lock."""
    why = (
        "{c|A spinlock is held}, so {e|nothing may sleep until it is released}: no GFP_KERNEL. What is needed from "
        "here on lies in the tray."
    )
    return Beat(
        actor="kern",
        fn="spin_lock(&kvm->mmu_lock)",
        title="mmu_lock is taken, and the tray comes along",
        why=why,
        now=("lk",),
        label="MAY I STILL",
    )


def linked(s: CacheState, a: Args) -> Beat:
    """Tell a frame that becomes a table."""
    level, row = a["level"], s.row_of(a["table"])
    why = (
        f"{{c|Level {level} entry {a['index']} is empty}}, so {{e|the top frame of the tray}} becomes the level "
        f"{level + 1} table: 512 entries below it. {s.nobjs} are left."
    )
    return Beat(
        actor="kern",
        fn="mmu_memory_cache_alloc()",
        title=f"Slot {s.nobjs}: {a['table']:#x} becomes a level {level + 1} table",
        why=why,
        now=(f"s{s.nobjs}", *([] if row is None else [f"t{row}"])),
        label="PUBLISH",
    )


def none_missing(s: CacheState) -> Beat:
    """Tell a leaf for which every table is there."""
    why = (
        "{c|The level 2 and level 3 tables are there}, so only an entry is written: {e|the cache keeps its "
        f"{s.nobjs}}}. The guest's page itself is the host's."
    )
    return Beat(
        actor="kern",
        fn="stage2_set_pte()",
        title="No table is missing: no frame is taken",
        why=why,
        cause=("tray",),
        label="PUBLISH",
    )


def handled(s: CacheState, ret: int, taken: int, why: str = "") -> Beat:
    """Tell the end of a fault."""
    title = f"The fault took {COUNT[taken]}; {s.nobjs} left for the next"
    why = why or (
        "{c|The lock is released} and the guest goes on. What is left {e|stays for this vCPU's next fault}; it is "
        "filled again only below 2."
    )
    if ret < 0:
        title = f"KVM returns {ret}: the access is not done"
        why = (
            f"No table was touched and no lock taken. {{e|The cache keeps its {s.nobjs}}}, so another try starts there."
        )
    return Beat(
        actor="kern",
        fn="kvm_handle_guest_abort()",
        title=title,
        why=why,
        now=("tray",),
        label="TELL THE OTHERS",
    )


RETRIED = (
    "{c|The host changed a page meanwhile}, so nothing is mapped and the guest faults again. {e|The frames in the "
    "cache stay}."
)


def quick(s: CacheState, number: int, taken: int) -> Beat:
    """Tell a whole fault that is like the ones before it."""
    why = (
        f"{{c|There were enough before the lock}}, and {COUNT[taken]} became {'tables' if taken == 2 else 'a table'} "
        f"under it: {{e|{s.nobjs} are left}}."
    )
    if not taken:
        why = f"{{c|There were enough, and no table was missing}}: {{e|the cache keeps its {s.nobjs}}}."
    rows = tuple(f"t{(s.made - 1 - n) % ROWS}" for n in range(taken))
    slots = tuple(f"s{s.nobjs + n}" for n in range(taken))
    return Beat(
        actor="kern",
        fn="user_mem_abort()",
        title=f"Fault {number}: {COUNT[taken]} taken, {s.nobjs} left",
        why=why,
        now=(*rows, *slots, "tray"),
        label="IS THERE ROOM",
    )


def no_fault(s: CacheState) -> Beat:
    """Tell an access that reaches its page."""
    why = (
        "{c|The entry is there}, so the hardware reaches the page by itself: {e|KVM is not asked}, and nobody looks "
        "at the cache."
    )
    title = f"The guest {NOUN[s.access['access']]} {s.access['ipa']:#x}: no fault"
    return Beat(actor="guest", fn="guest code", title=title, why=why, now=("zG",), label="WHICH PAGE")


def not_ram(s: CacheState) -> Beat:
    """Tell an access outside of the guest's memory."""
    why = "{c|No memory slot holds this page}, so no entry will be written: {e|nobody looks at the cache}."
    title = f"{s.access['ipa']:#x} is not RAM: no table is needed"
    return Beat(actor="kern", fn="gfn_to_memslot()", title=title, why=why, now=("zG",), label="WHICH PAGE")


def other_vcpu(s: CacheState, vcpu: int) -> Beat:
    """Tell a fault of another vCPU."""
    why = f"{{c|Each vCPU has its own cache}}, so {{e|this one keeps its {s.nobjs}}}: two faults never share a tray."
    title = f"vCPU {vcpu} faults and uses its own cache"
    return Beat(actor="kern", fn="user_mem_abort()", title=title, why=why, now=("al",), label="IS THERE ROOM")


def ioremapped(s: CacheState) -> Beat:
    """Tell a device mapping."""
    why = (
        "{c|ioremap has a small cache of its own on the stack}, filled to 2 for each page, so {e|this one keeps its "
        f"{s.nobjs}}}."
    )
    title = "A device is mapped without this cache"
    return Beat(actor="kern", fn="kvm_phys_addr_ioremap()", title=title, why=why, now=("al",), label="IS THERE ROOM")


def unlinked(s: CacheState, count: int) -> Beat:
    """Tell tables that were freed."""
    tables = "A table goes" if count == 1 else f"{count} tables go"
    why = (
        "{c|The last entry of a table is gone}, so its frame is freed: {e|to the allocator, not to the cache}, "
        f"which keeps its {s.nobjs}."
    )
    if s.leaked:
        why = (
            "{c|Unmapping skips what lies behind a freed table}, so "
            f"{{e|{s.leaked} of the tables are leaked}}: in use for ever. The others go to the allocator."
        )
    return Beat(
        actor="kern",
        fn="clear_pmd_entry()",
        title=f"{tables} back to the allocator",
        why=why,
        now=("al",),
        label="IS THERE ROOM",
    )


def freed(s: CacheState, given_back: int) -> Beat:
    """Tell the end of the cache."""
    why = "{c|The VM is destroyed}, so what its vCPUs hold goes back: {e|last in, first out}."
    return Beat(
        actor="kern",
        fn="mmu_free_memory_cache()",
        title=f"The cache gives {given_back} back to the allocator",
        why=why,
        now=("tray", "al"),
        label="IS THERE ROOM",
    )


def ordinal(k: int) -> str:
    """Return a number as a place in a row.

    >>> ordinal(1), ordinal(22), ordinal(13)
    ('1st', '22nd', '13th')
    """
    end = "th" if k % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(k % 10, "th")
    return f"{k}{end}"
