"""What the commands that are no guest access mean, in words."""

from __future__ import annotations

from collections.abc import Callable

from kvmlab.scenes.beat import Args, Beat
from kvmlab.scenes.moment import Moment


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
        f"{{c|The host needs memory}} and takes the page at {{e|hva {a['hva']:#x}}}. Whoever maps it is told "
        "before it gets another use: KVM too."
    )
    return Beat(actor="host", fn="try_to_unmap_one()", title="The host moves a page to swap", why=why, now=("o.hva",))


def swap_in(m: Moment, a: Args) -> Beat:
    """Tell that the host brings a page back."""
    why = (
        f"The host process touches hva {a['hva']:#x}, so {{e|its page comes back}}. The guest's tables do not "
        "change by that."
    )
    return Beat(
        actor="host", fn="do_swap_page()", title="The host brings a page back from swap", why=why, now=("o.hva",)
    )


def destroy_vm(m: Moment, a: Args) -> Beat:
    """Tell the end of a VM."""
    why = (
        "{c|Nobody will enter the guest again}, so {e|its tables and cached pages} go back. Its VMID is not given back."
    )
    return Beat(actor="kern", fn="kvm_arch_destroy_vm()", title="The VM is destroyed", why=why, now=("zK",))


COMMANDS: dict[str, Callable[[Moment, Args], Beat]] = {
    "ioremap": ioremap,
    "swap_out": swap_out,
    "swap_in": swap_in,
    "destroy_vm": destroy_vm,
}
