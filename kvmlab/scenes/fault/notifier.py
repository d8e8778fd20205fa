"""How the host tells KVM that its memory changes, and how a fault finds that out, for the fault scene, in words."""

from __future__ import annotations

from kvmlab.scenes.beat import Args, Beat, Teller
from kvmlab.scenes.moment import Moment


def counted(m: Moment, a: Args) -> Beat:
    """Tell a change of mmu_notifier_seq or count."""
    (_, before), (seq, count) = m.counts
    if count > before:
        fn, title = "range_start()", f"The host opens a range: mmu_notifier_count is {count}"
        why = (
            f"{{c|The host is about to change pages}}, so count is {count}. {{e|Until the range is closed no fault "
            "may map anything} in this VM."
        )
    elif count < before:
        fn, title = "range_end()", f"The host closes the range: seq is {seq}, count {count}"
        why = (
            "{c|The host's own entries are changed}, so faults may map again. {e|seq has moved}: a fault that looked "
            "its page up before must start over."
        )
    elif m.by == "swap_out":
        fn, title = "page()", f"The host tells KVM of one page: mmu_notifier_seq is {seq}"
        why = (
            "{c|The host has taken the page out of its own table}. {e|seq moves}, so a fault that looked a page up "
            "before this will not map it."
        )
    else:
        title = f"The host changes its own entry: mmu_notifier_seq is {seq}"
        why = (
            "{c|Another frame or another right stands there now}. {e|seq moves}, and as this happens inside an open "
            "range, count keeps faults out too."
        )
        fn = "kvm_mmu_notifier_change_pte()"
        return Beat(actor="kern", fn=fn, title=title, why=why, now=("k.seq",))
    return Beat(actor="kern", fn=f"kvm_mmu_notifier_invalidate_{fn}", title=title, why=why, now=("k.seq",))


def unmap(m: Moment, a: Args) -> Beat:
    """Tell the look-up of guest pages for a host address."""
    first = a.get("hva", a.get("start", 0))
    why = (
        "{c|The host speaks of hva}, the tables are indexed by IPA. {e|Each slot is searched}: one that shows the "
        "page gives a gfn, and that is unmapped."
    )
    fn = "kvm_unmap_hva()" if "hva" in a else "kvm_unmap_hva_range()"
    return Beat(actor="kern", fn=fn, title=f"KVM looks for guest pages at hva {first:#x}", why=why, now=("o.hva",))


def set_spte(m: Moment, a: Args) -> Beat:
    """Tell that KVM is to map another frame."""
    why = (
        "{c|The host has said which frame comes next}. KVM maps it read-only, but {e|only where a level 3 table is "
        "still there}: it may not allocate one here."
    )
    title = "KVM looks for the guest pages to map anew"
    return Beat(actor="kern", fn="kvm_set_spte_hva()", title=title, why=why, now=("o.hva",))


def ignored(m: Moment, a: Args) -> Beat:
    """Tell a page that change_pte does not map."""
    why = (
        f"{{c|There is no level {a['level'] + 1} table}} for IPA {a['ipa']:#x}, and no cache to take one from, so "
        "{e|nothing is written}. A fault will map the page."
    )
    return Beat(actor="kern", fn="stage2_set_pte()", title="No table for this page: nothing is mapped", why=why)


def sampled(m: Moment, a: Args) -> Beat:
    """Tell the sampling of the sequence number."""
    why = (
        "The host may take pages back while this fault looks one up. If {e|seq} has moved by the time the lock "
        "is held, the fault is tried again."
    )
    return Beat(
        actor="kern",
        fn="user_mem_abort()",
        title=f"KVM remembers mmu_notifier_seq: {a['seq']}",
        why=why,
        now=("k.seq",),
    )


def passed(m: Moment, a: Args) -> Beat:
    """Tell a retry test that finds nothing."""
    why = (
        f"seq was {a['sampled']} and {{c|is {a['seq']}, count is {a['count']}}}: the host took nothing back "
        "meanwhile, so {e|the page is still the right one}."
    )
    if a["sampled"] != a["seq"] or a["count"]:
        why = (
            f"seq was {a['sampled']} and {{c|is {a['seq']}, count is {a['count']}}}: the host changed something, "
            "yet {e|this test lets it pass}."
        )
    return Beat(
        actor="kern",
        fn="mmu_notifier_retry()",
        title="The retry test passes: the page may be mapped",
        why=why,
        now=(),
        cause=("k.seq",),
    )


def retried(m: Moment, a: Args) -> Beat:
    """Tell a retry test that stops the fault."""
    why = (
        f"seq was {a['sampled']} and {{c|is {a['seq']}}}: the host has changed some page of this VM since then, so "
        "{e|nothing is mapped}. The guest will fault once more."
    )
    if a["count"]:
        why = (
            f"{{c|count is {a['count']}}}: the host is in the middle of changing pages of this VM, so {{e|nothing is "
            "mapped}. The guest will fault once more."
        )
    return Beat(
        actor="kern",
        fn="mmu_notifier_retry()",
        title="The retry test fails: nothing is mapped",
        why=why,
        now=(),
        cause=("k.seq",),
        mark="retry",
    )


NOTIFIER: dict[str, Teller] = {
    "notifier/counted": counted,
    "kvm_unmap_hva": unmap,
    "kvm_unmap_hva_range": unmap,
    "kvm_set_spte_hva": set_spte,
    "tables/ignored": ignored,
    "notifier/sampled": sampled,
    "notifier/passed": passed,
    "notifier/retried": retried,
}
