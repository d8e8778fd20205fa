"""How KVM handles a guest abort, in words: what it reads, takes, asks, tests and returns."""

from __future__ import annotations

from kvmlab.engine.hardware.syndrome import FSC_TYPE_MASK, decode_hsr
from kvmlab.scenes.beat import Args, Beat, Teller
from kvmlab.scenes.fault.stage import name
from kvmlab.scenes.moment import Moment, path_of


def resolved(m: Moment, a: Args) -> Beat:
    """Tell how Hyp mode finds the IPA of a permission fault."""
    why = (
        "{c|After a permission fault} HPFAR is not valid, so the code {e|translates the faulting address itself} "
        "and rebuilds the value for KVM."
    )
    return Beat(
        actor="kern",
        fn="guest_trap",
        title="HPFAR says nothing here, so Hyp code finds the IPA",
        why=why,
        now=("h.reg",),
    )


def guest_fault(m: Moment, a: Args) -> Beat:
    """Tell what KVM reads from HSR."""
    syndrome = decode_hsr(a["hsr"])
    kind = "fetch" if syndrome.fetch else "store" if syndrome.write else "load"
    code = a["hsr"] & FSC_TYPE_MASK
    why = (
        f"{{c|The FSC type in HSR is {code:#04x}: {syndrome.fault}}}. Its level is not looked at: KVM will "
        "{e|find out from the tables} what is missing."
    )
    if syndrome.fault == "permission":
        why = (
            f"{{c|The FSC type in HSR is {code:#04x}: permission}}. A page is there, but not the right; for a "
            "store {e|that can be mended}."
        )
    return Beat(
        actor="kern",
        fn="kvm_handle_guest_abort()",
        title=f"KVM reads HSR: {syndrome.fault} fault, on a {kind}",
        why=why,
        cause=("h.reg",),
        now=("zK",),
    )


def slot_found(m: Moment, a: Args) -> Beat:
    """Tell that the page is guest RAM."""
    why = (
        f"Slots say what is RAM. {{c|gfn {a['gfn']:#x}}} is in slot {a['slot']}, so the process that runs the "
        f"guest has {{e|its memory at hva {a['hva']:#x}}}."
    )
    return Beat(
        actor="kern",
        fn="gfn_to_memslot()",
        title=f"gfn {a['gfn']:#x} is in memory slot {a['slot']}: guest RAM",
        why=why,
        now=("o.hva",),
        cause=("h.reg",),
    )


def slot_missed(m: Moment, a: Args) -> Beat:
    """Tell that the page is not guest RAM."""
    why = (
        "{c|No slot holds this page}, so {e|there is no memory to map}. A load or store may be meant for a "
        "device; a fetch can only be a mistake."
    )
    return Beat(
        actor="kern",
        fn="gfn_to_memslot()",
        title=f"gfn {a['gfn']:#x} is in no memory slot: not RAM",
        why=why,
        cause=("h.reg",),
    )


def mmio(m: Moment, a: Args) -> Beat:
    """Tell the exit to user space."""
    do = "store" if a["write"] else "load"
    why = (
        f"HSR holds {{c|the register and the size}}, so {{e|user space can play the {do}}} without reading the "
        "instruction."
    )
    return Beat(
        actor="kern",
        fn="io_mem_abort()",
        title=f"The {do} of {a['size']} bytes goes to user space",
        why=why,
        now=("g.run",),
        cause=("h.reg",),
    )


def injected(m: Moment, a: Args) -> Beat:
    """Tell an abort that the guest gets."""
    why = (
        "{c|There is nothing to fetch from}, so KVM makes {e|the guest take a prefetch abort}, as if "
        "the bus had refused. Its own kernel handles that."
    )
    return Beat(
        actor="kern",
        fn="kvm_inject_pabt()",
        title="KVM injects a prefetch abort into the guest",
        why=why,
        now=("g.run",),
        cause=("h.reg",),
    )


def topped_up(m: Moment, a: Args) -> Beat:
    """Tell a top-up."""
    before = a["nobjs"] - a["taken"]
    why = (
        f"{{c|{before} in the cache}} is less than the {a['min']} a new path may need, so {{e|the cache is filled to "
        f"{a['nobjs']}}}. Later, under a spinlock, the kernel may not sleep."
    )
    slots = tuple(f"c{slot}" for slot in range(before, a["nobjs"]))
    return Beat(
        actor="kern",
        fn=f"mmu_topup_memory_cache({a['min']}, {a['max']})",
        title=f"Before any lock: the cache is filled to {a['nobjs']} pages",
        why=why,
        now=slots,
        cause=("k.cache",),
    )


def checked(m: Moment, a: Args) -> Beat:
    """Tell a top-up with nothing to do."""
    why = (
        f"{{c|{a['nobjs']} is not less than {a['min']}}}, so the top-up returns at once: {{e|no page is "
        "allocated}. It fills up only when the cache has run almost dry."
    )
    return Beat(
        actor="kern",
        fn=f"mmu_topup_memory_cache({a['min']}, {a['max']})",
        title=f"The cache still holds {a['nobjs']} pages: nothing to do",
        why=why,
        cause=("k.cache",),
    )


def topup_failed(m: Moment, a: Args) -> Beat:
    """Tell a top-up that fails."""
    why = (
        "{c|A page allocation failed}, so this {e|ends with -ENOMEM}, before the lock and any entry. What "
        f"the cache got so far ({a['nobjs']}) is kept."
    )
    return Beat(
        actor="kern",
        fn=f"mmu_topup_memory_cache({a['min']}, {a['max']})",
        title="No page left for the cache: -ENOMEM",
        why=why,
        now=("k.cache",),
        mark="error",
    )


def looked_up(m: Moment, a: Args) -> Beat:
    """Tell the host's answer."""
    if a["pfn"] < 0:
        why = (
            "{c|The host has no page here} that it may give, so the fault {e|ends with -EFAULT}. The cache keeps "
            "its pages."
        )
        return Beat(
            actor="host",
            fn="gfn_to_pfn_prot()",
            title="The host has no page to give",
            why=why,
            now=("o.hva",),
            mark="error",
        )
    rights = "writable" if a["writable"] else "read-only"
    why = (
        "{c|A store was asked for}, so the host gives {e|a page that may be written}. It is known now, but "
        "not mapped yet."
    )
    if not a["write_fault"]:
        why = (
            "{c|No store was asked for}, so the 3.9 host answers {e|read-only}. The page is known now, but not "
            "mapped yet."
        )
        if a["writable"]:
            why = (
                "{c|No store was asked for}, but this host checks further and {e|says writable}. The page is "
                "known now, but not mapped yet."
            )
    elif not a["writable"]:
        why = (
            "{c|A store was asked for}, but the host {e|answers read-only}. The page is known now, but not mapped yet."
        )
    page = name("p", path_of(a["gfn"] << 12))
    return Beat(
        actor="host",
        fn="gfn_to_pfn_prot()",
        title=f"The host names its page: pfn {a['pfn']:#x}, {rights}",
        why=why,
        now=(page,),
        cause=("o.hva",),
    )


def locked(m: Moment, a: Args) -> Beat | None:
    """Tell the taking of mmu_lock."""
    if a["lock"] != f"kvm[{m.vm}].mmu_lock":
        return None
    why = (
        "Until it is released {e|nobody else changes the tables}. Whoever holds a spinlock may not sleep, so no "
        "page is allocated from here on."
    )
    return Beat(actor="kern", fn="spin_lock(&kvm->mmu_lock)", title="KVM takes mmu_lock", why=why, now=("k.lk",))


def unlocked(m: Moment, a: Args) -> Beat | None:
    """Tell the release of mmu_lock."""
    if a["lock"] != f"kvm[{m.vm}].mmu_lock":
        return None
    why = (
        "{c|The tables are consistent}, so {e|others may change them again}. Hardware walkers never waited: they "
        "know of no lock."
    )
    return Beat(actor="kern", fn="spin_unlock(&kvm->mmu_lock)", title="KVM releases mmu_lock", why=why, now=("k.lk",))


def handled(m: Moment, a: Args) -> Beat:
    """Tell the return value."""
    title, why = (
        "KVM returns 1: the guest goes on",
        "{c|1 means resume}, so {e|the guest may go on}. 0 would be an exit to user space, a negative number an error.",
    )
    if m.retried:
        why = "{c|1 means resume}, not mapped: the guest runs the instruction again, and {e|that faults once more}."
    if a["ret"] == 0:
        title, why = (
            "KVM returns 0: exit to user space",
            "{c|Somebody else must finish this access}, so {e|the run call returns}, with what it takes to emulate it.",
        )
    elif a["ret"] < 0:
        title, why = (
            f"KVM returns {a['ret']}: an error",
            "{c|The fault could not be mended}, so {e|user space gets the error} and the guest does not go on.",
        )
    return Beat(actor="kern", fn="kvm_handle_guest_abort()", title=title, why=why, now=("zK",))


FAULT: dict[str, Teller] = {
    "hyp/resolved": resolved,
    "kvm_guest_fault": guest_fault,
    "slot/found": slot_found,
    "slot/missed": slot_missed,
    "mmio/exited": mmio,
    "inject_pabt": injected,
    "cache/topped_up": topped_up,
    "cache/checked": checked,
    "cache/failed": topup_failed,
    "page/looked_up": looked_up,
    "lock/taken": locked,
    "lock/released": unlocked,
    "abort/handled": handled,
}
