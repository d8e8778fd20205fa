"""Exercises on what a fault says and on the descriptor that answers it."""

from __future__ import annotations

from random import Random

from kvmlab.engine.hardware.descriptor import ADDRESS_MASK, AF_SHIFT, HAP_SHIFT, XN_SHIFT
from kvmlab.engine.hardware.syndrome import ISV, WNR, Syndrome, decode_hsr
from kvmlab.engine.hardware.walker import Walk, walk
from kvmlab.engine.kernel.abort import kvm_is_write_fault
from kvmlab.engine.kernel.pgtable import L_PTE_S2_RDWR, PAGE_S2_SMP, PAGE_SHIFT, PAGE_SIZE
from kvmlab.exercises.parts import Draft, Field, Fields, Wrong
from kvmlab.exercises.runs import any_pfn_base, any_slot, boot, marks, say_slot
from kvmlab.exercises.template import choice, keep, numbers, template

FAULTS = ("translation", "access flag", "permission")
NO, YES = 0, 1


@template("syndrome", "What an HSR says", "01", "03")
def syndrome(draw: Random) -> Draft | None:
    """Ask for kind, level and "write or not" of an HSR."""
    hsr = Syndrome(
        fetch=draw.random() < 0.3,
        fault=draw.choice(FAULTS),
        level=draw.randrange(1, 4),
        write=draw.random() < 0.4,
        valid=draw.random() < 0.5,
        register=draw.randrange(13),
    ).encode()
    told = decode_hsr(hsr)
    kind, write = FAULTS.index(told.fault), int(kvm_is_write_fault(hsr))
    right = kind, told.level, write
    wnr = int(bool(hsr & WNR))
    wrong = keep(
        right,
        [
            Wrong((kind, told.level, wnr), "WnR is 0, but ISV is 0 too: the details are not there.", "M14")
            if not told.fetch and not told.valid
            else Wrong(
                (kind, told.level, 1 - write), "look at EC first: a fetch is never a write. Then at ISV and WnR."
            ),
            Wrong(((kind + 1) % 3, told.level, write), "of FSC, bits 5:2 say the kind: 0x04, 0x08 or 0x0c."),
            Wrong((kind, hsr >> 2 & 3, write), "the level is in the low two bits of FSC, the kind is above them."),
        ],
    )
    return Draft(
        "What does this HSR say, and does Linux 3.9 take the access for a write?",
        (f"HSR = {hsr:#010x}", "EC 31:26 (0x20 fetch, 0x24 data) · ISV 24 · WnR 6 · FSC 5:0"),
        Fields((Field("fault", FAULTS), Field("level"), Field("taken for a write", ("no", "yes")))),
        right,
        wrong,
        (
            "EC is in bits 31:26: 0x20 is a fetch, 0x24 a load or store.",
            "FSC is in bits 5:0: the kind is FSC & 0x3c (0x04, 0x08, 0x0c), the level FSC & 3.",
            "For a data abort look at ISV before WnR: without ISV 3.9 assumes the worse.",
        ),
        f"{'A fetch' if told.fetch else 'A data abort'}, {told.fault} fault at level {told.level}; "
        + (
            "a fetch is no write."
            if told.fetch
            else f"ISV is {int(bool(hsr & ISV))}, WnR {wnr}, so 3.9 takes it for a {'write' if write else 'read'}."
        ),
    )


@template("leaf", "The descriptor that a fault installs", "01", "03")
def leaf(draw: Random) -> Draft | None:
    """Ask for the leaf after a read, write or fetch fault."""
    slot, access = any_slot(draw), draw.choice(("read", "write", "fetch"))
    machine = boot(host_ram_base=any_pfn_base(draw))
    vm = machine.create_vm([slot])
    page = PAGE_SIZE * draw.randrange(1, slot.size // PAGE_SIZE)
    machine.access(vm, slot.ipa + page, access)
    new = marks(machine, "tables/mapped")[-1]["new"]
    dirty = int(bool(marks(machine, "page/dirtied")))
    pfn = marks(machine, "page/looked_up")[-1]["pfn"]
    right, hva = (new, dirty), slot.hva + page
    full = pfn << PAGE_SHIFT | PAGE_S2_SMP | L_PTE_S2_RDWR
    wrong = [
        Wrong((new & ~ADDRESS_MASK | hva, dirty), f"{hva:#x} is the process's address.", "M02"),
        Wrong((new & ~ADDRESS_MASK | slot.ipa + page, dirty), "that leaf leads back to the IPA.", "M01"),
    ]
    if access == "write":
        read_only = pfn << PAGE_SHIFT | PAGE_S2_SMP
        wrong.append(Wrong((read_only, NO), "that leaf would fault again on the same store: it is read-only."))
        wrong.append(Wrong((new, NO), "whoever may write from now on may make the page differ from its copy on disk."))
    else:
        wrong.append(Wrong((full, YES), "nobody has asked to write yet.", "M12"))
        wrong.append(Wrong((new, YES), f"a {access} changes nothing in the page, and the leaf does not let the guest."))
    return Draft(
        f"A guest {'fetches from' if access == 'fetch' else access + 's'} a page for the first time. The host finds "
        "a writable page of its own for it. Which leaf does Linux 3.9 (SMP) install, and does it mark the page "
        "dirty?",
        (f"IPA {slot.ipa + page:#x}", say_slot(slot), f"frame of the host: pfn {pfn:#x}"),
        Fields((Field("leaf", hex=True), Field("dirty", ("no", "yes")))),
        right,
        keep(right, wrong),
        (
            "The leaf holds an address that the hardware can use: the frame's.",
            "The attributes are 0x77f for read only and 0x7ff for read and write (HAP is bits 7:6).",
            "3.9 on ARM gives write permission, and marks dirty, only when a write was asked for.",
        ),
        f"pfn {pfn:#x} << 12, with {new & 0xFFF:#x}: "
        + ("a write was asked for, so read and write." if dirty else f"for a {access} 3.9 maps read-only."),
    )


@template("descriptor", "What the walker does with a descriptor", "03", "05")
def descriptor(draw: Random) -> Draft | None:
    """Ask how a walk ends at a leaf of which one bit may be flipped."""
    slot, access = any_slot(draw), draw.choice(("read", "read", "write", "fetch"))
    machine = boot(host_ram_base=any_pfn_base(draw))
    vm = machine.create_vm([slot])
    ipa = slot.ipa + 4 * draw.randrange(PAGE_SIZE // 4, slot.size // 4)
    machine.access(vm, ipa, draw.choice(("read", "write")))
    mapped = marks(machine, "tables/mapped")[-1]
    flipped = draw.choice((-1, 0, HAP_SHIFT, HAP_SHIFT + 1, AF_SHIFT, XN_SHIFT))
    word = mapped["new"] ^ (1 << flipped if flipped >= 0 else 0)
    memory, root = machine.linux.memory, machine.kvm(vm).vttbr
    memory.write(mapped["entry"], word)

    def told(found: Walk) -> str:
        return f"it goes to PA {found.pa:#x}" if not found.fault else f"{found.fault} fault at level {found.level}"

    right = told(walk(memory, root, ipa, access))
    goes = f"it goes to PA {word & ADDRESS_MASK | ipa & 0xFFF:#x}"
    wrong = [
        (f"it goes to PA {word & (1 << 40) - 1:#x}", "that takes the attributes for part of the address.", "M06"),
        (goes, "the address is right, but something in the low bits or in bit 54 forbids this access.", ""),
        ("permission fault at level 3", "HAP is bits 7:6: bit 6 allows reading, bit 7 writing; XN stops fetches.", ""),
        ("translation fault at level 3", "the low two bits say whether there is a page: 0b11 at level 3.", ""),
        ("access flag fault at level 3", "AF is bit 10: only an entry without it gives this fault.", ""),
    ]
    others = [one for one in wrong if one[0] != right]
    made = choice(right, [others[0], *draw.sample(others[1:], 3)] if goes == right else [*others[:2], *others[2:4]])
    if made is None:
        return None
    return Draft(
        f"At level 3 the walker finds this descriptor. What happens to the guest's {access} at IPA {ipa:#x}?",
        (f"descriptor = {word:#018x}", "type 1:0 · HAP 7:6 · AF 10 · address 39:12 · XN 54"),
        *made,
        (
            "First the type in the low two bits: is it a page?",
            "Then AF (bit 10), then HAP (bits 7:6): 01 reads, 10 writes, 11 both.",
            "The address is bits 39:12 alone; the offset comes from the IPA. XN stops only a fetch.",
        ),
        f"{word:#x}: type {word & 3:#04b}, AF {word >> AF_SHIFT & 1}, HAP {word >> HAP_SHIFT & 3:#04b}, XN "
        f"{word >> XN_SHIFT & 1}: {right}.",
    )


@template("walk-reads", "Memory reads of a walk in two stages", "01")
def walk_reads(draw: Random) -> Draft | None:
    """Ask how many reads a nested walk takes."""
    first, second = draw.randrange(2, 6), draw.randrange(2, 6)
    reads = 0

    def stage_2() -> None:
        nonlocal reads
        for _ in range(second):
            reads += 1

    for _ in range(first):
        stage_2()  # where is the guest's table?
        reads += 1  # its entry
    stage_2()  # where is the page?
    right = (reads,)
    wrong = keep(
        right,
        [
            Wrong((first + second,), "that walks one after the other.", "M04"),
            Wrong((first * second,), "each stage-1 entry costs a walk of stage 2 and the read of the entry itself."),
            Wrong((first * (second + 1),), "the IPA that comes out of stage 1 has to be translated too."),
            Wrong(((first + 1) * (second + 1),), "the page itself is no table: the last read belongs to the access."),
        ],
    )
    return Draft(
        f"A guest's own tables (stage 1) have {first} levels, those of stage 2 have {second}. Nothing is cached. "
        "How many descriptors does the hardware read for one access, at most?",
        (),
        numbers("reads"),
        right,
        wrong,
        (
            "A table of stage 1 has an address: of which kind is it?",
            f"To read one entry of stage 1 takes {second} reads of stage 2, and the entry: {second + 1}.",
            f"That {first} times, and {second} more for the IPA of the page.",
        ),
        f"({first} + 1) x ({second} + 1) - 1 = {reads}: {first} entries of stage 1, each with a walk of stage 2, "
        "and one walk for the page.",
    )
