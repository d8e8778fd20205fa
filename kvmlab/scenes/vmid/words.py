"""Say what happens to VMIDs: one title and one sentence of why for each kind of step."""

from __future__ import annotations

from dataclasses import dataclass

from kvmlab.scenes.scene import Actor

LOUD = {
    "": ("", "", ""),
    "kick": ("KICK", "each other CPU leaves its guest", "before numbers are used again"),
    "flush": ("FULL FLUSH", "all CPUs: TLB entries of all guests,", "of the host, and the instruction caches"),
}
"""What the event slot says, in three lines. Source: force_vm_exit, arch/arm/kvm/arm.c, and __kvm_flush_vm_context,
arch/arm/kvm/interrupts.S, Linux 3.9."""


@dataclass(frozen=True)
class Told:
    """The words of one step."""

    fn: str
    title: str
    why: str
    log: tuple[str, ...]
    chip: str
    actor: Actor = "kern"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is known of an entry when it is told.

    Attributes:
        guest, cpu, vmid, generation: who entered where, under which number of which generation.
        left: how many numbers this generation still has.
        new: the number was given for this entry.
        had: the guest's (VMID, generation) before, if a new one was given and it had one.
        owner: the (guest, generation) that had the number before, if any.
        instead_of: the guest that ran on this CPU before and keeps its number, if any.
        moved: the guest last ran on another CPU.
        rolled: the entry began the generation.
        first: it is the first entry after boot.
        keeps: in Linux 5.18, why it keeps the number it had: "reserved" or "free"; "" if it does not.
        rival: in Linux 5.18, the guest that has the number it had, if any.
    """

    guest: int
    cpu: int
    vmid: int
    generation: int
    left: int
    new: bool
    had: tuple[int, int] | None
    owner: tuple[int, int] | None
    instead_of: int | None
    moved: bool
    rolled: bool
    first: bool
    keeps: str = ""
    rival: int | None = None


def start(bits: int) -> Told:
    """Tell the moment before the first entry."""
    why = (
        f"The CPU tags TLB entries with {{c|{bits} bits, the VMID}}. Number 0 is the host's, "
        f"so {{e|{all_numbers(bits)} are left}} for guests."
    )
    title = f"{1 << bits} numbers, none of them in use"
    return Told("start of KVM", title, why, ("kvm_vmid_gen 1, kvm_next_vmid 0",), "kernel")


def checked(guest: int, cpu: int, carries: int, generation: int, bits: int) -> Told:
    """Tell the test that finds the guest, of generation `carries`, without a number while none is left."""
    if generation == 1:
        title = f"CPU {cpu} wants to enter guest {guest}, which has no VMID yet"
        why = (
            f"The test compares generations: {{c|guest {guest} carries {carries}}}, the kernel is at 1. "
            "{e|They differ}, so a VMID must be given."
        )
    else:
        title = f"Guest {guest} wants to enter on CPU {cpu} and needs a VMID"
        why = (
            f"{{c|Its generation is {carries}, the kernel's is {generation}}}. "
            f"There are {all_numbers(bits)} numbers, and {{e|all {all_numbers(bits)} have been given out}}."
        )
    return Told(
        "need_new_vmid_gen()", title, why, (f"CPU {cpu}: enter guest {guest}: need_new_vmid_gen, yes",), chip(cpu)
    )


def none_left(cpu: int, generation: int) -> Told:
    """Tell what 0 in kvm_next_vmid means."""
    if generation == 1:
        title = "kvm_next_vmid is 0: that means none is left"
        why = (
            "The counter starts at 0, and {c|0 is also what it wraps to}. "
            "So {e|the very first entry after boot} already looks like a full house."
        )
    else:
        title = "kvm_next_vmid is 0: none is left"
        why = (
            "{c|The counter has wrapped}. The kernel does not ask who still needs a number. "
            "{e|It takes all of them back at once}."
        )
    log = ("kvm_vmid_lock taken; need_new_vmid_gen again: yes", "kvm_next_vmid is 0")
    return Told("update_vttbr()", title, why, log, chip(cpu))


def rolled_over(cpu: int, generation: int, bits: int) -> Told:
    """Tell the new generation."""
    if generation == 2:
        title = "Generation 2 begins"
        why = (
            "{c|No number left}, so {e|the generation is counted up} and numbering starts at 1. "
            "Generation 1 never held a single VMID."
        )
    else:
        title = f"Generation {generation}: all {all_numbers(bits)} numbers are void"
        why = (
            "{c|One counter goes up by one}, and by that {e|every guest's VMID is out of date}, "
            "running or not. No list is walked."
        )
    log = (f"vmid/rolled_over: generation {generation - 1} to {generation}",)
    return Told("update_vttbr()", title, why, log, chip(cpu))


def kicked(cpu: int, cpus: list[int], ncpus: int, generation: int) -> Told:
    """Tell who has to leave: of the other CPUs, those that are in a guest."""
    filling = "A CPU still inside a guest would go on filling its TLB under an old number. "
    if ncpus == 1:
        title = "There is no other CPU to kick"
        why = filling + "{e|With one CPU there is none}; the call is made all the same."
    elif not cpus:
        title = "The other CPUs are told to leave their guests"
        why = filling + "{e|Here none is in a guest}, yet the call is made all the same."
    elif len(cpus) == 1:
        title = f"CPU {cpus[0]} is kicked out of its guest"
        why = (
            f"It runs under {{c|a number of generation {generation - 1}}}. "
            "{e|It must stop before number 1 is given again}, or two guests would share TLB entries."
        )
    else:
        title = f"CPUs {', '.join(map(str, cpus[:-1]))} and {cpus[-1]} are kicked out of their guests"
        why = (
            f"They run under {{c|numbers of generation {generation - 1}}}. "
            "{e|They must stop before number 1 is given again}, or two guests would share TLB entries."
        )
    log = ("force_vm_exit: IPI to all other CPUs, wait until they have left",)
    return Told("force_vm_exit()", title, why, log, chip(cpu))


def flushed(removed: int, flushes: int) -> Told:
    """Tell the full flush; at boot there is nothing to flush."""
    if flushes == 1 and not removed:
        title = "A full flush, although nothing is there to flush"
        why = "{e|Every TLB entry of every guest} goes, on all CPUs. At boot that costs little; remember it for later."
    else:
        title = "FULL FLUSH: all TLBs, all CPUs"
        all_go = f"All go ({removed} here)" if removed else "All go"
        why = (
            "{c|Entries tagged with old numbers} may still lie in any TLB. "
            f"{{e|{all_go}}}, those of guests that will run again in a moment too."
        )
    log = ("tlb/flushed: all guests, all CPUs, and the I-caches" + (f": {removed} TLB entries" if removed else ""),)
    return Told("__kvm_flush_vm_context()", title, why, log, "hardware", "hw")


def destroyed(guest: int, vmid: int) -> Told:
    """Tell the end of a guest that has a number of the present generation."""
    why = (
        f"{{c|kvm_arch_destroy_vm frees the tables}} and does not touch the VMIDs. "
        f"{{e|Number {vmid} stays taken}} until the next rollover."
    )
    title = f"Guest {guest} is destroyed; its VMID {vmid} does not come back"
    return Told("kvm_arch_destroy_vm()", title, why, (f"vm/destroyed: guest {guest}",), "host", "host")


def entered(entry: Entry) -> tuple[str, Told]:
    """Tell an entry; returns its kind (entries of one kind read alike) and the words."""
    kind, title, why = _given(entry) if entry.new else _kept(entry)
    got = f"new VMID {entry.vmid}, generation {entry.generation}" if entry.new else f"VMID {entry.vmid} still good"
    log = (f"CPU {entry.cpu}: enter guest {entry.guest}: {got}",)
    return kind, Told("update_vttbr()" if entry.new else "need_new_vmid_gen()", title, why, log, chip(entry.cpu))


def _given(entry: Entry) -> tuple[str, str, str]:
    """Tell an entry with a new number: the rare cases first."""
    guest, vmid, generation = entry.guest, entry.vmid, entry.generation
    gets = f"Guest {guest} enters on CPU {entry.cpu} and gets VMID {vmid}"
    if entry.first:
        why = (
            f"{{c|kvm_next_vmid was 1}}: {{e|guest {guest} takes it}} and the counter moves on. "
            "The number goes into VTTBR, bits 55 to 48."
        )
        return "first", f"Guest {guest} gets VMID {vmid}", why
    if entry.rolled:
        return "rolled", f"Guest {guest} gets VMID {vmid}", _after_rollover(entry)
    if entry.left == 0:
        why = (
            f"{{c|{vmid} was the last number}}, so {{e|kvm_next_vmid wraps to 0}}. "
            "Nothing happens yet: nobody has asked for one more."
        )
        return "last", f"Guest {guest} gets the last number, {vmid}", why
    if entry.left == 1:
        why = f"{{e|One number is left}}: {vmid + 1}. The counter will then wrap from {vmid + 1} to 0."
        return "one left", gets, why
    if entry.had:
        why = (
            f"{{c|Its VMID {entry.had[0]} is of generation {entry.had[1]}, the kernel is at {generation}}}, "
            "so {e|it takes the next one}. Its TLB entries are gone: it pays with walks."
        )
        return "again", f"Guest {guest} comes back and gets VMID {vmid}", why
    if entry.instead_of is not None:
        why = (
            f"One more guest, one more number: {{e|{entry.left} left}} in generation {generation}. "
            f"Guest {entry.instead_of}, which ran here, keeps its own."
        )
        return "new", gets, why
    why = (
        f"{{c|Its generation is 0, the kernel's is {generation}}}, so it needs a VMID. "
        f"{{e|No flush}}: number {vmid} has not been used in this generation."
    )
    return "new", gets, why


def _after_rollover(entry: Entry) -> str:
    if entry.owner and entry.owner[0] != entry.guest:
        owner = entry.owner[0]
        return (
            f"{{c|Until now VMID {entry.vmid} was guest {owner}'s}}. {{e|Now it is guest {entry.guest}'s}}, "
            f"and the flush has made sure that no entry of guest {owner} is left under it."
        )
    return f"{{c|Numbering has started afresh}}: {{e|{entry.left} more guests can come}} before the next rollover."


def _kept(entry: Entry) -> tuple[str, str, str]:
    """Tell an entry with the number that the guest already had."""
    title = f"Guest {entry.guest} enters on CPU {entry.cpu}: VMID {entry.vmid} is good"
    if entry.moved:
        return "moved", title, "{e|Same VMID on another CPU}: a VMID belongs to the guest, not to the CPU."
    if not entry.vmid:
        title = f"Guest {entry.guest} enters on CPU {entry.cpu} with VMID 0, the host's"
        why = (
            "{c|Another vCPU has stored the generation and not yet the VMID}: the test without the lock passes, and "
            "{e|the guest runs under the host's number}."
        )
        return "kept", title, why
    why = (
        f"{{c|Generation {entry.generation} on both sides}}, so {{e|VMID {entry.vmid} is still good}}: "
        "no lock, no change, no flush."
    )
    return "kept", title, why


def all_numbers(bits: int) -> int:
    """Return how many numbers there are for guests."""
    return (1 << bits) - 1


def chip(cpu: int) -> str:
    """Return the chip of a step that the kernel does on a CPU."""
    return f"CPU {cpu} · kernel"
