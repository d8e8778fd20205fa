"""Exercises on the tables: how many there are, who counts them, what goes and what stays."""

from __future__ import annotations

from random import Random

from kvmlab.engine import Machine, Slot
from kvmlab.engine.hardware.walker import walk
from kvmlab.engine.kernel.pgtable import PAGE_SIZE, PMD_SIZE, PUD_SIZE
from kvmlab.engine.kernel.tables import unmap_stage2_range
from kvmlab.exercises.parts import Draft, Field, Fields, Several, Wrong
from kvmlab.exercises.runs import any_slot, boot, marks, say_slot
from kvmlab.exercises.template import choice, keep, numbers, template

BIG = Slot(0x8000_0000, 0x7000_0000, 0x1000_0000)
"""1,792 MiB from 2 GiB on: two regions of 1 GiB are in it, one of them not whole."""


def _pages(draw: Random, count: int) -> list[int]:
    """Return different pages of the big slot, some of them close together."""
    regions = [PMD_SIZE * draw.randrange(1, BIG.size // PMD_SIZE - 1) for _ in range(3)]
    found: list[int] = []
    while len(found) < count:
        page = BIG.ipa + draw.choice(regions) + PAGE_SIZE * draw.randrange(600)
        if page not in found:
            found.append(page)
    return found


def _mapped(machine: Machine, vm: int, ipa: int) -> bool:
    return not walk(machine.linux.memory, machine.kvm(vm).pgd, ipa).fault


@template("table-frames", "Frames of tables for a set of pages", "03", "04")
def table_frames(draw: Random) -> Draft | None:
    """Ask how many frames a VM's tables take."""
    pages = _pages(draw, draw.randrange(3, 7))
    machine = boot()
    vm = machine.create_vm([BIG])
    for page in pages:
        machine.access(vm, page, draw.choice(("read", "write")))
    right = len(machine.image(vm).frames)
    middle = len({page // PUD_SIZE for page in pages})
    whole = 2 + -(-BIG.size // PUD_SIZE) + BIG.size // PMD_SIZE
    wrong = keep(
        (right,),
        [
            Wrong((right - 1,), "the level 1 table has 1,024 entries of 8 bytes: two frames."),
            Wrong((2 + middle + len(pages),), "pages of the same 2 MiB share a level 3 table."),
            Wrong((whole,), "that fills the tables for the whole slot.", "M03"),
            Wrong((right + len(pages),), "that counts the guest's own pages.", "M40"),
            Wrong((right - middle,), "between level 1 and level 3 there is a level 2 table for each GiB."),
        ],
    )
    return Draft(
        "A new VM's guest touches these pages, and no others. How many 4 KiB frames do its stage-2 tables take "
        "then, all levels together?",
        (say_slot(BIG), *(f"{page:#x}" for page in pages)),
        numbers("frames"),
        (right,),
        wrong,
        (
            "The level 1 table is there from the start: 8 KiB.",
            "One level 2 table for each GiB that is touched, one level 3 table for each 2 MiB.",
            "Shift the addresses right by 30 and count different numbers; then by 21. Add 2.",
        ),
        f"2 for level 1, {middle} at level 2, {right - 2 - middle} at level 3.",
    )


@template("page-count", "page_count of a table", "03", "04")
def page_count(draw: Random) -> Draft | None:
    """Ask for the page_count of a level 2 or level 3 table."""
    slot, machine = any_slot(draw), boot()
    vm = machine.create_vm([slot], vcpus=2)
    places = [PAGE_SIZE * n for n in draw.sample(range(1, 500), 4)] + [PMD_SIZE, 3 * PMD_SIZE]
    lines, overwrites, uses = [], 0, set[tuple[int, int]]()
    level = draw.choice((3, 3, 2))
    for _ in range(draw.randrange(5, 9)):
        page, access, vcpu = draw.choice(places), draw.choice(("read", "write")), draw.randrange(2)
        before = len(machine.stream)
        machine.access(vm, slot.ipa + page, access, vcpu=vcpu)
        overwrites += sum(args["old"] != 0 for args in marks(machine, "tables/mapped", before))
        if page < PMD_SIZE:
            uses.add((page, vcpu))
        lines.append(f"vCPU {vcpu}: {access} {slot.ipa + page:#x}")
    gone = draw.choice(places)
    if _mapped(machine, vm, slot.ipa + gone) and draw.random() < 0.6:
        machine.swap_out(vm, slot.hva + gone)
        uses = {use for use in uses if use[0] != gone}
        lines.append(f"host: swap out the page at {slot.ipa + gone:#x}")
    found = walk(machine.linux.memory, machine.kvm(vm).pgd, slot.ipa)
    if len(found.steps) < 3:
        return None
    right = machine.linux.pages.page_count(found.steps[level - 1].entry)
    leaves = {page for page, _ in uses}
    per_vcpu = 1 + (len(uses) if level == 3 else len(leaves))
    wrong = keep(
        (right,),
        [
            Wrong((right - 1,), "the table itself holds the first reference."),
            Wrong((per_vcpu,), "that counts uses of the guest's pages.", "M27"),
            Wrong((right + overwrites,), "an entry that is overwritten was counted when it came; it is not again."),
            Wrong((right + 1,), "that counts one too many: 1 for the table, and 1 for each entry that is there."),
            Wrong((512,), "a table always has 512 places; what is counted are entries that are there."),
        ],
    )
    return Draft(
        f"After this, what is the page_count of the level {level} table that translates IPA {slot.ipa:#x}?",
        (say_slot(slot), *lines),
        numbers("page_count"),
        (right,),
        wrong,
        (
            "A table that was just allocated has page_count 1.",
            "Each entry that appears in it adds 1, each that goes takes 1 away. Overwriting changes nothing.",
            "Level 3: count the pages of this 2 MiB that are mapped. Level 2: count the 2 MiB regions of this GiB.",
        ),
        f"1, and {right - 1} for the entries that are in it now.",
    )


@template("unmap", "What comes back when a page is unmapped", "03", "06")
def unmap(draw: Random) -> Draft | None:
    """Ask how many frames an unmap gives back, and when."""
    machine = boot()
    vm = machine.create_vm([BIG])
    gone = BIG.ipa + PMD_SIZE * draw.randrange(512) + PAGE_SIZE * draw.randrange(1, 500)
    others = {
        "same table": gone - gone % PMD_SIZE + PAGE_SIZE * draw.randrange(500, 512),
        "same GiB": gone ^ PMD_SIZE * draw.randrange(1, 200),
        "other GiB": BIG.ipa + PUD_SIZE + PMD_SIZE * draw.randrange(300),
    }
    near = draw.choice(("same table", "same GiB", "other GiB"))
    pages = [others["other GiB"], gone] + ([others[near]] if near != "other GiB" else [])
    draw.shuffle(pages)
    for page in pages:
        machine.access(vm, page, "write")
    start = len(machine.stream)
    machine.swap_out(vm, BIG.hva + gone - BIG.ipa)
    freed = len(marks(machine, "page/freed", start))
    words = ("before; a CPU may still read it", "before; harmless, it is empty", "after")
    right = freed, 0 if _frees_first() else 2
    wrong = keep(
        right,
        [
            Wrong((0, right[1]), "that leaves empty tables where they are.", "M28"),
            Wrong(
                (freed + 1, right[1]), "the guest's page goes back to the host, but it is no frame of a table.", "M40"
            ),
            Wrong((freed, 1), "no leaf is left in it, and that seems enough.", "M20"),
            Wrong((freed, 2), "look at the order in 3.9: unmap_stage2_range has no flush inside; it comes afterwards."),
            Wrong((2, right[1]), "a table goes only if its last entry goes; look what else is in the same GiB."),
            Wrong((1, right[1]), "if nothing else is left in the GiB, the table above becomes empty too."),
        ],
    )
    return Draft(
        f"These pages of a guest are mapped; then the host swaps out the page at IPA {gone:#x}. How many frames of "
        "tables go back to the allocator? And when does Linux 3.9 free a table that has become empty: before or "
        "after the flush of the TLB?",
        tuple(f"{page:#x}" for page in pages),
        Fields((Field("frames"), Field("freed", words))),
        right,
        wrong,
        (
            "Is it the last page in its 2 MiB?",
            "If the level 3 table goes: was it the last one in its GiB? The level 1 table never goes.",
            "kvm_unmap_hva_handler unmaps first, which frees tables, and flushes then; CPUs may cache upper levels.",
        ),
        f"{freed} frames: "
        + ("others are left in the same 2 MiB.", "the level 3 table.", "the level 3 table and the level 2 table.")[
            freed
        ]
        + " In 3.9 the flush comes after tables are freed; until then a CPU may walk through one that it has cached.",
    )


def _frees_first() -> bool:
    """Return whether a table that becomes empty is freed before the flush, by a run."""
    machine = boot()
    vm = machine.create_vm([BIG])
    machine.access(vm, BIG.ipa, "write")
    start = len(machine.stream)
    machine.swap_out(vm, BIG.hva)
    names = [name for name, _ in machine.stream.marks(start)]
    return names.index("page/freed") < names.index("tlb/flushed")


@template("survivors", "What an unmap leaves behind", "03", "08")
def survivors(draw: Random) -> Draft | None:
    """Ask which pages survive an unmap that begins off a boundary."""
    fixed = draw.random() < 0.3
    region = BIG.ipa + PMD_SIZE * draw.randrange(1, 400)
    offset = PAGE_SIZE * draw.randrange(8, 200)
    start, size = region + offset, 2 * PMD_SIZE + PAGE_SIZE * draw.randrange(100)
    second, third = region + PMD_SIZE, region + 2 * PMD_SIZE
    pages = sorted(
        {
            start + PAGE_SIZE * draw.choice((0, 0, 3)),
            second + PAGE_SIZE * draw.randrange(0, offset // PAGE_SIZE),
            second + offset + PAGE_SIZE * draw.randrange(0, 100),
            third + PAGE_SIZE * draw.randrange(0, offset // PAGE_SIZE),
            region + PAGE_SIZE * draw.randrange(0, offset // PAGE_SIZE),
            start + size + PAGE_SIZE * draw.randrange(1, 100),
        }
    )
    if draw.random() < 0.4:
        pages.remove(draw.choice(pages[1:-1]))

    def left(fixes: frozenset[str]) -> tuple[int, ...]:
        machine = boot(fixes=fixes)
        vm = machine.create_vm([BIG])
        for page in pages:
            machine.access(vm, page, "write")
        unmap_stage2_range(machine.kvm(vm), start, size)
        return tuple(n for n, page in enumerate(pages) if _mapped(machine, vm, page))

    wart, fix = left(frozenset()), left(frozenset({"unmap to boundary"}))
    right = fix if fixed else wart
    if not right or not fix:
        return None
    inside = tuple(n for n, page in enumerate(pages) if start <= page < start + size)
    wrong = keep(
        right,
        [
            Wrong(wart, "with the fix a step goes to the next boundary, so nothing in the range is skipped.")
            if fixed
            else Wrong(fix, "in 3.9 a step of 2 MiB is added to the address as it is, so a head may be skipped."),
            Wrong(tuple(range(len(pages))), "what the loop meets it does clear."),
            Wrong(inside, "those are the pages inside the range: the ones that should go."),
            Wrong(right[:-1], "one that survives is missing."),
        ],
    )
    wrong = tuple(one for one in wrong if one.answer)
    return Draft(
        f"These pages are mapped. Then {'a kernel with the later fix' if fixed else 'Linux 3.9'} calls "
        f"unmap_stage2_range({start:#x}, {size:#x}). Which pages are still mapped afterwards?",
        (f"the range ends before {start + size:#x}; tables change at multiples of {PMD_SIZE:#x}",),
        Several(tuple(f"{page:#x}" for page in pages)),
        right,
        wrong,
        (
            "What is outside the range stays, whatever happens.",
            "Where an entry is empty, or a table has become empty, the loop steps on by 2 MiB (or 1 GiB).",
            "3.9 adds that to the address as it is, and may land in the middle of the next region; the fix goes to "
            "its beginning.",
        ),
        "Still mapped: " + ", ".join(f"{pages[n]:#x}" for n in right) + ".",
    )


@template("leak", "Which page's tables leaked", "03")
def leak(draw: Random) -> Draft | None:
    """Ask which page of a destroyed VM keeps its tables."""
    machine = boot()
    vm = machine.create_vm([BIG])
    first = draw.randrange(1, 300)
    pages = [
        BIG.ipa + PMD_SIZE * (first + step) + PAGE_SIZE * draw.randrange(0, 400) for step in draw.sample(range(5), 4)
    ]
    for page in pages:
        machine.access(vm, page, "write")
    places = {args["ipa"]: args["entry"] for args in marks(machine, "tables/mapped")}
    machine.destroy_vm(vm)
    left = [page for page in pages if machine.linux.memory.read(places[page])]
    if len(left) != 1:
        return None
    wrong = [
        (f"write {page:#x}", "that page is met by the loop of unmap_stage2_range, and its table becomes empty.", "")
        for page in pages
        if page not in left
    ]
    wrong.append(("none: destroying frees everything", "that is what the code means to do; 3.9 steps too far.", ""))
    made = choice(f"write {left[0]:#x}", wrong)
    if made is None:
        return None
    return Draft(
        "A guest makes these writes, one after the other. Then the VM is destroyed, and some frames never come "
        "back. Which write made the tables that were left behind?",
        tuple(f"write {page:#x}" for page in pages),
        *made,
        (
            "destroy_vm calls unmap_stage2_range(0, 2^40): go up through the addresses as it does.",
            "After a table has become empty, it steps on by 2 MiB from where it is, in the middle of the region.",
            "So in the next region it begins at the same offset: a page below that offset is skipped.",
        ),
        f"The loop comes into the region of {left[0]:#x} behind that page, and never sees it.",
    )
