"""Exercises on devices: how an access to one goes, what ioremap maps, and what is left after an error."""

from __future__ import annotations

from random import Random

from kvmlab.engine import Slot
from kvmlab.engine.hardware.walker import walk
from kvmlab.engine.kernel.errno import strerror
from kvmlab.engine.kernel.pgtable import PAGE_SIZE
from kvmlab.exercises.parts import Draft, Field, Fields, Wrong
from kvmlab.exercises.runs import any_slot, boot, marks, say_slot
from kvmlab.exercises.template import choice, keep, numbers, template

DEVICE_PA = 0x2C00_0000
FOUR_GIB = 1 << 32


@template("ioremap", "Pages that an ioremap maps", "06")
def ioremap(draw: Random) -> Draft | None:
    """Ask how many pages a call maps."""
    ipa = 0x1000_0000 * draw.randrange(1, 9) + PAGE_SIZE * draw.randrange(256) + draw.choice((0, 0, 0, 0x400, 0x800))
    size = PAGE_SIZE * draw.randrange(0, 6) + draw.choice((0, 0, 0x400, 0xC00))
    if draw.random() < 0.25:
        size = PAGE_SIZE * draw.randrange(2, 8)
        ipa = FOUR_GIB - PAGE_SIZE * draw.randrange(1, size // PAGE_SIZE + 1)
    machine = boot()
    vm = machine.create_vm()
    machine.ioremap(vm, ipa, DEVICE_PA, size)
    right = marks(machine, "ioremap/done")[-1]["mapped"]
    up = -(-size // PAGE_SIZE)
    wrong = keep(
        (right,),
        [
            Wrong((up,), "it returned 0.", "M31") if right == 0 and up
            else Wrong((size // PAGE_SIZE,), "the end is rounded up to a whole page."),
            Wrong((up,), "the loop begins at the address as it is, and ends at the rounded end: look at the low "
                "digits."),
            Wrong((0,), "the loop runs while the address is below the rounded end, and here it is.") if right
            else Wrong((1,), "the loop ends before it begins."),
            Wrong((right + 1,), "count from the address as it is, in steps of 4096, to before the rounded end."),
            Wrong((right + 3,), "that counts the frames that the tables need too.", "M43"),
        ],
    )  # fmt: skip
    return Draft(
        f"kvm_phys_addr_ioremap is called with guest_ipa {ipa:#x} and size {size:#x}. How many pages does Linux 3.9 "
        "(32 bits) map?",
        ("nothing is mapped in the guest so far",),
        numbers("pages"),
        (right,),
        wrong,
        (
            "Only the end is rounded: up, to a whole page.",
            "The loop begins at guest_ipa as it is and takes steps of 4096.",
            "The end is cut to 32 bits: what ends at 4 GiB or above ends, for the loop, near 0.",
        ),
        f"The end {ipa + size:#x} is rounded up"
        + (", and cut to 32 bits: it lies below the beginning." if ipa + size >= FOUR_GIB else "")
        + ("" if ipa + size >= FOUR_GIB else f": {right} steps of 4096 from {ipa:#x}."),
    )


@template("ioremap-error", "What is left after an ioremap that failed", "06")
def ioremap_error(draw: Random) -> Draft | None:
    """Ask for return value, pages and frames after an error half way."""
    pages, at = draw.randrange(3, 7), draw.randrange(1, 6)
    ipa = 0x1000_0000 * draw.randrange(1, 8) + PAGE_SIZE * draw.randrange(16)
    machine = boot()
    slot = Slot(ipa, PAGE_SIZE * pages, 0x4000_0000)
    vm = machine.create_vm([slot])
    before = 0
    if draw.random() < 0.6 and at < pages:
        machine.access(vm, ipa + PAGE_SIZE * at, "write")
        before = len(machine.image(vm).frames)
        why = f"page {at + 1} of the range is mapped already, as RAM that the guest has written"
    else:
        machine.fail_alloc(at)
        before = len(machine.image(vm).frames)
        why = f"nothing is mapped so far; allocation number {at} from now on fails"
    ret = machine.ioremap(vm, ipa, DEVICE_PA, PAGE_SIZE * pages)
    if not ret:
        return None
    mapped = marks(machine, "ioremap/done")[-1]["mapped"]
    left = sum(
        bool(found.descriptor >> 55 & 1)
        for n in range(pages)
        if len((found := walk(machine.linux.memory, machine.kvm(vm).pgd, ipa + PAGE_SIZE * n)).steps) == 3
    )
    assert left == mapped
    added = len(machine.image(vm).frames) - before
    results = ("0", "-EFAULT", "-ENOMEM")
    code = results.index(strerror(ret))
    right = code, mapped, added
    wrong = keep(
        right,
        [
            Wrong((code, 0, added), "that takes back what was mapped before the error.", "M31"),
            Wrong((code, 0, 0), "that takes back everything.", "M31"),
            Wrong((0, pages, added), "that overwrites, or goes on as if nothing had happened."),
            Wrong((code, pages - 1, added), "after an error the loop ends; later pages are not tried."),
            Wrong((code, mapped, mapped), "a device page takes no frame; only tables do.", "M43"),
            Wrong((3 - code, mapped, added), "-EFAULT: something is mapped there. -ENOMEM: no frame to be had."),
            Wrong((code, mapped + 1, added), "the page at which it failed is not mapped as a device."),
        ],
    )
    return Draft(
        f"kvm_phys_addr_ioremap is called for {pages} pages from IPA {ipa:#x} on. What does it return, how many "
        "device pages are mapped afterwards, and by how many frames have the VM's tables grown?",
        (why,),
        Fields((Field("returns", results), Field("device pages"), Field("frames"))),
        right,
        wrong,
        (
            "The loop goes page by page, and ends at the first error.",
            "Before each page it fills a cache of its own to 2 objects; what is left over is given back at the end.",
            "What was mapped before the error stays; so do the tables it needed.",
        ),
        f"{mapped or 'No'} page{'s' * (mapped != 1)} came before the error. Nothing is taken back in 3.9: what is "
        "mapped stays, and so do the tables.",
    )


@template("access-kind", "RAM, device page or hole", "06")
def access_kind(draw: Random) -> Draft | None:
    """Ask how an access goes in a VM with RAM and a device page."""
    slot, machine = any_slot(draw), boot()
    vm = machine.create_vm([slot])
    device = Slot(0x2C00_0000 + PAGE_SIZE * draw.randrange(64), PAGE_SIZE * draw.randrange(1, 4), 0)
    machine.ioremap(vm, device.ipa, DEVICE_PA, device.size)
    used = slot.ipa + PAGE_SIZE * draw.randrange(1, 64)
    machine.access(vm, used, "write")
    kind, access = draw.choice(("device", "hole", "hole", "used", "fresh")), draw.choice(("read", "write"))
    page = {
        "device": device.ipa + PAGE_SIZE * draw.randrange(device.size // PAGE_SIZE),
        "hole": device.ipa + device.size + PAGE_SIZE * draw.randrange(64),
        "used": used,
        "fresh": slot.ipa + PAGE_SIZE * draw.randrange(64, 1024),
    }[kind]
    if kind == "hole" and draw.random() < 0.5:
        access = "fetch"
    done = machine.access(vm, page + 4 * draw.randrange(8), access)
    direct, mapped = "it is done directly, without a fault", "it faults, is mapped, and is then done"
    qemu, abort = "it faults, and QEMU emulates it", "it faults, and the guest gets an abort"
    right = {"mmio": qemu, "aborted": abort, "done": mapped if done.faults else direct}[done.status]
    errors = {
        qemu: ("that page is reached without QEMU.", "M42") if kind == "device" else ("there is RAM behind it.", ""),
        abort: ("a load or store there is taken for a device's register.", "M11")
        if kind == "hole"
        else ("only a fetch where no slot is gets one.", ""),
        mapped: ("it was mapped ahead, by ioremap.", "M43")
        if kind == "device"
        else ("it is mapped already, with the right to do this.", "")
        if kind == "used"
        else ("no slot says which page it could be.", ""),
        direct: ("a slot maps nothing by itself.", "M03") if kind == "fresh" else ("nothing is mapped there.", ""),
    }
    made = choice(right, [(words, *error) for words, error in errors.items() if words != right])
    if made is None:
        return None
    return Draft(
        f"How does the guest's {access} at IPA {page:#x} go?",
        (
            say_slot(slot),
            f"kvm_phys_addr_ioremap was called for IPA {device.ipa:#x}, size {device.size:#x}",
            f"so far the guest has written to IPA {used:#x} only",
        ),
        *made,
        (
            "Is the page in a slot, mapped as a device, or neither?",
            "A slot is a promise, ioremap is a mapping.",
            "In a hole a load or store goes to QEMU, a fetch is answered with an abort.",
        ),
        f"In the run {right}: "
        + {
            "device": "ioremap has mapped the page ahead.",
            "hole": "no slot holds the page, and nothing is mapped there.",
            "used": "the guest's own write has mapped it, for reading and writing.",
            "fresh": "the slot promises the page, and the first fault maps it.",
        }[kind],
    )
