"""What the VMID picture shows at one moment, and the parts it is shown with."""

from __future__ import annotations

from dataclasses import dataclass, field

from kvmlab.scenes.scene import Picture
from kvmlab.scenes.vmid import words

GONE = -1
"""Who holds the number of a guest that was destroyed."""


@dataclass
class Cpu:
    """What is drawn of a CPU.

    Attributes:
        guest: who runs there, or ran there last; None before the first.
        vmid, generation: the number it runs under.
        status: "idle" before the first guest, then "next" (about to enter), "in", "kicked" or "host" (left by itself).
    """

    guest: int | None = None
    vmid: int = 0
    generation: int = 0
    status: str = "idle"


@dataclass
class State:
    """What the picture shows at one moment.

    Attributes:
        bits: width of a VMID.
        generation: kvm_vmid_gen.
        next: kvm_next_vmid.
        holders: for each VMID the guest it was last given to, or GONE, and in which generation.
        given: for each guest its VMID and generation.
        cpus: who runs where.
        entries, kicks, flushes: counted since boot; a kick is a CPU taken out of its guest.
        since: entries since the last full flush.
        event: what the event slot shouts: "", "kick" or "flush".
        bitmap: whether numbers are given as in Linux 5.18; then `next` 0 says that none is free.
        taken: in Linux 5.18, the numbers whose bit is set.
        kept: in Linux 5.18, the numbers reserved for guests that were on a CPU, and for whom.
    """

    bits: int
    cpus: list[Cpu]
    generation: int = 1
    next: int = 0
    holders: dict[int, tuple[int, int]] = field(default_factory=dict)
    given: dict[int, tuple[int, int]] = field(default_factory=dict)
    entries: int = 0
    kicks: int = 0
    flushes: int = 0
    since: int = 0
    event: str = ""
    bitmap: bool = False
    taken: set[int] = field(default_factory=set)
    kept: dict[int, int] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """How many numbers this generation still has."""
        return (1 << self.bits) - 1 - len(self.taken) if self.bitmap else -self.next % (1 << self.bits)

    def hue(self, generation: int) -> str:
        """Return the look of a generation: plain, dots or stripes, in turn from the first that holds numbers."""
        return f"g{(generation - (1 if self.bitmap else 2)) % 3}"

    def picture(self) -> Picture:
        """Return the state and text of every part that can change."""
        shown: Picture = {}
        marked = None if self.bitmap and not self.next else self.next
        for vmid in range(1 << self.bits):
            guest, generation = self.holders.get(vmid, (None, 0))
            good = "kept" if vmid in self.kept else "held" if generation == self.generation else ""
            state = "free" if guest is None else f"{self.hue(generation)} {good}" if good else "stale"
            shown[f"v{vmid}"] = (("hostv" if vmid == 0 else state) + (" next" if vmid == marked else ""), "")
            shown[f"v{vmid}.t"] = ("", "H" if vmid == 0 else self._name(guest))
        for number, cpu in enumerate(self.cpus):
            shown |= self._cpu(f"cpu{number}", cpu)
        loud = words.LOUD[self.event]
        shown["ev"] = ({"": "off", "kick": "kickev", "flush": "boom"}[self.event], "")
        shown |= {f"ev.{part}": ("", line) for part, line in zip("abd", loud, strict=True)}
        shown["since"] = ("off" if self.event else "", "")
        shown["key"] = (self.hue(self.generation) + " held", "")
        shown["key.t"] = ("", f"generation {self.generation}")
        numbers = {"gen": self.generation, "nxt": self.next, "since": self.since}
        numbers |= {"n.ent": self.entries, "n.ipi": self.kicks, "n.fl": self.flushes}
        shown |= {f"{part}.t": ("", str(value)) for part, value in numbers.items()}
        return shown | ({"nxt.t": ("", "none")} if marked is None else {})

    def _name(self, guest: int | None) -> str:
        if guest is None:
            return ""
        if guest == GONE:
            return "gone" if self.bits <= 4 else "×"
        return f"guest {guest}" if self.bits <= 4 else str(guest)

    def _cpu(self, part: str, cpu: Cpu) -> Picture:
        waits, kicked = cpu.status == "next", cpu.status == "kicked"
        tagged = cpu.status == "in" or kicked
        guest = {"idle": "idle", "host": "host", "next": f"guest {cpu.guest} next"}.get(
            cpu.status, f"guest {cpu.guest}"
        )
        old = cpu.generation != self.generation
        badge = self.hue(cpu.generation) + ("" if not old else " kept" if self.bitmap else " stale")
        vmid = "kicked" if kicked else "no VMID" if waits else f"VMID {cpu.vmid}" if tagged else ""
        return {
            part: ("kick" if kicked else "", ""),
            f"{part}.g": ("", guest),
            f"{part}.p": (badge if tagged else "off", ""),
            f"{part}.n": ("", "" if not tagged else "kept" if old and self.bitmap else f"gen {cpu.generation}"),
            f"{part}.v": ("", vmid),
        }
