"""Exercises on the tags of TLB entries and on VTTBR."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from kvmlab.engine.events import Stream
from kvmlab.engine.hardware.descriptor import encode_page
from kvmlab.engine.hardware.tlb import Tlb
from kvmlab.exercises.parts import Draft, Several, Wrong
from kvmlab.exercises.runs import boot
from kvmlab.exercises.template import keep, numbers, template

ENTRIES = 6


@template("tlb-hits", "Which TLB entries fit", "02", "07")
def tlb_hits(draw: Random) -> Draft | None:
    """Ask which entries of a TLB an access hits."""
    vmid, asid = draw.randrange(1, 8), draw.randrange(1, 8)
    page = draw.randrange(0x8_0000, 0x8_1000)
    entries: list[tuple[int, int, int]] = []
    while len(entries) < ENTRIES:
        other = (
            vmid if draw.random() < 0.6 else draw.randrange(0, 8),
            -1 if draw.random() < 0.25 else asid if draw.random() < 0.6 else draw.randrange(1, 8),
            page if draw.random() < 0.8 else page + draw.randrange(1, 4),
        )
        if other not in entries:
            entries.append(other)
    leaf = encode_page(0xA000_0000, memattr=0xF, hap=3, sh=3)

    def hits(which: int) -> bool:
        tlb = Tlb(Stream(recording=False), "tlb", 1, 1)
        tlb.fill(*entries[which], leaf)
        return tlb.lookup(vmid, asid, page) is not None

    right = tuple(which for which in range(ENTRIES) if hits(which))
    if not right:
        return None

    def those(test: Callable[[int, int, int], bool]) -> tuple[int, ...]:
        return tuple(n for n, entry in enumerate(entries) if test(*entry))

    wrong = [
        Wrong(those(lambda v, a, p: a in (asid, -1) and p == page), "that looks at the ASID alone.", "M21"),
        Wrong(those(lambda v, a, p: v == vmid and p == page), "that looks at the VMID alone; the ASID has to fit too."),
        Wrong(
            those(lambda v, a, p: p == page and (a == -1 or (v, a) == (vmid, asid))),
            "a global entry holds for every ASID of its guest, but not for another guest's VMID.",
        ),
        Wrong(
            those(lambda v, a, p: (v, a, p) == (vmid, asid, page)),
            "a global entry fits whatever the ASID is.",
        ),
        Wrong(tuple(n for n in right if entries[n][2] == page and n), "one that fits is missing."),
    ]
    wrong = [one for one in wrong if one.answer]
    lines = [
        f"{n + 1}: VMID {v}, {'global' if a < 0 else f'ASID {a}'}, page {p:#x}" for n, (v, a, p) in enumerate(entries)
    ]
    return Draft(
        f"A guest runs with VMID {vmid}; in it a process with ASID {asid} reads page {page:#x}. Which of these TLB "
        "entries would give the translation?",
        (),
        Several(tuple(lines)),
        right,
        keep(right, wrong),
        (
            "An entry carries two tags, and the page.",
            "Another VM may use the same ASID; and another process of this VM the same page.",
            "VMID and page must fit; the ASID must fit too, unless the entry is global.",
        ),
        f"These have VMID {vmid} and page {page:#x}, and ASID {asid} or none: {', '.join(str(n + 1) for n in right)}.",
    )


@template("vttbr", "VTTBR from root and VMID", "02", "05")
def vttbr(draw: Random) -> Draft | None:
    """Ask for VTTBR as 3.9 makes it and as it should be."""
    base = draw.choice((1 << 39, 1 << 39, 0)) + 0x2000 * draw.randrange(0x2_0000, 0x6_0000)
    turns = draw.randrange(2, 24)
    found = []
    for fixes in (frozenset(), frozenset({"vttbr mask"})):
        machine = boot(ram_base=base, host_ram_base=0, fixes=fixes) if base else boot(fixes=fixes)
        for _ in range(turns):
            vm = machine.create_vm()
            machine.enter(vm)
        found.append(machine.kvm(vm))
    root, vmid = found[0].pgd, found[0].vmid
    right = found[0].vttbr, found[1].vttbr
    wrong = keep(
        right,
        [
            Wrong((root | vmid, root | vmid), "that puts the VMID into the low bits; it sits at 55:48."),
            Wrong((root | vmid << 40, root | vmid << 40), "that shifts the VMID by 40; it sits at 55:48."),
            Wrong((root | vmid << 56, root | vmid << 56), "that puts the VMID at 63:56; it sits at 55:48."),
            Wrong((right[1], right[1]), "Linux 3.9 keeps bits 38:12 of the root only."),
            Wrong((root, root), "the VMID is missing."),
        ],
    )
    return Draft(
        "KVM puts VTTBR together from the address of the VM's level 1 table and its VMID. What does Linux 3.9 "
        "write, and what would be correct?",
        (f"level 1 table: PA {root:#x}", f"VMID: {vmid}", "mask of Linux 3.9: bits 38:12; the field: bits 39:13"),
        numbers("0x in 3.9", "0x correct"),
        right,
        wrong,
        (
            "Two fields: the table's address, and the VMID.",
            "The VMID sits at 55:48: shift it left by 48.",
            "Which bits of the address does the mask of 3.9 lose? Is such a bit set here?",
        ),
        f"VMID {vmid} << 48, and the address; the mask of 3.9 loses bit 39, which is "
        + ("set here." if root >> 39 else "clear here, so both are the same."),
    )
