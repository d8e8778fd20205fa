"""Questions before the steps of the fault scene: what will happen? Right and wrong answers come from the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from kvmlab.engine.hardware.descriptor import ADDRESS_MASK, permits
from kvmlab.engine.hardware.syndrome import FSC_TYPE_MASK, FSC_TYPES
from kvmlab.scenes.beat import Args
from kvmlab.scenes.fault.tell_hardware import NOUN
from kvmlab.scenes.moment import Moment, leaf_kind
from kvmlab.scenes.question import Question, question

TIMES, APART = 2, 2
"""How often a question of one kind is asked in a run, and how many steps lie at least from a question to the next."""

Ask = Callable[[Moment, Args], Question | None]


class Asker:
    """Chooses the questions of a run: of those that suit an event the one that was asked least, and none too often."""

    def __init__(self) -> None:
        """Begin with nothing asked."""
        self._asked: Counter[Ask] = Counter()
        self._command: dict[Ask, int] = {}
        self._step = -APART

    def about(self, name: str, m: Moment, a: Args, step: int, command: int) -> Question | None:
        """Return what may be asked before an event is shown.

        Args:
            name: of the event.
            m: the state right after it.
            a: its values.
            step: the number that its step will have.
            command: the number of its command; in one command no question comes twice.
        """
        if step - self._step < APART:
            return None
        for ask in sorted(ASKS.get(name, ()), key=lambda one: self._asked[one]):
            if self._asked[ask] < TIMES and self._command.get(ask) != command and (made := ask(m, a)):
                self._asked[ask] += 1
                self._command[ask], self._step = command, step
                return made
        return None


def who_notices(m: Moment, a: Args) -> Question | None:
    """Ask what a TLB miss leads to."""
    return question(
        f"The TLB has nothing for page {a['ipa'] >> 12:#x}. Who looks the page up now?",
        "the hardware, in the tables",
        [("the kernel: a TLB miss traps", "M07"), ("the guest's own fault handler", "M08")],
        "A TLB miss is the hardware's own business: it walks the tables. Software hears of it only if the walk fails.",
    )


def where_it_ends(m: Moment, a: Args) -> Question | None:
    """Ask at which level the walk breaks off."""
    at = a["level"]
    if a["fault"] != "translation" or at == 3:
        return None
    others = [(f"level {n}", "") for n in (1, 2, 3) if at < n]
    return question(
        f"The hardware walks the tables for IPA {a['ipa']:#x}. Where does the walk end?",
        f"level {at}",
        [*others, ("it finds the page", "M03")],
        f"Only entries that an earlier fault or ioremap wrote are there, and at level {at} this one is still zero.",
    )


def may_it(m: Moment, a: Args) -> Question | None:
    """Ask what a store to a page that was only read leads to."""
    if a["fault"] != "permission":
        return None
    return question(
        f"The page of IPA {a['ipa']:#x} is mapped. The guest makes a {NOUN[m.access['access']]} there. What happens?",
        "a permission fault",
        [("the access is done: the page is mapped", "M12"), ("a translation fault", "")],
        "The page is there, but its HAP bits say read only. A read does not map the page for writing on 3.9.",
    )


def who_handles(m: Moment, a: Args) -> Question | None:
    """Ask who gets control."""
    return question(
        "The look-up failed. Who gets control now?",
        "KVM, by way of Hyp mode",
        [
            ("the guest's own fault handler", "M08"),
            ("the host's page fault handler", ""),
            ("nobody: the walker adds the entry", "M07"),
        ],
        "A stage-2 fault goes to Hyp mode and from there to KVM. The guest is not told: it will just run on.",
    )


def what_hpfar_holds(m: Moment, a: Args) -> Question | None:
    """Ask for HPFAR."""
    ipa, gfn = m.access["ipa"], m.access["ipa"] >> 12
    if a["hsr"] & FSC_TYPE_MASK == FSC_TYPES["permission"] or not gfn:
        return None
    return question(
        f"The guest touched IPA {ipa:#x}. What will HPFAR hold?",
        f"{a['hpfar']:#x}",
        [(f"{ipa:#x}", "M13"), (f"{gfn:#x}", "M13")],
        "Bits 31:4 of HPFAR hold IPA bits 39:12, so it is the page number times 16. The low 12 bits are in HxFAR.",
    )


def how_full(m: Moment, a: Args) -> Question | None:
    """Ask what a top-up does."""
    before, least, most = a["nobjs"] - a.get("taken", 0), a["min"], a["max"]
    if least == most:
        return None
    return question(
        f"The cache holds {before} of {most} pages, and a fault begins. How many after the top-up?",
        f"{a['nobjs']}",
        [(f"{before}", ""), (f"{least}", ""), (f"{most}", "M29")],
        f"Only when fewer than {least} are left is it filled, and then to {most}: a fault takes at most two.",
    )


def which_right(m: Moment, a: Args) -> Question | None:
    """Ask how a page that is only read will be mapped."""
    if a["write_fault"] or a["pfn"] < 0:
        return None
    words = {False: "read only", True: "read and write"}
    because = (
        "On 3.9 ARM the host answers a load or fetch with read only, whatever the page allows. A store faults again."
    )
    if a["writable"]:
        because = "This host has the later, fast look-up: for a load too it finds out that the page may be written."
    return question(
        f"The guest makes a {NOUN[m.access['access']]}, and the host has the page. With which right may KVM map it?",
        words[a["writable"]],
        [(words[not a["writable"]], "" if a["writable"] else "M12"), ("none: only a store maps a page", "M03")],
        because,
    )


def what_entry_holds(m: Moment, a: Args) -> Question | None:
    """Ask for the descriptor."""
    if a["old"] & 3 or m.by != "access" or m.hva is None or leaf_kind(a["new"]) == "dev":
        return None
    pa, low = a["new"] & ADDRESS_MASK, a["new"] & 0xFFF
    return question(
        f"IPA {a['ipa']:#x}, hva {m.hva:#x}, pfn {pa >> 12:#x}: what does the entry hold?",
        f"{a['new']:#x}",
        [(f"{pa:#x}", "M06"), (f"{m.hva | low:#x}", "M02"), (f"{a['ipa'] & ADDRESS_MASK | low:#x}", "M01")],
        f"The PA of the frame, and in the low 12 bits type, rights and attributes: {low:#x}. No hva, no IPA.",
    )


def how_many_flushes(m: Moment, a: Args) -> Question | None:
    """Ask whether a new entry needs a flush."""
    if not m.wrote or m.flushes or a["lock"] != f"kvm[{m.vm}].mmu_lock":
        return None
    return question(
        "An empty entry now names a page. How does KVM flush the TLB before it lets go of the lock?",
        "not at all",
        [("that page only", "M18"), ("the whole VMID", "M18")],
        "From absent to present nothing has to go: TLBs do not keep the fact that there was no entry.",
    )


def what_goes(m: Moment, a: Args) -> Question | None:
    """Ask what a flush takes away."""
    if a["scope"] != "vmid":
        return None
    return question(
        "A TLB may hold the old translation of one page, so KVM flushes. What goes?",
        f"all TLB entries of VMID {a['vmid']}, on all CPUs",
        [("that page's TLB entry, on this CPU", "M19"), ("the guest's table entries", "M16")],
        "ARMv7 has no flush by IPA, so 3.9 drops all that carries the VMID, on every CPU. No table changes by it.",
    )


def may_it_map(m: Moment, a: Args) -> Question | None:
    """Ask what a retry test says."""
    return question(
        f"seq was {a['sampled']} at first and is {a['seq']}, count is {a['count']}. What does the fault do?",
        "it maps nothing and returns",
        [
            ("it maps the page that it looked up", "M33"),
            ("it looks the page up again at once", "M39"),
            ("it maps the page: another one changed", "M37"),
        ],
        "seq and count are the VM's, not the page's: any change may concern this one. The guest will fault once more.",
    )


def is_it_mapped(m: Moment, a: Args) -> Question | None:
    """Ask what the return value says of the page after a retry."""
    if not m.retried:
        return None
    return question(
        "The test failed, yet KVM returns 1. Is the page mapped now?",
        "no: the guest will fault once more",
        [("yes: 1 means that it was handled", "M15"), ("no, but KVM tries again before it returns", "M39")],
        "1 only lets the guest go on. Nothing is mapped, so the same instruction faults again, from the beginning.",
    )


def what_return_means(m: Moment, a: Args) -> Question | None:
    """Ask what follows from the return value."""
    follows = {1: "the guest goes on", 0: "the run call returns to user space"}
    error = "user space gets an error"
    right = follows.get(a["ret"], error)
    others = [(words, "M10") for words in (*follows.values(), error) if words != right]
    because = "1 resumes the guest, 0 goes to user space, a negative number is an error that user space gets."
    return question(f"kvm_handle_guest_abort() returns {a['ret']}. What follows?", right, others, because)


def how_it_ends(m: Moment, a: Args) -> Question | None:
    """Ask how an access outside of memory ends."""
    fetch = m.access["access"] == "fetch"
    emulated, aborted = "user space emulates a device", "the guest takes a prefetch abort"
    return question(
        f"No memory slot holds this address, and it was a {NOUN[m.access['access']]}. How does it end?",
        aborted if fetch else emulated,
        [(emulated if fetch else aborted, ""), ("the VM is stopped with an error", "M11"), ("KVM maps a new page", "")],
        "There is nothing to fetch from: the guest's own kernel has to deal with it."
        if fetch
        else "A hole may be a device: the load or store goes to user space, with what HSR says about it.",
    )


def how_many_faults(m: Moment, a: Args) -> Question | None:
    """Ask how often an access faults that the TLB can answer."""
    if not permits(a["descriptor"], m.access["access"]):
        return None
    return question(
        f"The guest makes a {NOUN[m.access['access']]} in page {a['ipa'] >> 12:#x}, which is mapped. How many faults?",
        "0",
        [("1", ""), ("3", "")],
        "The TLB holds the translation and its rights, so the access goes straight to the PA. KVM hears nothing.",
    )


ASKS: dict[str, tuple[Ask, ...]] = {
    "tlb/missed": (who_notices,),
    "tlb/hit": (how_many_faults,),
    "walk/faulted": (where_it_ends, may_it),
    "cpu/trapped": (who_handles, what_hpfar_holds),
    "cache/topped_up": (how_full,),
    "cache/checked": (how_full,),
    "page/looked_up": (which_right,),
    "tables/mapped": (what_entry_holds,),
    "lock/released": (how_many_flushes,),
    "tlb/flushed": (what_goes,),
    "notifier/retried": (may_it_map,),
    "abort/handled": (is_it_mapped, what_return_means),
    "mmio/exited": (how_it_ends,),
    "inject_pabt": (how_it_ends,),
}
"""By event, what may be asked before the step that tells it."""
