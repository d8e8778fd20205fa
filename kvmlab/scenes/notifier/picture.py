"""What every part of the notifier scene's stage shows at one moment."""

from __future__ import annotations

from collections.abc import Iterable

from kvmlab.engine.host.mm import KSM, PRESENT, PROTECTED, SWAPPED, WRITABLE
from kvmlab.scenes.notifier.stage import HostPage, row
from kvmlab.scenes.notifier.state import Reach, State
from kvmlab.scenes.scene import Actor, Picture

RIGHTS = {"rw": "read-write", "ro": "read-only", "dev": "device"}
ZONES: dict[Actor, str] = {"guest": "zG", "kern": "zK", "host": "zO"}


def picture(state: State, pages: Iterable[HostPage], left_out: int, actor: Actor, notify: bool) -> Picture:
    """Return what every part shows at a moment in which `actor` acts.

    Args:
        state: the moment.
        pages: the pages that are drawn.
        left_out: how many are not.
        actor: who acts.
        notify: whether the kernel has CONFIG_MMU_NOTIFIER.
    """
    shown: Picture = {zone: ("on" if who == actor else "", "") for who, zone in ZONES.items()}
    shown["more"] = ("", f"{left_out} more {'page is' if left_out == 1 else 'pages are'} not drawn" if left_out else "")
    shown.update(_kernel(state, notify))
    for page in pages:
        shown.update(_page(state, page))
    return shown


def host_words(pte: int) -> str:
    """Return what a host page-table entry says.

    >>> host_words(0), host_words(0xA0000003)
    ('no page', 'writable')
    """
    if pte & PRESENT:
        return "writable" if pte & WRITABLE else "merged, read-only" if pte & KSM else "read-only"
    return "in swap" if pte & SWAPPED else "no page, no writing" if pte & PROTECTED else "no page"


def _page(state: State, page: HostPage) -> Picture:
    own = state.frame(page.hva)
    reached = {ipa: _live(state, page, ipa) for ipa in page.ipas}
    split = any(reach and reach.pfn != own for reach in reached.values())
    hows = {reach.how for reach in reached.values() if reach and reach.pfn == own}
    pte = state.pte(page.hva)
    css = "there" if own is not None else "gone"
    kind = "both" if hows - {"named"} else "named" if hows else "alone"
    shown: Picture = {
        f"h{page.hva:x}": (f"in {css}", ""),
        f"h{page.hva:x}.w": ("", host_words(pte)),
        f"lh{page.hva:x}": ("off" if own is None else "in", ""),
    }
    for part, wanted in ((f"f{page.hva:x}", not split), (f"d{page.hva:x}", split)):
        drawn = wanted and own is not None
        shown[part] = (f"in {kind}" if drawn else "off", "")
        shown[f"{part}.v"] = ("", f"{own:#x}" if drawn else "")
        shown[f"{part}.w"] = ("", _references(state, own, short=split) if drawn and own is not None else "")
    for ipa, reach in reached.items():
        shown.update(_row(state, page, ipa, reach, own, split))
    return shown


def _live(state: State, page: HostPage, ipa: int) -> Reach | None:
    """Return where a guest page leads, unless by now it shows another host page."""
    return state.reach(ipa) if state.hva_of(ipa) in (None, page.hva) else None


def _row(state: State, page: HostPage, ipa: int, reach: Reach | None, own: int | None, split: bool) -> Picture:
    slot, here = state.slot_of(ipa), state.hva_of(ipa) == page.hva
    mapped = reach is not None and reach.how != "named"
    apart = reach is not None and reach.pfn != own
    value = "" if not mapped else f"{reach.pfn << 12:#x}" if reach and reach.how == "dev" else f"{state.word(ipa):#x}"
    words = RIGHTS[reach.how] if reach and mapped else "empty" if state.has_table(ipa) else "empty, no table"
    want = " want" if state.asking == ipa and here else ""
    guest, entry, other = row("g", page, ipa), row("e", page, ipa), row("x", page, ipa)
    stale = mapped and state.stale(ipa, page.hva)
    return {
        guest: (f"in{want}", ""),
        f"{guest}.w": ("", f"slot {slot.id}" if slot and here else "elsewhere now" if slot else "no slot now"),
        entry: (f"in {reach.how if reach and mapped else 'inv'}{' old' if stale else ''}", ""),
        f"{entry}.v": ("", value),
        f"{entry}.w": ("", f"{words}, stale" if stale else words),
        row("lg", page, ipa): ("in" if mapped or want else "off", ""),
        row("le", page, ipa): ("in" if mapped and (apart or not split) else "off", ""),
        row("ll", page, ipa): ("in" if mapped and split and not apart else "off", ""),
        other: (f"in {_fate(state, reach)}" if reach and apart else "off", ""),
        f"{other}.v": ("", f"{reach.pfn:#x}" if reach and apart else ""),
        f"{other}.w": ("", _fate_words(state, reach) if reach and apart else ""),
    }


FATES = {"held": "pinned", "leaving": "let go", "dev": "device"}
"""By state, what has become of a frame that the guest leads to and the host does not."""


def _fate(state: State, reach: Reach) -> str:
    if reach.how == "dev":
        return "dev"
    if reach.how == "named":
        return "held" if state.pins(reach.pfn) else "stale"
    return "leaving" if state.leaving(reach.pfn) else "stale"


def _fate_words(state: State, reach: Reach) -> str:
    return FATES.get(_fate(state, reach)) or ("another's" if state.refs(reach.pfn) else "free")


def _references(state: State, pfn: int, *, short: bool) -> str:
    refs, pins = state.refs(pfn), state.pins(pfn)
    words = f"refs {refs}"
    return words if short or not pins else f"{words}, pins {pins}"


def _kernel(state: State, notify: bool) -> Picture:
    m, fault = state.moment, state.fault
    seq, count = m.cell("mmu_notifier_seq"), m.cell("mmu_notifier_count")
    sampled = fault.sampled if fault else None
    verdict = fault.verdict if fault else ""
    words, reason = {"map": ("MAP", "seq as sampled, count 0"), "retry": ("RETRY", "nothing is mapped")}.get(
        verdict, ("", "")
    )
    if verdict == "map" and not notify:
        reason = "nobody tells KVM"
    elif verdict == "map" and fault and (fault.sampled != seq or count):
        reason = "mapped all the same"
    who = "the host" if state.holder == "host" else state.holder.replace("cpu", "CPU ")
    return {
        "lk": ("held" if state.holder else "", ""),
        "lk.t": ("", f"mmu_lock held by {who}" if state.holder else "mmu_lock free"),
        "cfg": ("", "" if notify else "CONFIG_MMU_NOTIFIER is off: nobody tells KVM"),
        "smp": ("in", ""),
        "smp.t": ("", "" if sampled is None else str(sampled)),
        "sgn": ("", "" if sampled is None else "=" if sampled == seq else "≠"),
        "seq": ("in", ""),
        "seq.t": ("", str(seq)),
        "cnt": ("in", ""),
        "cnt.t": ("", str(count)),
        "vd": (verdict or "none", ""),
        "vd.t": ("", words),
        "vd.r": ("", reason),
    }
