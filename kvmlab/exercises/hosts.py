"""Exercises on what the host does with a page, and what the guest meets next."""

from __future__ import annotations

from random import Random

from kvmlab.engine import Machine
from kvmlab.engine.hardware.walker import walk
from kvmlab.engine.kernel.notifier import kvm_set_spte_hva
from kvmlab.engine.kernel.pgtable import L_PTE_S2_RDWR, PAGE_S2_SMP, PAGE_SIZE, PMD_SIZE
from kvmlab.exercises.parts import Draft, Field, Fields, Wrong
from kvmlab.exercises.runs import any_pfn_base, any_slot, boot, marks, say_slot
from kvmlab.exercises.template import keep, numbers, template


@template("change-pte", "What kvm_set_spte_hva does", "05", "08")
def change_pte(draw: Random) -> Draft | None:
    """Ask for the leaf, and the flushes, after kvm_set_spte_hva."""
    slot = any_slot(draw)
    machine = boot(host_ram_base=any_pfn_base(draw))
    vm = machine.create_vm([slot])
    page = PAGE_SIZE * draw.randrange(1, 500)
    state = draw.choice(("present", "table only", "no table"))
    beside = page + PAGE_SIZE if state == "table only" else page + 2 * PMD_SIZE
    machine.access(vm, slot.ipa + beside, "write")
    old = 0
    if state == "present":
        machine.access(vm, slot.ipa + page, "write")
        old = marks(machine, "tables/mapped")[-1]["new"]
    new = 0xC000_0000 + PAGE_SIZE * draw.randrange(1 << 16)
    begun = len(machine.stream)
    kvm_set_spte_hva(machine.kvm(vm), slot.hva + page, new)
    flushed = len(marks(machine, "tlb/flushed", begun))
    found = walk(machine.linux.memory, machine.kvm(vm).pgd, slot.ipa + page)
    leaf = found.descriptor if len(found.steps) == 3 else 0
    right = leaf, flushed
    writable = new | PAGE_S2_SMP | L_PTE_S2_RDWR
    wrong = keep(
        right,
        [
            Wrong((writable, flushed), "that keeps write permission.", "M41"),
            Wrong((old, 0), "that leaves things as they were.", "M41")
            if state == "table only"
            else Wrong((new | PAGE_S2_SMP, flushed), "there is no table to hold the entry, and no cache to take "
                "one from.")
            if state == "no table"
            else Wrong((old, 1), "the entry is there, so it is replaced.", "M41"),
            Wrong((leaf, 1 - flushed), "something that was there has to be flushed; what was absent is in no TLB.",
                  "" if flushed else "M18"),
            Wrong((slot.hva + page | PAGE_S2_SMP, flushed), "that leaf holds the process's address.", "M02"),
        ],
    )  # fmt: skip
    said = {
        "present": f"the page is mapped: its leaf is {old:#x}",
        "table only": "the page is not mapped; its neighbour is, in the same level 3 table",
        "no table": "the page is not mapped, and nothing else in its 2 MiB",
    }
    return Draft(
        f"kvm_set_spte_hva is called for host address {slot.hva + page:#x}: the host has put the frame at PA "
        f"{new:#x} there. What is the leaf afterwards (0 if there is none), and how many flushes are there?",
        (say_slot(slot), said[state]),
        numbers("0x leaf", "flushes"),
        right,
        wrong,
        (
            "Is there an entry now? Is there a table for it?",
            "The function has no memory cache at hand, so it can make no table.",
            "What it writes is read-only: 0x77f. Only replacing something that was present flushes.",
        ),
        {
            "present": "The entry is replaced, read-only, and the old one flushed.",
            "table only": "The level 3 table is there, so the page gets mapped, read-only; nothing has to be flushed.",
            "no table": "Without a level 3 table, and without a cache, nothing happens.",
        }[state],
    )


CALLS = (
    "no call",
    "invalidate_page",
    "range_start, range_end",
    "range_start, change_pte, range_end",
)
WHY = {
    CALLS[0]: "The host's entry for the page stays as it is, so nobody is told.",
    CALLS[1]: "The host's entry is cleared first, then invalidate_page takes the page out of stage 2.",
    CALLS[2]: "Between start and end the host changes its entries; start takes the page out of stage 2.",
    CALLS[
        3
    ]: "Another frame comes behind the page: start takes it out of stage 2, and change_pte puts it back, read-only.",
}
"""Why these notifiers are called."""


def calls_of(machine: Machine, start: int) -> str:
    """Return which notifiers were called from event `start` on."""
    names = [name for name, _ in machine.stream.marks(start)]
    if "kvm_set_spte_hva" in names:
        return CALLS[3]
    if "kvm_unmap_hva_range" in names:
        return CALLS[2]
    return CALLS[1] if "kvm_unmap_hva" in names else CALLS[0]


@template("host-change", "Which call reaches KVM, and what then", "05", "09")
def host_change(draw: Random) -> Draft | None:
    """Ask which notifiers a change of the host calls, and whether the guest faults next."""
    slot, machine = any_slot(draw), boot()
    vm = machine.create_vm([slot])
    page = PAGE_SIZE * draw.randrange(1, 400)
    twin = page + PAGE_SIZE * draw.randrange(1, 60)
    ipa, hva = slot.ipa + page, slot.hva + page
    machine.access(vm, ipa, "write", value=7)
    machine.access(vm, slot.ipa + twin, "write", value=7)
    kind = draw.choice(("swap_out", "discard", "merge", "write", "protect", "touch"))
    if kind == "write":
        machine.ksm_merge(vm, slot.hva + twin, vm, hva)
    start = len(machine.stream)
    match kind:
        case "swap_out":
            machine.swap_out(vm, hva)
            said = f"swaps out the page at {hva:#x}"
        case "discard":
            machine.discard(vm, hva)
            said = f"throws the page at {hva:#x} away (MADV_DONTNEED)"
        case "merge":
            machine.host_write(vm, hva, 7)
            start = len(machine.stream)
            machine.ksm_merge(vm, slot.hva + twin, vm, hva)
            said = f"lets KSM put one frame behind {hva:#x} and {slot.hva + twin:#x}, whose contents are the same"
        case "write":
            machine.host_write(vm, hva, 9)
            said = f"lets its process write to the page at {hva:#x}, which KSM has merged with another one"
        case "protect":
            machine.protect(vm, hva)
            said = f"takes its process's right to write to the page at {hva:#x} away (mprotect)"
        case _:
            machine.swap_in(vm, hva)
            said = f"lets its process read the page at {hva:#x}"
    calls = CALLS.index(calls_of(machine, start))
    faults = machine.access(vm, ipa, "read").faults
    right = calls, faults
    wrong = keep(
        right,
        [
            Wrong((0, 0), "that lets the page stay where it was.", "M40"),
            Wrong((calls, 1 - faults), "in 3.9 the entry is gone, and the TLB has been flushed.", "M17")
            if faults
            else Wrong((calls, 1), "the entry is there again: change_pte has put it back, as its table was "
                "still there.",
                       "M41" if calls == 3 else ""),
            Wrong((1, 1), "invalidate_page tells of one page that goes to swap."),
            Wrong((2, 1), "that is the way for a range, or a page whose rights change."),
            Wrong((3, 0), "change_pte comes where another frame is put behind the page."),
        ],
    )  # fmt: skip
    return Draft(
        f"A guest has written to two pages close together. The host {said}. Which notifiers of KVM are called for "
        "it, and how many faults does the guest's next read of the page take?",
        (say_slot(slot), "another page in the same level 3 table stays mapped"),
        Fields((Field("calls", CALLS), Field("faults"))),
        right,
        wrong,
        (
            "Does the host's own entry for the page change? If not, nobody has to be told.",
            "To nothing: the entry goes. To another frame: it goes, and comes back with change_pte.",
            "A page that change_pte has mapped can be read without a fault.",
        ),
        f"{WHY[CALLS[calls]]} The next read takes {faults} fault{'s' * (faults != 1)}.",
    )
