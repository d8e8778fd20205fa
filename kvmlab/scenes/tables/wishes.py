"""Who asked for what, in words: the commands that may lead to a change of the tables."""

from __future__ import annotations

from collections.abc import Callable

from kvmlab.scenes.tables.words import VERBS, Args, Tale


def doing(name: str, a: Args) -> str:
    """Return a command in a few words, for the strip above the tables."""
    match name:
        case "access":
            value = f" {a['value']:#x}" if a["access"] == "write" else ""
            verb = VERBS[a["access"]].split()
            return f"guest {a['vm']} {verb[0]}{value} {verb[1]} IPA {a['ipa']:#x}"
        case "ioremap":
            return f"ioremap PA {a['pa']:#x}, {a['size']:#x} bytes, at IPA {a['ipa']:#x}"
        case "ksm_merge":
            return f"ksm_merge: guest {a['vm']} {a['hva']:#x}, guest {a['vm2']} {a['hva2']:#x}"
        case "create_vm" | "destroy_vm" | "add_slot" | "remove_slot" | "enter":
            return f"{name}: guest {a['vm']}"
        case _:
            rest = (f"{key} {value:#x}" for key, value in a.items() if key in ("hva", "size"))
            return ", ".join([f"{name}: guest {a['vm']}" if "vm" in a else name, *rest])


def access(a: Args) -> Tale:
    """Tell a guest's access that leads to the tables."""
    why = (
        "{c|No entry allows this access yet}, so the CPU traps to Hyp mode and {e|KVM works on the tables}. The fault "
        "panel shows that way step by step."
    )
    title = f"Guest {a['vm']} {VERBS[a['access']]} {a['ipa']:#x} and faults"
    return Tale(actor="guest", fn="guest code", title=title, why=why)


def ioremap(a: Args) -> Tale:
    """Tell the wish to map a device."""
    why = (
        f"{{c|A device at PA {a['pa']:#x}}} is to appear at {{e|IPA {a['ipa']:#x}}}. Its entries are written ahead: "
        "the guest need not fault for them."
    )
    title = f"KVM maps {a['size']:#x} bytes of a device into guest {a['vm']}"
    return Tale(actor="kern", fn="kvm_phys_addr_ioremap()", title=title, why=why)


def destroy_vm(a: Args) -> Tale:
    """Tell the wish to end a VM."""
    why = (
        "{c|Nobody will enter it again}, so {e|every table is to go back}. No lock is taken for it, and no TLB is "
        "flushed."
    )
    return Tale(actor="kern", fn="kvm_arch_destroy_vm()", title=f"Guest {a['vm']} is destroyed", why=why)


def _host(fn: str, title: str, why: str) -> Callable[[Args], Tale]:
    return lambda a: Tale(actor="host", fn=fn, title=title, why=why)


WISHES: dict[str, Callable[[Args], Tale]] = {
    "access": access,
    "ioremap": ioremap,
    "destroy_vm": destroy_vm,
    "swap_out": _host(
        "try_to_unmap_one()",
        "The host moves a page to swap",
        "{c|The host needs memory}: RAM is the host's. {e|Every table that points to the page} must stop doing so.",
    ),
    "discard": _host(
        "zap_page_range()",
        "The host throws pages away",
        "{c|The process gives the pages up}, so {e|no table may point to them} when the host uses them for others.",
    ),
    "protect": _host(
        "mprotect_fixup()",
        "The host changes the rights to its pages",
        "{c|The rights of the process change}, so {e|what the guest's entries say may be too much}: they must go.",
    ),
    "ksm_merge": _host(
        "try_to_merge_two_pages()",
        "The host puts one frame behind two equal pages",
        "{c|Two pages hold the same bytes}, so {e|one frame will do for both}, read-only from now on.",
    ),
    "host_write": _host(
        "do_wp_page()",
        "The host process writes to its memory",
        "{c|The page is shared, or not there}, so {e|another frame takes its place}; the guest's entry must follow.",
    ),
}
"""How a command begins that changes a table; those that are not here change none of themselves."""
