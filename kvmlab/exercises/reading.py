"""Exercises on reading: a log, the real code, and a picture."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from kvmlab.engine import Machine
from kvmlab.engine.hardware.syndrome import ISV, WNR, Syndrome, encode_hpfar
from kvmlab.engine.hardware.walker import walk
from kvmlab.engine.kernel.abort import kvm_handle_guest_abort, kvm_is_write_fault
from kvmlab.engine.kernel.pgtable import PAGE_SHIFT, PAGE_SIZE
from kvmlab.engine.tasks import run
from kvmlab.exercises.parts import Draft, Field, Fields, Wrong
from kvmlab.exercises.runs import any_slot, boot, say_slot
from kvmlab.exercises.template import choice, keep, template
from kvmlab.scenes.fault.story import fault_scene
from kvmlab.scenes.log import log_line
from kvmlab.scenes.sources import source_of

NEXT = {"page/looked_up": "user_mem_abort", "io_mem_abort": "io_mem_abort", "inject_pabt": "kvm_inject_pabt"}
FUNCTIONS = tuple(NEXT.values())


@template("log-line", "A line of the kernel's trace", "09")
def log_line_decoded(draw: Random) -> Draft | None:
    """Ask what a line of kvm_guest_fault says."""
    slot = any_slot(draw)
    inside, fetch = draw.random() < 0.5, draw.random() < 0.3
    ipa = slot.ipa + (0 if inside else slot.size) + 4 * draw.randrange(PAGE_SIZE // 4, slot.size // 4)
    hsr = Syndrome(
        fetch=fetch, fault="translation", level=3, write=draw.random() < 0.4, valid=draw.random() < 0.6
    ).encode()
    va = draw.randrange(0x1_0000, 0xC_0000) << PAGE_SHIFT | ipa & PAGE_SIZE - 1
    machine = boot()
    vcpu = machine.kvm(machine.create_vm([slot])).vcpus[0]
    vcpu.hsr, vcpu.hpfar, vcpu.hxfar, vcpu.pc = hsr, encode_hpfar(ipa), va, 0x8000_8000 + 4 * draw.randrange(4096)
    begun = len(machine.stream)
    run(kvm_handle_guest_abort(vcpu))
    events = list(machine.stream.since(begun))
    line = next(log_line(event) for event in events if event.name == "kvm_guest_fault")
    called = FUNCTIONS.index(next(NEXT[event.name] for event in events if event.name in NEXT))
    write = int(kvm_is_write_fault(hsr))
    right = ipa, write, called
    wnr = int(bool(hsr & WNR))
    wrong = keep(
        right,
        [
            Wrong((va, write, called), "hxfar is what the program used, a VA.", "M01"),
            Wrong((ipa & ~(PAGE_SIZE - 1), write, called), "the line has the page; its low 12 bits are those of "
                "hxfar."),
            Wrong((encode_hpfar(ipa), write, called), "that is what HPFAR would hold.", "M13"),
            Wrong((ipa, wnr, called), "WnR counts only with ISV.", "M14") if not fetch and not hsr & ISV
            else Wrong((ipa, 1 - write, called), "look at EC (a fetch is no write), at ISV, and then at WnR."),
            Wrong((ipa, write, (called + 1) % 3), "is the page in the slot? If not: a fetch, or a load or store?"),
            Wrong((ipa, write, (called + 2) % 3), "the slot decides first; outside of it a fetch gets an abort."),
        ],
    )  # fmt: skip
    return Draft(
        "A line of the kernel's trace, and the VM's only slot. Which IPA did the guest want (all of it), does 3.9 "
        "take it for a write, and which function handles it?",
        (str(line), say_slot(slot)),
        Fields((Field("IPA", hex=True), Field("write", ("no", "yes")), Field("handled by", FUNCTIONS))),
        right,
        wrong,
        (
            "The line's ipa ends in 000: the rest is in hxfar.",
            "HSR: EC is bits 31:26 (0x20 fetch, 0x24 data), ISV bit 24, WnR bit 6.",
            "In the slot: user_mem_abort. Outside: a load or store goes to io_mem_abort, a fetch gets an abort.",
        ),
        f"IPA {ipa:#x}; {'a fetch' if fetch else f'ISV {int(bool(hsr & ISV))}, WnR {wnr}'}; the page is "
        f"{'in the slot' if inside else 'in no slot'}.",
    )


def _run(draw: Random) -> tuple[Machine, int]:
    """Return a short run that a scene can tell, and the page it is about."""
    slot = any_slot(draw)
    machine = boot()
    vm = machine.create_vm([slot])
    page = PAGE_SIZE * draw.randrange(1, 500)
    if draw.random() < 0.5:
        machine.access(vm, slot.ipa + page + PAGE_SIZE, draw.choice(("read", "write")))
    machine.access(vm, slot.ipa + page, draw.choice(("read", "write")), value=draw.randrange(1, 100))
    if draw.random() < 0.6:
        machine.swap_out(vm, slot.hva + page)
    return machine, slot.ipa + page


CLAIMS: dict[str, Callable[[Machine, int], bool]] = {
    "the tables map the page": lambda m, ipa: not walk(m.linux.memory, m.kvm(0).pgd, ipa).fault,
    "a CPU's TLB holds the page's translation": lambda m, ipa: any(
        entry.page == ipa >> PAGE_SHIFT for cpu in m.cpus for entry in cpu.tlb.entries()
    ),
    "the VM has a VMID of the present generation": lambda m, ipa: m.kvm(0).vmid_gen == m.linux.kvm_vmid_gen,
    "the VM's mmu_lock is held": lambda m, ipa: bool(m.kvm(0).mmu_lock.held),
    "the vCPU's memory cache has frames for tables": lambda m, ipa: bool(m.kvm(0).vcpus[0].mmu_page_cache.nobjs),
    "the level 1 table points to a level 2 table": lambda m, ipa: (
        len(walk(m.linux.memory, m.kvm(0).pgd, ipa).steps) > 1
    ),
}


@template("figure-step", "At which step a figure shows a claim", "08")
def figure_step(draw: Random) -> Draft | None:
    """Ask for the first step of a run at which something is so."""
    machine, page = _run(draw)
    steps = fault_scene(machine.stream).steps
    claim = draw.choice(list(CLAIMS))
    holds = []
    for step in steps:
        machine.seek(step.event)
        holds.append(machine.linux.vm_list[0].created == 1 and CLAIMS[claim](machine, page))
    machine.seek(len(machine.stream))
    if True not in holds or holds[0]:
        return None
    first = holds.index(True)
    early = "too early: at that step it is not so yet."
    late = "it was so before, or is so no more: ask which event makes it true."
    ends = "the end of a run shows what came of it, not when it began."
    pool = dict.fromkeys(range(first), early) | dict.fromkeys(range(first + 1, len(steps) - 1), late)
    pool[len(steps) - 1] = ends
    others = {first - 1 if draw.random() < 0.7 else len(steps) - 1, *draw.sample(sorted(set(pool) - {first}), 2)}
    if first in others or len(others) < 2:
        return None

    def said(number: int) -> str:
        return f"{number + 1}. {steps[number].title}"

    made = choice(said(first), [(said(n), pool[n], "") for n in sorted(others)])
    if made is None:
        return None
    return Draft(
        f"A figure shall show, for the page at IPA {page:#x}, the moment from which on {claim}. Which step of this "
        "run is the first that shows it?",
        tuple(said(n) for n in range(max(0, first - 3), min(len(steps), first + 4))),
        *made,
        (
            "Which event makes the claim true: a write to what?",
            "Find the step that tells of that write.",
            "One step earlier the claim must be false.",
        ),
        f"At step {first + 1} it is so for the first time: {steps[first].title}.",
    )


@template("function", "Which kernel function does it", "09")
def which_function(draw: Random) -> Draft | None:
    """Ask for the function in which a step happens."""
    machine, _ = _run(draw)
    steps = fault_scene(machine.stream).steps
    told: dict[str, str] = {}
    for step in steps:
        name = step.fn.partition("(")[0]
        if "(" in step.fn and not name.startswith("spin_") and source_of(step.fn):
            told.setdefault(name, step.title)
    shown = {name: title for name, title in told.items() if name not in title}
    if len(shown) < 4:
        return None
    right, *others = draw.sample(sorted(shown), 4)
    made = choice(right, [(name, f"that function does something else: “{shown[name]}”.", "") for name in others])
    if made is None:
        return None
    return Draft(
        f"A step of a run: “{shown[right]}”. In which function of Linux 3.9 does that happen?",
        (f"its file: {source_of(right)}",),
        *made,
        (
            "Who acts: the fault's path, a notifier, the tables, the VMIDs?",
            "The names say it: what is the object, and what is done with it?",
            f"It is one of the functions of {source_of(right)}; its name begins with {right[:5]}.",
        ),
        f"{right}, in {source_of(right)}.",
    )
