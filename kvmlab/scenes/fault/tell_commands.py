"""What the commands that are no guest access mean, in words."""

from __future__ import annotations

from kvmlab.scenes.beat import Args, Beat, Teller
from kvmlab.scenes.moment import Moment


def pages(size: int) -> str:
    """Return a size in bytes as a number of pages, in words.

    >>> pages(4096), pages(8192)
    ('1 page', '2 pages')
    """
    return "1 page" if size >> 12 == 1 else f"{size >> 12} pages"


def ioremap(m: Moment, a: Args) -> Beat:
    """Tell the wish to map a device."""
    why = (
        f"The device at {{c|PA {a['pa']:#x}}} is to appear at {{e|IPA {a['ipa']:#x}}}. The guest does not have to "
        "fault for it: KVM writes the entries ahead."
    )
    title = f"KVM maps {a['size']:#x} bytes of a device into the guest"
    return Beat(actor="kern", fn="kvm_phys_addr_ioremap()", title=title, why=why, now=("zK",))


def swap_out(m: Moment, a: Args) -> Beat:
    """Tell that the host wants a page for something else."""
    why = (
        f"{{c|The host needs memory}} and takes the page at {{e|hva {a['hva']:#x}}}. The guest is not asked, "
        "and need not notice."
    )
    return Beat(actor="host", fn="try_to_unmap_one()", title="The host moves a page to swap", why=why, now=("o.hva",))


def swap_in(m: Moment, a: Args) -> Beat:
    """Tell that the host process uses a page."""
    why = (
        "{c|If the page is in swap, or was never there}, {e|the host brings it in}. The guest's tables do not "
        "change by that: the guest has to fault."
    )
    title = f"The host process touches its page at hva {a['hva']:#x}"
    return Beat(actor="host", fn="host process", title=title, why=why, now=("o.hva",))


def discard(m: Moment, a: Args) -> Beat:
    """Tell that the host process throws memory away."""
    why = (
        f"{{c|User space gives up}} what is at hva {a['hva']:#x}. {{e|The host takes the frames back}}; the next "
        "touch finds zeros."
    )
    title = f"The host throws {pages(a['size'])} of guest memory away"
    return Beat(actor="host", fn="zap_page_range()", title=title, why=why, now=("o.hva",))


def protect(m: Moment, a: Args) -> Beat:
    """Tell a change of what the host process may do."""
    title = f"The host process gets the right to write to {pages(a['size'])}"
    why = (
        "{c|The process's own right changes}, and the guest's memory is the process's. {e|What is mapped for the "
        "guest must follow}."
    )
    if not a["writable"]:
        title = f"The host process loses the right to write to {pages(a['size'])}"
    return Beat(actor="host", fn="mprotect_fixup()", title=title, why=why, now=("o.hva",))


def ksm_merge(m: Moment, a: Args) -> Beat:
    """Tell that KSM found equal pages."""
    why = (
        f"{{c|Both hold the same bytes}}: hva {a['hva']:#x} and {a['hva2']:#x}. {{e|One frame is enough}}, read-only: "
        "whoever writes gets a copy."
    )
    title = "KSM puts one frame behind two equal pages"
    return Beat(actor="host", fn="try_to_merge_two_pages()", title=title, why=why, now=("o.hva",))


def host_write(m: Moment, a: Args) -> Beat:
    """Tell a store by the host process itself."""
    why = (
        f"{{c|Guest memory is memory of this process}}, at hva {a['hva']:#x}. {{e|It uses the host's own tables}}; "
        "the guest's are not walked for this."
    )
    title = f"The host process stores {a['value']:#x} into guest memory"
    return Beat(actor="host", fn="host process", title=title, why=why, now=("o.hva",))


def host_touch(m: Moment, a: Args) -> Beat | None:
    """Tell that the host uses a CPU for itself."""
    if not m.cell("pgd"):
        return None
    why = (
        "{c|The host's own entries carry VMID 0}, so {e|they stand beside the guest's in the TLB}. Neither can hit "
        "for the other; nothing is flushed."
    )
    title = f"The host uses an address of its own on CPU {a['cpu']}"
    return Beat(actor="host", fn="host process", title=title, why=why, now=("g.run",))


def enter(m: Moment, a: Args) -> Beat:
    """Tell that user space lets a vCPU run."""
    why = (
        f"{{c|Its thread calls KVM_RUN}} for vCPU {a['vcpu']}, so {{e|KVM enters the guest}}. First it makes sure "
        "that the VM has a VMID of this generation."
    )
    title = f"User space lets the guest run on CPU {a['cpu']}"
    return Beat(actor="host", fn="user space", title=title, why=why, now=("g.run",))


def fail_alloc(m: Moment, a: Args) -> Beat | None:
    """Tell a failure that is ordered."""
    if not m.cell("pgd"):
        return None
    title = {0: "No page allocation is made to fail any more", 1: "The next page allocation will fail"}.get(
        a["k"], f"Page allocation number {a['k']} from now on will fail"
    )
    why = (
        "{c|A single page hardly ever fails in Linux}, so this failure is made on demand: {e|to see what the kernel "
        "does then}, and what it keeps."
    )
    return Beat(actor="host", fn="should_fail_alloc_page()", title=title, why=why, now=("zK",))


def add_slot(m: Moment, a: Args) -> Beat:
    """Tell a new memory slot."""
    ipa, size, hva = a["slot"]
    why = (
        f"{{c|A slot is a promise}}: IPA {ipa:#x} is hva {hva:#x} of the process. {{e|Nothing is mapped by it}}: "
        "entries come fault by fault."
    )
    title = f"User space gives the VM {pages(size)} more memory"
    return Beat(actor="host", fn="kvm_set_memory_region()", title=title, why=why, now=("zO",))


def remove_slot(m: Moment, a: Args) -> Beat:
    """Tell that a memory slot goes."""
    why = (
        "{c|Without the slot} its guest addresses are no memory for KVM: {e|a fault there will find none}, and the "
        "host's notifiers find no guest page."
    )
    title = f"User space takes memory slot {a['slot']} away"
    return Beat(actor="host", fn="kvm_set_memory_region()", title=title, why=why, now=("zO",))


def destroy_vm(m: Moment, a: Args) -> Beat:
    """Tell the end of a VM."""
    why = (
        "{c|Nobody will enter the guest again}, so {e|its tables and cached pages} go back. Its VMID is not given back."
    )
    return Beat(actor="kern", fn="kvm_arch_destroy_vm()", title="The VM is destroyed", why=why, now=("zK",))


COMMANDS: dict[str, Teller] = {
    "ioremap": ioremap,
    "swap_out": swap_out,
    "swap_in": swap_in,
    "discard": discard,
    "protect": protect,
    "ksm_merge": ksm_merge,
    "host_write": host_write,
    "host_touch": host_touch,
    "enter": enter,
    "fail_alloc": fail_alloc,
    "add_slot": add_slot,
    "remove_slot": remove_slot,
    "destroy_vm": destroy_vm,
}
"""The wish that a command begins with. A guest's access begins when the guest runs, a new VM with its
first table, and ``leave`` when the guest leaves."""
