"""The host's half of the notifier scene, in words: what it wants, what its entries do, and what KVM is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvmlab.engine.host.mm import KSM, PRESENT, PROTECTED, SWAPPED, WRITABLE
from kvmlab.scenes.beat import Args, Beat
from kvmlab.scenes.notifier.questions import Asks
from kvmlab.scenes.notifier.state import State

PLACES = {
    "before the sample": "before KVM samples the sequence",
    "before the look-up": "between the sample and the look-up",
    "before the lock": "between the look-up and mmu_lock",
    "after the test": "when the test is done",
}


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Return a number with its noun.

    >>> plural(1, "entry", "entries"), plural(2, "flush", "flushes"), plural(0, "page")
    ('1 entry', '2 flushes', '0 pages')
    """
    return f"{count} {noun if count == 1 else nouns or noun + 's'}"


def wish(state: State, name: str, a: Args, notify: bool) -> Beat | None:
    """Tell a command to the host."""
    told = "and then KVM is told" if notify else "and nobody tells KVM"
    fn, title, why = "host process", "", ""
    if name == "swap_out":
        fn, title = "try_to_unmap_one()", f"The host wants the frame of {a['hva']:#x} back"
        why = f"{{c|Memory is short}}. The host asks nobody: {{e|its own entry goes first}}, {told}."
    elif name == "swap_in":
        title = f"The host process touches {a['hva']:#x}"
        why = "{c|If its entry has no page}, {e|the host gives it one}. The guest's tables do not change by that."
    elif name == "discard":
        fn, title = (
            "zap_page_range()",
            f"The host throws {plural(a['size'] >> 12, 'page')} away, from {a['hva']:#x}",
        )
        why = (
            f"{{c|A balloon or madvise wants it}}: {{e|the host's entries are cleared}}, {told}. The next touch finds "
            "zeros."
        )
    elif name == "protect":
        fn, title = "mprotect_fixup()", f"The process changes its rights from {a['hva']:#x} on"
        why = f"{{c|mprotect}} changes {{e|{plural(a['size'] >> 12, 'host entry', 'host entries')}}}; {told}."
        if notify:
            why = why.replace("and then KVM is told", "KVM is told before and after")
    elif name == "ksm_merge":
        fn, title = "try_to_merge_two_pages()", "KSM has found two equal pages"
        why = "{c|Both are made read-only first}, so that they stay equal; then {e|one frame is to serve both}."
    elif name == "host_write":
        title = f"The host process stores {a['value']:#x} at {a['hva']:#x}"
        why = "{c|If its entry is read-only}, {e|the page is copied or given back its right to write} before the store."
    elif name == "race":
        title = "The guest's access and the host's change run at once"
        act = a["host"].replace("_", " ").replace("ksm", "KSM")
        why = f"{{c|Two CPUs, no lock between them}}: {act} acts {{e|{PLACES[a['at']]}}}."
    else:
        return None
    return Beat(actor="host", fn=fn, title=title, why=why, now=_hosts(state, a), label="WHO ASKED")


def _hosts(state: State, a: Args) -> tuple[str, ...]:
    first = a.get("hva")
    return () if first is None else (f"h{first & ~0xFFF:x}",)


def entry_changed(state: State, changes: Sequence[tuple[int, int, int]], given: str) -> Beat:
    """Tell writes to the host's page table: (hva, old, new), at least one.

    Args:
        state: after them.
        changes: the writes.
        given: "swapped_in" or "page_given" if that is where the page comes from.
    """
    hva, old, new = changes[0]
    pfn, was = new >> 12, old >> 12
    one = len(changes) == 1
    where = f"entry for hva {hva:#x}" if one else f"entries for {len(changes)} pages"
    fn, label = "host process", "PUBLISH"
    if given == "swapped_in":
        fn, title = "do_swap_page()", f"The page comes back from swap, into frame {pfn:#x}"
        why = f"{{c|The page was in swap}}, so {{e|a new frame is filled}} and hva {hva:#x} names it."
    elif given:
        fn, title = "do_anonymous_page()", f"The host gives {hva:#x} a frame: {pfn:#x}"
        why = "{c|No page was there}: {e|the host's entry now names a fresh one}, with one reference, the entry's own."
    elif not new & PRESENT and old & PRESENT:
        title = f"The host's {where} {'is' if one else 'are'} cleared"
        why = (
            "{c|The host does not wait for the guest}: {e|its own entry goes}. What stage 2 says is another table's "
            "matter."
        )
        fn = "try_to_unmap_one()" if new & SWAPPED else "zap_page_range()"
    elif new & PRESENT and old & PRESENT and pfn != was:
        merge = bool(new & KSM)
        fn = "replace_page()" if merge else "do_wp_page()"
        title = f"The host puts frame {pfn:#x} behind {hva:#x}"
        reason = "One of two equal frames is enough" if merge else "The page was shared and is written to"
        then = "both name one frame" if merge else "this process gets a copy of its own"
        why = f"{{c|{reason}}}, so {{e|{then}}}. Frame {was:#x} loses this reference."
    elif new & KSM and not old & KSM:
        fn, title = "replace_page()", f"The host marks {hva:#x} as merged"
        why = f"{{c|Its frame, {pfn:#x}, is the one that stays}}: {{e|from now on a store gets a copy}}."
    else:
        more = bool(new & WRITABLE) and not old & WRITABLE
        fn = "change_protection()" if (old | new) & PROTECTED else "do_wp_page()" if more else "write_protect_page()"
        title = f"The host's {where} {'gets' if one else 'get'} other rights"
        why = "{c|The frame stays}; " + (
            "{e|the process may write to it again}." if more else "{e|the process may not write to it now}."
        )
    now = tuple(f"h{change[0]:x}" for change in changes)
    return Beat(actor="host", fn=fn, title=title, why=why, now=now, label=label)  # type: ignore[arg-type]


def freed(state: State, pfns: Sequence[int], reached: Sequence[tuple[int, int, int]], asks: Asks) -> Beat:
    """Tell that frames have lost their last reference.

    Args:
        state: after that.
        pfns: the frames, at least one.
        reached: the guest pages that still lead there: (ipa, hva, pfn).
        asks: what may be asked.
    """
    pfn = pfns[0]
    if reached:
        ipa, _, pfn = reached[0]
        return Beat(
            actor="host",
            fn="put_page()",
            title=f"Frame {pfn:#x} is free, and still mapped",
            why=f"{{c|No notifier cleared the entry}}, so {{e|IPA {ipa:#x} leads to a frame that may be "
            "anybody's}: what the guest reads there is not its memory any more.",
            now=tuple(f"{kind}{hva:x}.{ipa:x}" for ipa, hva, _ in reached for kind in "xe"),
            mark="stale",
            ask=asks.given_away(state, pfn, ipa),
        )
    return Beat(
        actor="host",
        fn="put_page()",
        title=f"Frame {pfn:#x} is free" if len(pfns) == 1 else f"{len(pfns)} frames are free, {pfn:#x} and others",
        why="{c|The last reference is gone}: {e|the host can use it for anybody}. No page drawn here leads there.",
    )


def stored(state: State, a: Args) -> Beat:
    """Tell the host's own store."""
    return Beat(
        actor="host",
        fn="host process",
        title=f"{a['value']:#x} is stored in frame {a['pfn']:#x}",
        why=f"{{c|hva {a['hva']:#x} leads there}} in the host's own table, and {{e|a guest page sees it if it leads "
        "to the same frame}}.",
        now=(f"f{a['hva'] & ~0xFFF:x}", f"d{a['hva'] & ~0xFFF:x}"),
    )


def not_merged(state: State, a: Args) -> Beat:
    """Tell that KSM gave up."""
    return Beat(
        actor="host",
        fn="try_to_merge_two_pages()",
        title=f"KSM leaves {a['pfn']:#x} and {a['other']:#x} as they are",
        why="{c|Somebody holds one of them pinned, or they are equal no more}, so {e|each page keeps its frame}.",
    )


MARKS: dict[str, Callable[[State, Args], Beat]] = {"host/stored": stored, "host/not_merged": not_merged}
"""Marks that need nothing but the state."""
