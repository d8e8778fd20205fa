"""What every part of the TLB scene shows at one moment."""

from __future__ import annotations

from kvmlab.engine.hardware.descriptor import ADDRESS_MASK
from kvmlab.engine.hardware.tlb import HOST_VMID
from kvmlab.scenes.moment import leaf_kind
from kvmlab.scenes.scene import ACTORS, Actor, Picture
from kvmlab.scenes.tlb.stage import SOUGHT, Plan
from kvmlab.scenes.tlb.state import GUESTS_DRAWN, Cached, TlbState

RIGHTS = {"rw": "RW", "ro": "RO", "dev": "DEV", "inv": "none"}
ZONE = {"guest": "zG", "hw": "zH", "kern": "zK"}


def picture(state: TlbState, plan: Plan, actor: Actor, does: str, runs: str) -> Picture:
    """Return state and text of every part that can change.

    Args:
        state: what holds at this moment.
        plan: what is drawn.
        actor: who acts in this step.
        does: what a guest wants, in words.
        runs: where, in words.
    """
    shown: Picture = {ZONE[one]: (f"zone {one}{' on' if one == actor else ''}", "") for one in ACTORS if one in ZONE}
    shown |= {"g.do": ("m b", does), "g.who": ("end", runs)}
    hits, looked = sum(state.hits), sum(state.looked)
    shown |= {"all": ("", ""), "all.t": ("end b", f"all CPUs: {rate(hits, looked)}")}
    shown |= _sought(state)
    for cpu in range(plan.cpus):
        shown |= _cpu(state, plan, cpu)
    return shown | _kernel(state)


def rate(hits: int, looked: int) -> str:
    """Return a hit rate in words.

    >>> rate(1, 3), rate(0, 0)
    ('1 of 3 hit, 33 %', 'no look-up yet')
    """
    return f"{hits} of {looked} hit, {100 * hits // looked} %" if looked else "no look-up yet"


def target(descriptor: int) -> str:
    """Return a leaf as page frame and rights."""
    return f"{(descriptor & ADDRESS_MASK) >> 12:#x} {RIGHTS[leaf_kind(descriptor)]}"


def tags(entry: Cached) -> str:
    """Return an entry's tags in words."""
    asid = "" if entry.vmid == HOST_VMID else f" ASID {'all' if entry.asid < 0 else entry.asid}"
    return f"VMID {entry.vmid}{asid}"


def _sought(state: TlbState) -> Picture:
    look = state.look
    texts = ["", "", "", "", ""]
    if look:
        where = f"set {look.page % state.sets}"
        asid = "" if look.vmid == HOST_VMID else f"ASID {look.asid}"
        texts = [f"VMID {look.vmid}", asid, f"page {look.page:#x}", where, look.answer]
    shown: Picture = {}
    for (part, _, _), words in zip(SOUGHT, texts, strict=True):
        answer = part == "kr"
        shown[part] = ("key" if words else "key none", "")
        shown[f"{part}.t"] = ("b" if answer else "m", words)
    return shown


def _cpu(state: TlbState, plan: Plan, cpu: int) -> Picture:
    vmid, held = state.vmid_on(cpu), state.entries[cpu]
    name = "host, VMID 0"
    if state.in_guest(cpu):
        name = f"guest {state.running[cpu]}, VMID {vmid}" if plan.cpus <= 2 else f"VMID {vmid}"
    drawn = sum(place in held for place in state.drawn[cpu])
    count = f"{len(held)} of {plan.sets * plan.ways} used"
    hidden = "" if drawn == len(held) else f", {len(held) - drawn} not drawn"
    said = rate(state.hits[cpu], state.looked[cpu])
    if plan.cpus > 2:
        said, count, hidden = said.split(",")[0], f"{len(held)} used", ""
    shown: Picture = {
        f"c{cpu}": ("cpu" + (" on" if state.in_guest(cpu) else ""), ""),
        f"c{cpu}.v": ("", ""),
        f"c{cpu}.v.t": ("end", name),
        f"c{cpu}.r": ("", ""),
        f"c{cpu}.r.t": ("q", said),
        f"c{cpu}.n": ("q3 end", count + hidden),
    }
    look = state.look
    said_of = state.compared(look) if look and look.cpu == cpu and look.answer else {}
    for slot, place in enumerate(state.drawn[cpu]):
        entry = held.get(place) if place is not None else None
        shown |= _entry(state, f"e{cpu}.{slot}", entry, vmid, said_of.get(-1 if place is None else place, ""))
    return shown


def _entry(state: TlbState, part: str, entry: Cached | None, vmid: int, said: str) -> Picture:
    if entry is None:
        texts, css = ("empty", "", "", "", ""), "free"
    else:
        stale = state.stale(entry)
        texts = (tags(entry), f"{entry.page:#x}", target(entry.descriptor), said, "stale" if stale else "")
        css = " ".join(
            ("can" if entry.vmid == vmid else "not", leaf_kind(entry.descriptor))
            + (("host",) if entry.vmid == HOST_VMID else ())
            + (("stale",) if stale else ())
            + (("match",) if said == "match" else ())
        )
    looks = ("m b tag", "m gp", "m hp", "end b", "end b")
    shown: Picture = {part: (f"cell {css}", "")}
    return shown | {f"{part}.{key}": (look, words) for key, look, words in zip("tphvs", looks, texts, strict=True)}


def _kernel(state: TlbState) -> Picture:
    last, cells = (1 << state.bits) - 1, state.cells
    generation, counter = cells["kvm_vmid_gen"], f"kvm_next_vmid {cells.get('kvm_next_vmid', 0)}"
    if state.bitmap:
        generation = cells.get("vmid_generation", 1 << state.bits) >> state.bits
        counter = f"cur_idx {cells.get('cur_idx', 1)}"
    soon = ", so they soon run out" if state.bits < 8 else ""
    leaf = ""
    if state.leaf:
        vm, page = state.leaf
        word = state.word(vm, page)
        leaf = f"tables of guest {vm}: page {page:#x} is {'at ' + target(word) if word & 3 else 'not mapped'}"
    over = state.made - len(state.guests)
    texts = {
        "gen.t": ("m", f"{'generation' if state.bitmap else 'kvm_vmid_gen'} {generation}"),
        "nxt.t": ("m", counter),
        "note": ("q end", f"{state.bits}-bit VMIDs: 1 to {last}{soon}"),
        "leaf.t": ("m", leaf),
        "more": ("q3 end", f"{over} more {'guest' if over == 1 else 'guests'}" if over > 0 else ""),
    }
    shown: Picture = {"gen": ("word", ""), "nxt": ("word", ""), "leaf": ("word", ""), **texts}
    for slot in range(GUESTS_DRAWN):
        vm_or_none = state.guests[slot] if slot < len(state.guests) else None
        number, css = "", "off"
        if vm_or_none is not None:
            held, mine = state.cell(vm_or_none, "vmid"), state.cell(vm_or_none, "vmid_gen")
            alive = state.cell(vm_or_none, "created")
            number = "gone" if not alive else f"VMID {held}" if mine == generation else "void" if mine else "no VMID"
            css = "guest" if alive and mine == generation else "guest void"
        shown[f"g{slot}"] = (css, "")
        shown[f"g{slot}.n"] = ("gp", "" if vm_or_none is None else f"guest {vm_or_none}")
        shown[f"g{slot}.v"] = ("m b end", number)
    return shown
