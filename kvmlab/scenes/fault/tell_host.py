"""What the host does with its pages and slots, in words."""

from __future__ import annotations

from kvmlab.scenes.beat import Args, Beat, Teller
from kvmlab.scenes.moment import Moment


def left(m: Moment, a: Args) -> Beat | None:
    """Tell that the guest leaves a CPU, unless it was a fault that made it leave: that is told already."""
    if not m.left:
        return None
    why = (
        "{c|The CPU is needed for something else}, so {e|the guest stops there}. Its tables and its memory stay as "
        "they are."
    )
    title = f"The guest leaves CPU {a['cpu']}"
    if m.by == "leave":
        title = f"The host takes CPU {a['cpu']} back from the guest"
    elif m.by == "destroy_vm":
        why = "{c|Its VM is about to go}, so {e|the guest stops}, and will not run again."
    return Beat(actor="kern", fn="kvm_arch_vcpu_ioctl_run()", title=title, why=why, now=("g.run",), label="WHO ASKED")


def slot_changed(m: Moment, a: Args) -> Beat | None:
    """Tell what Linux 3.9 does not do when a slot goes."""
    if a["npages"] or m.cleared:
        return None
    why = (
        "{c|Linux 3.9 does not unmap the slot's pages}, so {e|entries that were there stay}. The guest can use "
        "those frames even after the host has given them away."
    )
    return Beat(actor="kern", fn="kvm_set_memory_region()", title="The slot is gone, the tables are as before", why=why)


def leaked(m: Moment, a: Args) -> Beat | None:
    """Tell frames that are never given back."""
    if m.by != "destroy_vm":
        return None
    why = (
        f"{{c|Its reference count is still {a['page_count']}}}, so {{e|the allocator does not take it back}}. Nobody "
        "will free it later: it is lost."
    )
    title = f"The level 1 table at {a['pa']:#x} leaks"
    return Beat(actor="kern", fn="kvm_free_stage2_pgd()", title=title, why=why, now=("t",), mark="error")


def _stale(m: Moment) -> str:
    """Return what follows when KVM has not been told, "" when it has."""
    if m.told:
        return ""
    return (
        "{c|Nobody has told KVM}, as there are no MMU notifiers here. {e|If the guest has an entry for it, that still "
        "names the old frame}."
    )


def page_given(m: Moment, a: Args) -> Beat | None:
    """Tell a fresh page; inside a guest's fault the host's answer tells it."""
    if m.by not in ("swap_in", "host_write"):
        return None
    why = (
        "{c|The process had no page there}, so {e|the host gives it one}. No notifier is needed: KVM has mapped "
        "nothing there."
    )
    title = f"The host gives the process a page: pfn {a['pfn']:#x}"
    return Beat(actor="host", fn="do_anonymous_page()", title=title, why=why, now=("o.hva",))


def swapped_in(m: Moment, a: Args) -> Beat:
    """Tell that a page comes back."""
    why = (
        "{c|The page was in swap}, so {e|the host reads it into a frame}. It need not be the frame it had before: "
        "whoever maps it has to ask."
    )
    title = f"The page comes back from swap: pfn {a['pfn']:#x}"
    return Beat(actor="host", fn="do_swap_page()", title=title, why=why, now=("o.hva",))


def swapped_out(m: Moment, a: Args) -> Beat:
    """Tell that a page has gone."""
    why = _stale(m) or (
        f"{{c|Nobody maps pfn {a['pfn']:#x} any more}}, so {{e|its contents go to swap}} and the frame gets another "
        "use. A guest that wants the page has to fault."
    )
    return Beat(actor="host", fn="try_to_unmap_one()", title="The page is in swap now", why=why, now=("o.hva",))


def copied(m: Moment, a: Args) -> Beat:
    """Tell the end of a copy-on-write break."""
    why = _stale(m) or (
        f"{{c|Others still use pfn {a['old']:#x}}}, so {{e|the process gets a copy of its own}}. KVM was told: that "
        "has moved mmu_notifier_seq."
    )
    title = f"The host has copied the page to pfn {a['pfn']:#x}"
    return Beat(actor="host", fn="do_wp_page()", title=title, why=why, now=("o.hva",))


def reused(m: Moment, a: Args) -> Beat:
    """Tell a write-protected page that nobody shares."""
    why = (
        f"{{c|Nobody else uses pfn {a['pfn']:#x}}}, so {{e|the page is made writable where it is}}. Nothing is "
        "copied, and KVM does not have to know."
    )
    title = "The host finds no other user: no copy is needed"
    return Beat(actor="host", fn="do_wp_page()", title=title, why=why, now=("o.hva",))


def stored(m: Moment, a: Args) -> Beat:
    """Tell the end of a store by the host process."""
    why = (
        f"{{c|The process's page is pfn {a['pfn']:#x}}}, so {{e|the value is there}}. A guest that maps the same frame "
        "reads it without any fault."
    )
    title = f"The host process has stored {a['value']:#x} in pfn {a['pfn']:#x}"
    return Beat(actor="host", fn="host process", title=title, why=why, now=("o.hva",))


def discarded(m: Moment, a: Args) -> Beat:
    """Tell the end of a discard."""
    count = len(a["pfns"])
    why = _stale(m) or (
        "{c|Nobody maps them any more}, so {e|the frames can get another use}. A guest that comes back to these "
        "addresses faults, and finds zeros."
    )
    title = f"The host has freed {'1 frame' if count == 1 else f'{count} frames'}"
    return Beat(actor="host", fn="zap_page_range()", title=title, why=why, now=("o.hva",))


def protected(m: Moment, a: Args) -> Beat:
    """Tell the end of a change of rights."""
    right = "may be written again" if a["writable"] else "may not be written"
    why = _stale(m) or (
        "{c|The host's own entries are changed}, and no range is open any more. {e|The guest's next access faults} "
        "and asks again."
    )
    title = f"For the host process these pages {right}"
    return Beat(actor="host", fn="change_protection()", title=title, why=why, now=("o.hva",))


def write_protected(m: Moment, a: Args) -> Beat:
    """Tell that KSM has made a page read-only."""
    why = _stale(m) or (
        "{c|A page that can change under the comparison is of no use}, so {e|the host makes it read-only first}. KVM "
        "has unmapped it for the guest."
    )
    title = f"The host has made pfn {a['pfn']:#x} read-only"
    return Beat(actor="host", fn="write_protect_page()", title=title, why=why, now=("o.hva",))


def merged(m: Moment, a: Args) -> Beat:
    """Tell that a page now shows the shared frame."""
    why = _stale(m) or (
        f"{{c|pfn {a['pfn']:#x} holds the same bytes}}, so {{e|it stands behind this page now}}. It is read-only: the "
        "first store makes a copy."
    )
    title = f"hva {a['hva']:#x} now has the shared frame"
    return Beat(actor="host", fn="replace_page()", title=title, why=why, now=("o.hva",))


def not_merged(m: Moment, a: Args) -> Beat:
    """Tell that KSM gives up."""
    why = "{c|A page is in use, or has changed meanwhile}, so {e|nothing is merged}. KSM will come round again."
    return Beat(actor="host", fn="try_to_merge_two_pages()", title="KSM does not merge the pages", why=why)


HOST: dict[str, Teller] = {
    "kvm_exit": left,
    "slot/changed": slot_changed,
    "kernel/leaked": leaked,
    "host/page_given": page_given,
    "host/swapped_in": swapped_in,
    "host/swapped_out": swapped_out,
    "host/copied": copied,
    "host/reused": reused,
    "host/stored": stored,
    "host/discarded": discarded,
    "host/protected": protected,
    "host/write_protected": write_protected,
    "host/merged": merged,
    "host/not_merged": not_merged,
}
