"""Exercises on faults: who acts, what the kernel returns, how many there are."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from kvmlab.engine import Machine
from kvmlab.engine.hardware.syndrome import Syndrome, encode_hpfar
from kvmlab.engine.kernel.abort import kvm_handle_guest_abort
from kvmlab.engine.kernel.errno import strerror
from kvmlab.engine.kernel.flush import kvm_tlb_flush_vmid
from kvmlab.engine.kernel.pgtable import PAGE_SIZE
from kvmlab.engine.tasks import run
from kvmlab.exercises.parts import Draft, Wrong
from kvmlab.exercises.runs import any_slot, boot, marks, say_slot
from kvmlab.exercises.template import choice, keep, numbers, template

WALKER = "the CPU's walker; no software hears of it"
GUEST = "the guest's own kernel, in an abort handler"
KVM = "KVM alone, in the host's kernel"
HOST = "KVM, after the host's memory manager found or brought a page"
QEMU = "KVM first, and then QEMU, which emulates a device"
ACTORS = (WALKER, GUEST, KVM, HOST, QEMU)
WHY = {
    WALKER: "The tables have an entry that allows it: the walker finds it and fills the TLB.",
    GUEST: "No slot holds the address, and it is a fetch: KVM puts a prefetch abort into the guest.",
    KVM: "The host has the page; what is missing is the entry in stage 2, or a right in it, and that KVM writes.",
    HOST: "KVM asks the host which page is behind the address, and the host first has to find or bring one.",
    QEMU: "No slot holds the address, and it is a load or store: KVM leaves to user space, which emulates it.",
}
"""Why an actor acts."""


@dataclass(frozen=True)
class Case:
    """An access, and what was before it.

    Attributes:
        said: the situation in words.
        actor: who does the work, by the events of the run.
    """

    said: str
    actor: str


def actor_of(machine: Machine, start: int) -> str:
    """Return who did the work for an access, by the events from `start` on."""
    names = {name for name, _ in machine.stream.marks(start)}
    if "mmio/exited" in names:
        return QEMU
    if "inject_pabt" in names:
        return GUEST
    if names & {"host/swapped_in", "host/page_given", "host/copied"}:
        return HOST
    return KVM if "kvm_guest_fault" in names else WALKER


def _case(draw: Random) -> Case:
    """Set up a situation and run the access."""
    slot, machine = any_slot(draw), boot()
    vm = machine.create_vm([slot])
    page = PAGE_SIZE * draw.randrange(1, slot.size // PAGE_SIZE)
    ipa, hva, access = slot.ipa + page, slot.hva + page, "read"
    kind = draw.choice(("cold", "first", "swapped", "host has it", "upgrade", "hole", "fetch hole"))
    said = f"The guest loads from IPA {ipa:#x}, in its RAM, "
    match kind:
        case "cold":
            machine.access(vm, ipa, "write")
            kvm_tlb_flush_vmid(machine.kvm(vm))
            said += "which it has written before; its TLB entries have just been flushed."
        case "first":
            said += "for the first time; the host's process has never touched that page either."
        case "swapped":
            machine.access(vm, ipa, "write")
            machine.swap_out(vm, hva)
            said += "which it has used before; since then the host has moved the page to swap."
        case "host has it":
            machine.access(vm, ipa + PAGE_SIZE if page + PAGE_SIZE < slot.size else ipa - PAGE_SIZE, "write")
            machine.host_write(vm, hva, 1)
            said += "for the first time; QEMU has put its contents there, so the host has the page."
        case "upgrade":
            machine.access(vm, ipa, "read")
            access = "write"
            said = f"The guest stores to IPA {ipa:#x}, in its RAM, which so far it has only read."
        case _:
            ipa = slot.ipa + slot.size + page
            access = "fetch" if kind == "fetch hole" else "read"
            verb = "fetches an instruction from" if access == "fetch" else "loads from"
            said = f"The guest {verb} IPA {ipa:#x}; no memory slot holds it."
    start = len(machine.stream)
    machine.access(vm, ipa, access)
    return Case(said, actor_of(machine, start))


STAGE_1 = Case(
    "A program in the guest loads from an address for which the guest's own page tables (stage 1) have no entry. "
    "The tables lie in memory that KVM has mapped.",
    GUEST,
)
"""The engine leaves stage 1 out; that a stage-1 fault goes to the guest's kernel is in ARM DDI 0406C, B3.12."""


@template("first-to-act", "Who does the work that an access needs", "00", "01")
def first_to_act(draw: Random) -> Draft | None:
    """Ask who has to do something for an access."""
    case = STAGE_1 if draw.random() < 0.15 else _case(draw)
    errors = {
        (WALKER, KVM): ("the tables have the entry; only the TLB has not.", "M07"),
        (WALKER, HOST): ("a flush took the cached translations; the tables and the page are there.", "M16"),
        (GUEST, KVM): ("it is not stage 2 that is missing something which KVM could give.", "M09"),
        (KVM, GUEST): ("the guest's kernel notices nothing of a stage-2 fault.", "M08"),
        (HOST, GUEST): ("the guest's kernel notices nothing of a stage-2 fault.", "M08"),
        (HOST, KVM): ("KVM has no pages of its own to give; it asks the host which page is behind the address.", "M40"),
        (QEMU, GUEST): ("a load where there is no RAM is what a device looks like; the guest waits for a "
            "value.", "M11"),
        (QEMU, KVM): ("KVM does not know what the device would answer."
                      , ""),
    }  # fmt: skip
    slip = {
        WALKER: "the walker stops where a descriptor does not allow the access, or is missing.",
        GUEST: "the guest's kernel is asked only where its own tables lack something, or KVM puts an abort into it.",
        KVM: "KVM alone is enough only where the host has the page.",
        HOST: "no page of the host has to be found or brought here.",
        QEMU: "there is RAM behind the address, or it is no load or store.",
    }
    pool = [actor for actor in ACTORS if actor != case.actor]
    made = choice(case.actor, [(words, *errors.get((case.actor, words), (slip[words], ""))) for words in pool])
    if made is None:
        return None
    return Draft(
        f"{case.said} Who does the work that it needs?",
        (),
        *made,
        (
            "Is there a fault at all, or only a miss in the TLB?",
            "If there is a fault: of stage 1, or of stage 2? Is there a slot?",
            "With a slot: does the host have the page? Without: is it a load, or a fetch?",
        ),
        "Faults of stage 1 go to the guest's own kernel; Hyp mode hears of those of stage 2 only."
        if case is STAGE_1
        else WHY[case.actor],
    )


@template("return-value", "What kvm_handle_guest_abort returns", "01", "02")
def return_value(draw: Random) -> Draft | None:
    """Ask for the return value of the abort handler, and what runs next."""
    slot = any_slot(draw)
    inside = draw.random() < 0.5
    fetch, write, valid = draw.random() < 0.3, draw.random() < 0.5, draw.random() < 0.7
    fault = draw.choice(("translation", "translation", "translation", "permission", "access flag"))
    hsr = Syndrome(fetch=fetch, fault=fault, level=3, write=write and not fetch, valid=valid).encode()
    ipa = slot.ipa + PAGE_SIZE * draw.randrange(1, slot.size // PAGE_SIZE) + (0 if inside else slot.size)
    machine = boot()
    vm = machine.create_vm([slot])
    if fault == "permission" and inside:
        machine.access(vm, ipa, "read")
    vcpu = machine.kvm(vm).vcpus[0]
    vcpu.hsr, vcpu.hpfar, vcpu.hxfar = hsr, encode_hpfar(ipa), ipa & 0xFFFF_FFFF
    ret = run(kvm_handle_guest_abort(vcpu))
    guest, qemu, aborted = "1, and the guest goes on", "0, and QEMU does it", "1, and the guest gets an abort"
    error = f"{strerror(ret)}, and QEMU gets an error" if ret < 0 else "-EFAULT, and QEMU gets an error"
    right = error if ret < 0 else qemu if ret == 0 else aborted if vcpu.injected else guest
    swapped = "1, and QEMU does it" if right == qemu else "0, and the guest goes on"
    errors = {
        guest: ("nothing has been mapped for it.", ""),
        qemu: ("QEMU is asked to emulate a load or store where there is no slot, and only with its details.", ""),
        aborted: ("only a fetch from an address without a slot is answered with an abort.", ""),
        error: ("nothing has gone wrong in the kernel: this happens all the time.", "M11" if not inside else ""),
        swapped: ("that takes 0 for success.", "M10"),
    }
    made = choice(
        right, [(words, *errors[words]) for words in (guest, qemu, aborted, error, swapped) if words != right]
    )
    if made is None:
        return None
    what = "a fetch" if fetch else f"a {'store' if write else 'load'}, ISV = {int(valid)}"
    return Draft(
        f"{fault.capitalize()} fault in stage 2 at IPA {ipa:#x}: {what}. What does kvm_handle_guest_abort return, "
        "and what comes next?",
        (say_slot(slot, "the only slot"), "the host gives a writable page for every address of the slot"),
        *made,
        (
            "Is the page in the slot?",
            "Translation fault or another kind? A load or store, or a fetch? Are there details (ISV)?",
            "1 resumes the guest, 0 leaves to user space, a negative number is an error.",
        ),
        _because(ret, inside=inside, fault=fault, aborted=bool(vcpu.injected)),
    )


def _because(ret: int, *, inside: bool, fault: str, aborted: bool) -> str:
    """Say why kvm_handle_guest_abort returned what it did."""
    if fault == "access flag":
        return f"Access flag faults are not expected, as AF is set in every entry: {strerror(ret)}."
    if inside:
        if ret < 0:
            return f"A read needs no more than any entry allows, so its permission fault is an error: {strerror(ret)}."
        return "The page is in the slot: it is mapped, and the instruction is repeated."
    if aborted:
        return "No slot holds the page, and it is a fetch: the guest gets a prefetch abort and goes on with that."
    if fault == "permission":
        return f"No slot holds the page, so a permission fault makes no sense there: {strerror(ret)}."
    if ret < 0:
        return f"No slot holds the page, and without ISV nobody can say what to emulate: {strerror(ret)}."
    return "No slot holds the page, so it is taken for a device: user space emulates the access."


@template("faults", "How many faults some accesses make", "01", "02")
def faults(draw: Random) -> Draft | None:
    """Ask how often a guest leaves for KVM."""
    slot, machine = any_slot(draw), boot()
    vm = machine.create_vm([slot])
    places = [PAGE_SIZE * draw.randrange(1, 512) for _ in range(3)]
    flush = draw.randrange(3, 7)
    lines, pages, again = [], set[int](), set[int]()
    for turn in range(8):
        if turn == flush:
            kvm_tlb_flush_vmid(machine.kvm(vm))
            lines.append("(KVM flushes the VM's TLB entries)")
        place, access = draw.choice(places), draw.choice(("read", "write"))
        known = place in pages
        done = machine.access(vm, slot.ipa + place + 4 * draw.randrange(1024), access)
        again |= {place} if turn >= flush and known and not done.faults else set()
        pages.add(place)
        lines.append(f"{access} {slot.ipa + place:#x}")
    right = len(marks(machine, "kvm_guest_fault"))
    cold = len(marks(machine, "tlb/missed")) - right  # each fault looks twice
    wrong = keep(
        (right,),
        [
            Wrong((len(pages),), "that lets a read fault map the page for writing too.", "M12"),
            Wrong((right + len(again),), "that counts pages again after the flush.", "M16"),
            Wrong((cold + right - len(pages),), "that counts every miss of the TLB.", "M07"),
            Wrong((8,), "not every access faults: a page that is mapped, and allows it, does not."),
            Wrong((1,), "one fault maps one page, not a whole region.", "M03"),
        ],
    )
    return Draft(
        "A new VM's guest does this, in order (each address is somewhere in that page). How many times does it "
        "fault into KVM?",
        tuple(lines),
        numbers("faults"),
        (right,),
        wrong,
        (
            "Which pages are touched for the first time?",
            "A flush of the TLB removes no leaf from the tables.",
            "On 3.9 a page that was first read is mapped read-only: its first write faults once more.",
        ),
        f"{len(pages)} pages fault once each, and {right - len(pages)} of them again on the first write after a read.",
    )
