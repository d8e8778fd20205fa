"""Say what happens to VMIDs in Linux 5.18: one title and one sentence of why for each kind of step."""

from __future__ import annotations

from kvmlab.scenes.vmid.words import Entry, Told, all_numbers, chip

LOUD = ("FULL FLUSH", "all CPUs: TLB entries of all guests,", "of the host, and the instruction caches")
"""What the event slot says at a flush. Source: flush_context, arch/arm64/kvm/vmid.c, Linux 5.18."""


def start(bits: int) -> Told:
    """Tell the moment before the first entry."""
    why = (
        f"The CPU tags TLB entries with {{c|{bits} bits, the VMID}}. Number 0 is the host's; "
        f"{{e|a bitmap says which of the other {all_numbers(bits)} are taken}}."
    )
    title = f"{1 << bits} numbers, none of them in use"
    log = (f"vmid_generation {1 << bits:#x}, cur_idx 1",)
    return Told("kvm_arm_vmid_alloc_init()", title, why, log, "kernel")


def checked(guest: int, cpu: int, carries: int, generation: int, bits: int) -> Told:
    """Tell the test that finds the guest, of generation `carries`, without a number while none is free."""
    title = f"Guest {guest} wants to enter on CPU {cpu} and needs a VMID"
    why = (
        f"{{c|Its generation is {carries}, the kernel's is {generation}}}. "
        f"There are {all_numbers(bits)} numbers, and {{e|all {all_numbers(bits)} are taken}}."
    )
    log = (f"CPU {cpu}: enter guest {guest}: generations differ, cpu_vmid_lock taken",)
    return Told("kvm_arm_vmid_update()", title, why, log, chip(cpu))


def none_left(cpu: int) -> Told:
    """Tell what a full bitmap means."""
    why = (
        "{c|The search from cur_idx on finds no zero bit}. Only a full bitmap makes "
        "{e|a new generation} begin, so it comes as often as in Linux 3.9."
    )
    return Told("new_vmid()", "The bitmap is full: no number is free", why, ("find_next_zero_bit: none",), chip(cpu))


def rolled_over(cpu: int, generation: int) -> Told:
    """Tell the new generation."""
    why = (
        "{c|No number is left}, so {e|the generation is counted up and every bit is cleared}. "
        "Each guest must ask again, but may get the number it had."
    )
    log = (f"vmid/rolled_over: generation {generation - 1} to {generation}",)
    return Told("flush_context()", f"Generation {generation}: the bitmap is emptied", why, log, chip(cpu))


def kept(cpu: int, numbers: list[int], ncpus: int) -> Told:
    """Tell which numbers stay with their guests: those active on a CPU."""
    if ncpus == 1:
        title = "Nobody is kicked: there is no other CPU"
        why = (
            "A number that is active on a CPU would be reserved. {e|With one CPU}, whose guest changes, there is none."
        )
    elif not numbers:
        title = "Nobody is kicked: no other CPU has a guest"
        why = "A number that is active on a CPU would be reserved. {e|Here there is none}: all are free again."
    elif len(numbers) == 1:
        title = f"Nobody is kicked: VMID {numbers[0]} stays with its guest"
        why = (
            f"{{c|VMID {numbers[0]} is active on a CPU}}, so {{e|its bit is set again}} and its guest runs on. "
            "Linux 3.9 would kick that CPU out of the guest."
        )
    else:
        title = f"Nobody is kicked: VMIDs {', '.join(map(str, numbers[:-1]))} and {numbers[-1]} stay"
        why = (
            "{c|They are active on CPUs}, so {e|their bits are set again} and their guests run on. "
            "Linux 3.9 would kick those CPUs out of their guests."
        )
    log = (f"reserved_vmids: {', '.join(map(str, numbers)) or 'none'}",)
    return Told("flush_context()", title, why, log, chip(cpu))


def flushed(removed: int) -> Told:
    """Tell the full flush."""
    all_go = f"all go ({removed} here)" if removed else "all go"
    why = (
        "{c|Entries of numbers that are free now} may lie in any TLB. "
        f"{{e|So {all_go}}}, also those of guests that keep their number: they walk again."
    )
    log = ("tlb/flushed: all guests, all CPUs, and the I-caches" + (f": {removed} TLB entries" if removed else ""),)
    return Told("flush_context()", "FULL FLUSH: all TLBs, all CPUs", why, log, "hardware", "hw")


def entered(entry: Entry) -> tuple[str, Told]:
    """Tell an entry; returns its kind (entries of one kind read alike) and the words."""
    kind, title, why = _given(entry) if entry.new else _good(entry)
    got = f"VMID {entry.vmid}, generation {entry.generation}" if entry.new else f"VMID {entry.vmid} still good"
    log = (f"CPU {entry.cpu}: enter guest {entry.guest}: {got}",)
    found = entry.new and entry.keeps == ""
    return kind, Told("new_vmid()" if found else "kvm_arm_vmid_update()", title, why, log, chip(entry.cpu))


def _given(entry: Entry) -> tuple[str, str, str]:
    """Tell an entry with an id of this generation: the rare cases first."""
    guest, vmid, generation = entry.guest, entry.vmid, entry.generation
    gets = f"Guest {guest} enters on CPU {entry.cpu} and gets VMID {vmid}"
    if entry.first:
        why = (
            f"{{c|Bit {vmid} is free}}, so {{e|guest {guest} takes it}}. Unlike in Linux 3.9, "
            "the first entry after boot flushes nothing."
        )
        return "first", f"Guest {guest} gets VMID {vmid}", why
    if entry.rolled:
        return "rolled", f"Guest {guest} gets VMID {vmid}", _after_rollover(entry)
    if entry.keeps == "reserved":
        why = (
            f"{{c|It was on a CPU when generation {generation} began}}, so VMID {vmid} was reserved: "
            "{e|only the generation in its id is new}."
        )
        return "reserved", f"Guest {guest} enters on CPU {entry.cpu} and keeps VMID {vmid}", why
    if entry.left == 0:
        why = f"{{c|{vmid} was the last free bit}}. {{e|Nothing happens yet}}: nobody has asked for one more."
        return "last", f"Guest {guest} takes the last free number, {vmid}", why
    if entry.keeps:
        why = (
            f"{{c|Nobody has taken VMID {vmid} in generation {generation}}}, "
            "so {e|it keeps the number}. Its TLB entries are gone: it pays with walks."
        )
        return "same", f"Guest {guest} comes back and keeps VMID {vmid}", why
    if entry.had:
        by = f"guest {entry.rival} has taken it" if entry.rival is not None else "it has been taken"
        why = (
            f"{{c|It had VMID {entry.had[0]}, but {by}}} in generation {generation}. "
            f"{{e|It gets the next free number}}, {vmid}."
        )
        return "again", f"Guest {guest} comes back and gets VMID {vmid}", why
    if entry.instead_of is not None:
        why = (
            f"One more guest, one more number: {{e|{entry.left} left}} in generation {generation}. "
            f"Guest {entry.instead_of}, which ran here, keeps its own for now."
        )
        return "new", gets, why
    why = f"{{c|It never had a VMID}}, so {{e|it gets the next free one}}. No flush: {entry.left} are left."
    return "new", gets, why


def _after_rollover(entry: Entry) -> str:
    if entry.owner and entry.owner[0] != entry.guest:
        owner = entry.owner[0]
        return (
            f"{{c|Until now VMID {entry.vmid} was guest {owner}'s}}, which is on no CPU. "
            f"{{e|Now it is guest {entry.guest}'s}}: the flush has left no entry of guest {owner}."
        )
    return f"{{c|The search begins at 1 again}}: {{e|{entry.left} numbers are free}} for guests old and new."


def _good(entry: Entry) -> tuple[str, str, str]:
    """Tell an entry with an id that is good."""
    title = f"Guest {entry.guest} enters on CPU {entry.cpu}: VMID {entry.vmid} is good"
    if entry.moved:
        return "moved", title, "{e|Same VMID on another CPU}: a VMID belongs to the guest, not to the CPU."
    why = (
        f"{{c|Generation {entry.generation} on both sides}}, so {{e|VMID {entry.vmid} is still good}}: "
        "nothing is given out, nothing is flushed."
    )
    return "kept", title, why
