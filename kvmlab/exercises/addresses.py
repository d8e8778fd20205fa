"""Exercises on addresses: which kind one is, and how it is cut into parts."""

from __future__ import annotations

from random import Random

from kvmlab.engine import Slot
from kvmlab.engine.hardware.syndrome import Syndrome, encode_hpfar
from kvmlab.engine.hardware.walker import IPA_MAX, index_of
from kvmlab.engine.kernel.abort import kvm_handle_guest_abort
from kvmlab.engine.kernel.pgtable import PAGE_SHIFT, PAGE_SIZE
from kvmlab.engine.tasks import run
from kvmlab.exercises.parts import Draft, Wrong
from kvmlab.exercises.runs import any_pfn_base, any_slot, boot, marks, say_slot
from kvmlab.exercises.template import choice, keep, numbers, template

OFFSET = PAGE_SIZE - 1
KINDS = {
    "va": "VA: what the guest's program uses",
    "ipa": "IPA: what the guest takes for physical",
    "hva": "HVA: an address of the host's process",
    "pa": "PA: where the data is, on the bus",
}
LINES = {
    ("kvm_guest_fault", "ipa"): "KVM asks HPFAR which page the guest wanted, and learns: {n}",
    ("slot/found", "hva"): "a memory slot gives {n}, and the host is asked for the page there",
    ("ram/stored", "pa"): "at last the word is stored at {n}",
    ("kvm_unmap_hva", "hva"): "the host wants a page back and tells KVM: it is the one at {n}",
    ("tlb/filled", "pa"): "the CPU keeps in its TLB that the page lies at {n}",
    ("tlb/missed", "ipa"): "the CPU begins its walk of the stage-2 tables with {n}",
}
"""Where an address is met in a run: the mark and its argument, whose name says the kind."""


@template("address-kind", "Which of four kinds an address is", "00", "01")
def address_kind(draw: Random) -> Draft | None:
    """Ask what kind of address a number of a run is."""
    slot = any_slot(draw)
    machine = boot(host_ram_base=any_pfn_base(draw))
    vm = machine.create_vm([slot])
    page = PAGE_SIZE * draw.randrange(1, slot.size // PAGE_SIZE)
    machine.access(vm, slot.ipa + page, "write", value=1)
    machine.swap_out(vm, slot.hva + page)
    mark, kind = draw.choice(list(LINES))
    number = marks(machine, mark)[0][kind]
    errors = {
        ("pa", "ipa"): ("the guest takes its own address for physical; here it has been translated already.", "M01"),
        ("pa", "hva"): ("this is no address of the host's process; it comes from the descriptor.", "M02"),
        ("ipa", "pa"): ("stage 2 has not translated this address yet.", "M01"),
        ("ipa", "hva"): ("the slot, which leads to the host's process, has not been asked yet.", "M02"),
        ("hva", "pa"): ("the slot leads to an address of a process, which the host translates in turn.", "M02"),
        ("hva", "ipa"): ("the guest knows nothing of this address; it belongs to the host's process.", "M05"),
    }
    slip = "A VA is what a program uses, before the guest's own tables; nothing of that is in this line.", ""
    wrong = [(words, *errors.get((kind, other), slip)) for other, words in KINDS.items() if other != kind]
    made = choice(KINDS[kind], wrong)
    if made is None:
        return None
    return Draft(
        "A guest stores to a page of its memory for the first time; later the host takes the page back. What kind "
        "of address is the number in this line?",
        (LINES[mark, kind].format(n=f"{number:#x}"), say_slot(slot)),
        *made,
        (
            "Whose house is it: the guest's, the hardware's, the host's?",
            "A slot joins two kinds of address; look on which side of it the number lies.",
            "HPFAR and the walk begin with an IPA, slots and notifiers speak of HVAs, leaves and the TLB hold a PA.",
        ),
        f"It is an {kind.upper()}: the event {mark} has it under the name {kind}."
        if kind != "pa"
        else f"It is a PA: the event {mark} has it under the name pa.",
    )


@template("gfn", "Page number and offset of an address", "00", "01", "03")
def gfn_and_offset(draw: Random) -> Draft | None:
    """Ask for the gfn and the offset of an IPA."""
    slot = any_slot(draw)
    ipa = slot.ipa + 4 * draw.randrange(PAGE_SIZE // 4, slot.size // 4)
    machine = boot()
    machine.access(machine.create_vm([slot]), ipa, "write")
    found = marks(machine, "slot/found")[0]
    gfn, offset = found["gfn"], ipa - (found["gfn"] << PAGE_SHIFT)
    wrong = keep(
        (gfn, offset),
        [
            Wrong((ipa - offset, offset), "that is the address of the page; its number has no offset digits at all."),
            Wrong((ipa >> 21, ipa & 0x1F_FFFF), "that cuts off 21 bits, a region of 2 MiB; a page is 4 KiB."),
            Wrong((found["hva"] >> 12, offset), "that is the page of the host's address.", "M02"),
            Wrong((ipa >> 16, ipa & 0xFFFF), "that cuts off four hex digits, 64 KiB; a page is 4 KiB."),
        ],
    )
    return Draft(
        f"A guest stores to IPA {ipa:#x}. What is the number of the guest's page (its gfn), and the offset in it?",
        (say_slot(slot),),
        numbers("0x gfn", "0x offset"),
        (gfn, offset),
        wrong,
        (
            "A page is 4 KiB, which is 2 to the power of 12.",
            "12 bits are 3 hex digits: the offset.",
            f"Cut the last three hex digits off {ipa:#x}; what is left is the gfn.",
        ),
        f"{ipa:#x} is page {gfn:#x} and offset {offset:#x}: the last three hex digits are the offset.",
    )


@template("hva", "The host's address of a guest page", "01")
def host_address(draw: Random) -> Draft | None:
    """Ask which host address a slot gives."""
    first, second = any_slot(draw, 4), any_slot(draw, 8)
    gap = Slot(first.ipa + first.size + 0x10_0000 * draw.randrange(1, 64), second.size, second.hva)
    slots = [first, gap]
    which = draw.randrange(2)
    slot, other = slots[which], slots[1 - which]
    if abs(first.hva - gap.hva) < 0x100_0000:
        return None
    ipa = slot.ipa + PAGE_SIZE * draw.randrange(1, slot.size // PAGE_SIZE)
    machine = boot(host_ram_base=any_pfn_base(draw))
    machine.access(machine.create_vm(slots), ipa, "write")
    right = marks(machine, "slot/found")[0]["hva"]
    pa = marks(machine, "page/looked_up")[0]["pfn"] << PAGE_SHIFT
    elsewhere = (other.hva + ipa - other.ipa) % (1 << 32)
    wrong = keep(
        (right,),
        [
            Wrong((slot.hva + (ipa - slot.ipa >> 12),), "that adds pages to bytes: multiply the pages by 4096."),
            Wrong((pa,), "that is where the page lies in the end; the host is asked by the process's address.", "M01"),
            Wrong((elsewhere,), "that counts from the other slot, which does not hold this page."),
            Wrong((ipa,), "that is the guest's address; the process has its memory elsewhere.", "M05"),
            Wrong((slot.hva,), "that is where the slot begins; the page lies further on."),
        ],
    )
    return Draft(
        f"A guest stores to IPA {ipa:#x} for the first time. For which address of its process is the host asked?",
        (say_slot(slots[0], "slot 0"), say_slot(slots[1], "slot 1"), f"free frame: PA {pa:#x}"),
        numbers("0x host address"),
        (right,),
        wrong,
        (
            "Find the slot that holds the IPA.",
            "How far into the slot is it?",
            f"Add that to the slot's host address: {slot.hva:#x} + ({ipa:#x} - {slot.ipa:#x}).",
        ),
        f"Slot {which} holds it: {slot.hva:#x} + ({ipa:#x} - {slot.ipa:#x}) = {right:#x}.",
    )


@template("fault-address", "The faulting IPA from HPFAR and HxFAR", "01", "02")
def fault_address(draw: Random) -> Draft | None:
    """Ask for the IPA that two registers hold."""
    wide = draw.choice((32, 32, 36, 40))
    ipa = draw.randrange(PAGE_SIZE, 1 << wide) & ~3
    va = draw.randrange(1, 0xC_0000) << PAGE_SHIFT | ipa & OFFSET
    if not ipa & OFFSET:
        return None
    machine = boot()
    vcpu = machine.kvm(machine.create_vm()).vcpus[0]  # no slot, so the kernel needs the whole address
    vcpu.hsr = Syndrome(fetch=False, fault="translation", level=1).encode()
    vcpu.hpfar, vcpu.hxfar = encode_hpfar(ipa), va
    run(kvm_handle_guest_abort(vcpu))
    right = marks(machine, "io_mem_abort")[0]["ipa"]
    wrong = keep(
        (right,),
        [
            Wrong((vcpu.hpfar,), f"{vcpu.hpfar:#x} is the register as it is.", "M13"),
            Wrong((vcpu.hpfar << 12,), "that shifts HPFAR as if it were a page number; its low 4 bits are no address."),
            Wrong((va,), "HxFAR holds what the program used, a VA, before the guest's own tables.", "M01"),
            Wrong((right & ~OFFSET,), "that is the page; the low 12 bits are in the other register."),
            Wrong((vcpu.hpfar << 8 | va,), "that mixes in all of HxFAR; only its low 12 bits belong to the IPA."),
        ],
    )
    return Draft(
        "A guest's load has faulted in stage 2. Which IPA did it want?",
        (f"HPFAR = {vcpu.hpfar:#x}", f"HxFAR = {va:#x}"),
        numbers("0x IPA"),
        (right,),
        wrong,
        (
            "Two registers, two parts: one has the page, the other the place in it.",
            "Bits 31:4 of HPFAR hold bits 39:12 of the IPA.",
            "Drop HPFAR's last hex digit, append the last three hex digits of HxFAR.",
        ),
        f"(HPFAR & ~0xf) << 8 is {right & ~OFFSET:#x}, and the low 12 bits of HxFAR are {right & OFFSET:#x}.",
    )


@template("index", "The indices into three levels of tables", "03", "06")
def table_index(draw: Random) -> Draft | None:
    """Ask for the three indices and the offset of an IPA."""
    ipa = draw.randrange(1 << draw.choice((31, 32, 36, 40))) & ~3
    if ipa < 1 << 30 or not ipa & OFFSET:
        return None
    right = index_of(ipa, 1), index_of(ipa, 2), index_of(ipa, 3), ipa & OFFSET
    wrong = keep(
        right,
        [
            Wrong((ipa >> 30 & 511, *right[1:]), "the level 1 table has 1,024 entries: two tables of 512 joined."),
            Wrong(
                (ipa >> 31 & 511, ipa >> 22 & 511, ipa >> 13 & 511, ipa & 0x1FFF),
                "that counts 9 bits for each level from the top; level 1 has 10.",
            ),
            Wrong(
                (ipa >> 30, ipa >> 20 & 1023, ipa >> 10 & 1023, ipa & 1023),
                "that takes 10 bits for each part; only level 1 has 10.",
            ),
            Wrong((right[2], right[1], right[0], right[3]), "that is the right cut, but level 1 is at the top."),
        ],
    )
    return Draft(
        f"Cut IPA {ipa:#x} (of at most {IPA_MAX:#x}) into the indices of a stage-2 walk.",
        (),
        numbers("level 1", "level 2", "level 3", "0x offset"),
        right,
        wrong,
        (
            "40 bits are cut into 10 + 9 + 9 + 12.",
            "Begin at the low end: 12 bits of offset, then 9 bits for level 3.",
            "Level 1 is the IPA shifted right by 30, level 2 by 21, level 3 by 12; of the last two keep 9 bits.",
        ),
        f"{ipa:#x} is {right[0]} (bits 39:30), {right[1]} (29:21), {right[2]} (20:12) and {right[3]:#x} (11:0).",
    )
