"""Exercises on VMIDs: who gets which, and how often all are taken back."""

from __future__ import annotations

from itertools import cycle
from random import Random

from kvmlab.engine.kernel.vmid import update_vttbr
from kvmlab.engine.tasks import run
from kvmlab.exercises.parts import Draft, Wrong
from kvmlab.exercises.runs import boot
from kvmlab.exercises.template import keep, numbers, template
from kvmlab.rollover import measure


@template("vmid", "VMID and generation after some entries", "02", "03")
def vmid_and_generation(draw: Random) -> Draft | None:
    """Ask for a VM's VMID and generation after a sequence of entries."""
    bits = draw.choice((2, 2, 3))
    usable = (1 << bits) - 1
    guests = usable + draw.randrange(1, 3)
    order = [draw.randrange(guests) for _ in range(draw.randrange(usable + 3, 2 * usable + 6))]
    machine = boot(vmid_bits=bits)
    for _ in range(guests):
        machine.create_vm()
    first: dict[int, int] = {}
    for vm in order:
        run(update_vttbr(machine.kvm(vm), 0))
        first.setdefault(vm, machine.kvm(vm).vmid)
    who = order[-1]
    kvm = machine.kvm(who)
    right = kvm.vmid, kvm.vmid_gen
    if machine.linux.kvm_vmid_gen < 3:
        return None
    wrong = keep(
        right,
        [
            Wrong((first[who], right[1]), f"{first[who]} is the number that it was given first.", "M22"),
            Wrong((right[0], right[1] - 1), "the very first entry after boot begins a generation too.", "M24"),
            Wrong((right[0] - 1, right[1]), "that counts from 0, but 0 is the host's."),
            Wrong((who + 1, right[1]), "that is the guest's own number plus one; VMIDs go by who comes first."),
        ],
    )
    if len(wrong) < 3 or any(one.belief == "M22" and one.answer == right for one in wrong):
        return None
    return Draft(
        f"VMIDs have {bits} bits. After boot these guests enter on one CPU, in this order. Which VMID has guest "
        f"{who} at the end, and of which generation?",
        (" ".join(map(str, order)), "at boot: generation 1, next VMID 0; a new VM has generation 0"),
        numbers("VMID", "generation"),
        right,
        wrong,
        (
            "Does the guest that enters have a VMID of this generation? Then nothing happens.",
            f"{usable} numbers can be given out; after the last one the next is 0, and that means: a new generation.",
            "The very first entry finds next VMID 0, so it begins generation 2 with number 1.",
        ),
        f"Guest {who} got VMID {right[0]} in generation {right[1]}; all numbers of earlier generations are void.",
    )


@template("flushes", "Full flushes of guests in turn", "02", "04")
def full_flushes(draw: Random) -> Draft | None:
    """Ask how often all TLBs are flushed."""
    bits = draw.choice((3, 4, 5, 8))
    usable = (1 << bits) - 1
    guests = usable + draw.choice((-1, 0, 1, 1, 2, 5, 20))
    entries = usable * draw.randrange(3, 9) + draw.randrange(usable)
    right = len(measure.run(cycle(range(guests)), entries, vmid_bits=bits).flushes)
    more = usable + 1
    wrong = keep(
        (right,),
        [
            Wrong((1 + (entries - 1) // more if guests > more else 1,), f"that gives out {more} numbers.", "M24"),
            Wrong((right - 1,), "the very first entry after boot has been forgotten."),
            Wrong((entries // guests,), "that is the number of rounds; what counts is how many numbers are given out."),
            Wrong((1 + (entries - 1) // usable,), "as long as all guests have a number, none is needed."),
        ],
    )
    return Draft(
        f"{guests} guests enter in turn, round after round, on one CPU of Linux 3.9; VMIDs have {bits} bits. How "
        f"many full flushes of the TLB come of the first {entries} entries after boot?",
        (),
        numbers("full flushes"),
        (right,),
        wrong,
        (
            "How many numbers can guests have? One belongs to the host.",
            "Do all guests of a round fit into that? If so, nobody needs a second number.",
            "If not, every entry needs a new number, and each time they run out there is a flush; so is the first "
            "entry.",
        ),
        f"{usable} numbers for {guests} guests: "
        + (
            f"every entry takes a new one, so entries 1, {1 + usable}, {1 + 2 * usable} and so on flush."
            if guests > usable
            else "after the first round all have one; only the very first entry flushes."
        ),
    )


@template("short-lived", "Rollovers of VMs that come and go", "02")
def short_lived(draw: Random) -> Draft | None:
    """Ask how often VMIDs run out where VMs are made and destroyed."""
    bits = draw.choice((2, 3, 4))
    usable = (1 << bits) - 1
    count = draw.randrange(usable + 2, 6 * usable)
    resident = draw.random() < 0.5
    machine = boot(vmid_bits=bits)
    keeper = machine.create_vm() if resident else None
    if keeper is not None:
        machine.enter(keeper)
    for _ in range(count):
        vm = machine.create_vm()
        machine.enter(vm)
        machine.destroy_vm(vm)
        if keeper is not None:
            machine.enter(keeper)
    right = machine.linux.kvm_vmid_gen - 1
    wrong = keep(
        (right,),
        [
            Wrong((1,), "only the first entry would flush if the numbers came back.", "M23"),
            Wrong((count // (usable + 1),), f"that counts {usable + 1} numbers, and forgets the first entry.", "M24"),
            Wrong((1 + (count - 1) // (usable + 1),), f"that counts {usable + 1} numbers; 0 is the host's.", "M24"),
            Wrong((right - 1,), "the very first entry after boot has been forgotten."),
            Wrong((count,), "a VM takes one number, not all of them."),
        ],
    )
    long = " One more VM lives all the time: it enters first, and again after each of them." if resident else ""
    return Draft(
        f"{count} VMs come one after the other: each is made, enters once and is destroyed.{long} VMIDs have {bits} "
        "bits, and the host has just booted. How many rollovers are there?",
        (),
        numbers("rollovers"),
        (right,),
        wrong,
        (
            "Does the number of a destroyed VM come back before the next rollover?",
            "Count how many new numbers are needed.",
            f"{usable} numbers last for one generation"
            + (", of which the long-lived VM takes one in each" if resident else "")
            + "; the first entry of all is a rollover too.",
        ),
        f"Linux 3.9 gives no number back, so {usable} new numbers make a generation"
        + (", one of them for the VM that stays." if resident else "."),
    )


@template("allocators", "Who keeps a number: 3.9 against 5.18", "02")
def allocators(draw: Random) -> Draft | None:
    """Ask what a rollover does to guests that run, under both allocators."""
    bits = draw.choice((3, 4, 5))
    cpus = draw.randrange(2, 7)
    usable = (1 << bits) - 1
    others = draw.randrange(1, cpus)
    right: list[int] = []
    for allocator in ("3.9", "5.18"):
        machine = boot(vmid_bits=bits, ncpus=cpus, allocator=allocator)
        vms = [machine.create_vm() for _ in range(usable + 1)]
        for vm in vms[: usable - others]:
            machine.enter(vm, cpu=0)
        for cpu, vm in enumerate(vms[usable - others : usable], 1):
            machine.enter(vm, cpu=cpu)
        begun = len(machine.stream)
        machine.enter(vms[-1], cpu=0)
        news = dict(machine.stream.marks(begun))
        if "vmid/rolled_over" not in news:
            return None
        number = {vm: machine.kvm(vm).vmid for vm in vms}
        kept = news["vmid/rolled_over"].get("reserved", [])
        right += [sum(number[vm] in kept for vm in vms[:usable]), len(news.get("vmid/kicked", {"cpus": []})["cpus"])]
    answer = tuple(right)
    idle = usable - others
    wrong = keep(
        answer,
        [
            Wrong((others, 0, others, 0), "that lets running guests keep their number in 3.9 too.", "M26"),
            Wrong((others, others, others, 0), "that lets running guests keep their number in 3.9 too.", "M26"),
            Wrong((0, others, others, others), "5.18 takes nobody out of a guest: who is active keeps the number."),
            Wrong((0, cpus, others, 0), f"only guests on other CPUs are taken out, and {others} of these run one."),
            Wrong((0, others, 0, 0), "5.18 reserves the numbers of the guests that run."),
            Wrong((0, others, idle, 0), "it is the guests that run which keep theirs, not the idle ones."),
        ],
    )
    return Draft(
        f"{usable} guests have all {usable} VMIDs of {bits} bits. On a machine with {cpus} CPUs, {others} of them "
        f"{'runs' if others == 1 else 'run'}, on CPUs other than CPU 0; the others are idle. A new guest enters on "
        "CPU 0, and the numbers have run out. At once after the rollover, how many of the old guests have kept "
        "their number, and how many CPUs were made to leave a guest?",
        (),
        numbers("3.9: kept", "3.9: CPUs kicked", "5.18: kept", "5.18: CPUs kicked"),
        answer,
        wrong,
        (
            "Which of the two looks at who is running at the moment?",
            "5.18 notes what is active on each CPU, and reserves that.",
            "3.9 forgets every number, and so has to take the other CPUs out of their guests.",
        ),
        f"3.9 forgets all and kicks the {answer[1]} CPUs that run a guest; 5.18 reserves the {answer[2]} numbers "
        "that are active and kicks nobody.",
    )
