"""Exercises on the notifiers' counters: seq, count, the retry, and the flushes of a range."""

from __future__ import annotations

from random import Random

from kvmlab.engine import Slot
from kvmlab.engine.kernel.notifier import (
    kvm_mmu_notifier_change_pte,
    kvm_mmu_notifier_invalidate_page,
    kvm_mmu_notifier_invalidate_range_end,
    kvm_mmu_notifier_invalidate_range_start,
    kvm_unmap_hva_range,
    mmu_notifier_retry,
)
from kvmlab.engine.kernel.pgtable import PAGE_SIZE
from kvmlab.engine.tasks import run
from kvmlab.exercises.parts import Draft, Wrong
from kvmlab.exercises.runs import any_slot, boot, marks, say_slot
from kvmlab.exercises.template import choice, keep, numbers, template


@template("range-flushes", "Flushes of kvm_unmap_hva_range", "05")
def range_flushes(draw: Random) -> Draft | None:
    """Ask how often the TLB is flushed for a range of host addresses."""
    main = any_slot(draw, 4)
    aliased = draw.random() < 0.6
    alias = Slot(main.ipa + 0x4000_0000, 1 << 20, main.hva + PAGE_SIZE * draw.randrange(0, 64))
    slots = [main, alias] if aliased else [main]
    machine = boot()
    vm = machine.create_vm(slots)
    first = draw.randrange(0, 64)
    start = main.hva + PAGE_SIZE * first + draw.choice((0, 0, 0x400, 0x800))
    end = start + PAGE_SIZE * draw.randrange(2, 20) + draw.choice((0, 0, 0x400))
    lines = []
    for page in sorted(draw.sample(range(first, first + 24), 4)):
        machine.access(vm, main.ipa + PAGE_SIZE * page, "write")
        lines.append(f"mapped: IPA {main.ipa + PAGE_SIZE * page:#x}, host address {main.hva + PAGE_SIZE * page:#x}")
    begun = len(machine.stream)
    kvm_unmap_hva_range(machine.kvm(vm), start, end)
    right = len(marks(machine, "tlb/flushed", begun))
    cleared = len(marks(machine, "tables/cleared", begun))
    once = -(-end // PAGE_SIZE) - start // PAGE_SIZE
    wrong = keep(
        (right,),
        [
            Wrong((1,), "that is one flush for the whole range.", "M19"),
            Wrong((once,), "a page that two slots show is two pages of the guest.", "M05"),
            Wrong((cleared,), "3.9 does not look whether a page was mapped; it flushes for each.", "M19"),
            Wrong(((end - start) // PAGE_SIZE,), "a page that the range only touches is handled too."),
            Wrong((right + 1,), "the end of the range is no part of it; count the pages that it touches."),
            Wrong((right - 1,), "count the pages that the range touches, the first and the last too."),
        ],
    )
    return Draft(
        f"The host calls kvm_unmap_hva_range({start:#x}, {end:#x}). How many times does Linux 3.9 flush the VM's "
        "TLB entries?",
        (*(say_slot(slot, f"slot {n}") for n, slot in enumerate(slots)), *lines),
        numbers("flushes"),
        (right,),
        wrong,
        (
            "Which slots show host addresses of the range?",
            "Round the range outwards to whole pages, in each slot.",
            "One flush of the whole VMID for each page of the guest, whether it was mapped or not.",
        ),
        f"{right} pages of the guest are in the range, counted once for each slot that shows them.",
    )


@template("retry", "Map or retry", "05", "07")
def retry(draw: Random) -> Draft | None:
    """Ask what a fault does after the test of seq and count."""
    kvm = (machine := boot()).kvm(machine.create_vm())
    sampled = draw.randrange(3, 40)
    kvm.mmu_notifier_seq = sampled + draw.choice((0, 0, 1, 2))
    kvm.mmu_notifier_count = draw.choice((0, 0, 0, 1, 2))
    again = mmu_notifier_retry(kvm, sampled)
    seq, count = kvm.mmu_notifier_seq, kvm.mmu_notifier_count
    other = draw.random() < 0.6
    maps, back = "it maps the page and returns 1", "it maps nothing and returns 1"
    loop, error = "it finds the page again, and then maps it", "it maps nothing and returns -EFAULT"
    errors = {
        maps: (
            "the change was at another address." if other and seq != sampled
            else "seq is as it was." if seq == sampled else "that leaves seq out.",
            "M37" if other and seq != sampled else "M38" if seq == sampled else "M33",
        ),
        back: ("count is 0 and seq is what was sampled: nothing has changed.", ""),
        loop: ("that lets the kernel go round.", "M39"),
        error: ("that takes a retry for an error.", "M10") if again
        else ("nothing is wrong: count is 0 and seq is what was sampled.", ""),
    }  # fmt: skip
    right = back if again else maps
    made = choice(right, [(words, *why) for words, why in errors.items() if words != right])
    if made is None:
        return None
    return Draft(
        "A fault has found its page and holds mmu_lock. What does it do?",
        (
            f"sampled before the look-up: mmu_notifier_seq = {sampled}",
            f"now: mmu_notifier_seq = {seq}, mmu_notifier_count = {count}",
            f"what the host changed last was {'another page of this VM' if other else 'this page'}",
        ),
        *made,
        (
            "Is a range open at this moment? count says so.",
            "Has something ended since the sample? seq says so.",
            "Which page it was plays no part: seq and count are per VM.",
        ),
        f"count is {count}, and seq {'is not' if seq != sampled else 'is'} what was sampled: "
        + ("it returns to the guest, which faults again." if again else "the page is still the right one."),
    )


@template("counters", "seq and count after some calls", "05", "07")
def counters(draw: Random) -> Draft | None:
    """Ask for seq and count after nested notifier calls."""
    machine = boot()
    slot = any_slot(draw)
    kvm = machine.kvm(machine.create_vm([slot]))
    started, nested, reset, most = draw.randrange(0, 9), 0, 0, 0
    kvm.mmu_notifier_seq = started
    lines = [f"at the beginning: seq {started}, count 0"]
    starts = ends = 0
    for _ in range(draw.randrange(6, 10)):
        hva = slot.hva + PAGE_SIZE * draw.randrange(256)
        options = ["start", "page", "change"] + ["end", "end"] * (nested > 0) + ["start"] * (nested > 0)
        match draw.choice(options):
            case "start":
                run(kvm_mmu_notifier_invalidate_range_start(kvm, hva, hva + PAGE_SIZE))
                nested, starts, reset = nested + 1, starts + 1, reset + 1
                lines.append(f"invalidate_range_start({hva:#x}, {hva + PAGE_SIZE:#x})")
            case "end":
                run(kvm_mmu_notifier_invalidate_range_end(kvm, hva, hva + PAGE_SIZE))
                nested, ends, reset = nested - 1, ends + 1, 0
                lines.append(f"invalidate_range_end({hva:#x}, {hva + PAGE_SIZE:#x})")
            case "page":
                run(kvm_mmu_notifier_invalidate_page(kvm, hva))
                lines.append(f"invalidate_page({hva:#x})")
            case _:
                run(kvm_mmu_notifier_change_pte(kvm, hva, 0xA000_0000))
                lines.append(f"change_pte({hva:#x})")
        most = max(most, nested)
    right = kvm.mmu_notifier_seq, kvm.mmu_notifier_count
    if most < 2 or not ends:
        return None
    wrong = keep(
        right,
        [
            Wrong((right[0] + starts, right[1]), "range_start leaves seq alone; it only opens."),
            Wrong((right[0], min(right[1], 1)), "count is no flag: ranges may be open one inside the other."),
            Wrong((right[0], reset), "range_end closes one range, not all."),
            Wrong((right[0] - ends, right[1]), "range_end raises seq too, before it lowers count."),
            Wrong((started + ends, right[1]), "invalidate_page and change_pte raise seq as well."),
            Wrong((right[0], 0), "not every range that was opened has been closed."),
        ],
    )
    return Draft(
        "The host calls these notifiers of one VM, one after the other. What are mmu_notifier_seq and "
        "mmu_notifier_count at the end?",
        tuple(lines),
        numbers("seq", "count"),
        right,
        wrong,
        (
            "Take one of them at a time: first count.",
            "range_start: count up. range_end: seq up, count down.",
            "invalidate_page and change_pte: seq up.",
        ),
        f"seq has gone up {right[0] - started} times; {starts} ranges were opened and {ends} closed.",
    )
