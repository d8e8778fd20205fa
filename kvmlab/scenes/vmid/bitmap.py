"""Tell how Linux 5.18 gives VMIDs out: the same events and the same picture as for Linux 3.9, in other words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvmlab.scenes.question import Question
from kvmlab.scenes.vmid import questions as ask_for
from kvmlab.scenes.vmid import questions_bitmap as ask_bitmap
from kvmlab.scenes.vmid import words_bitmap as words
from kvmlab.scenes.vmid.state import GONE
from kvmlab.scenes.vmid.story import VmidStory
from kvmlab.scenes.vmid.words import Entry, Told


class BitmapStory(VmidStory):
    """The steps of a run with the allocator of Linux 5.18 so far; see `VmidStory`.

    Source: arch/arm64/kvm/vmid.c, Linux 5.18.
    """

    bitmap = True
    kernel = "VMIDs as in Linux 5.18"
    subject = "VMIDs in Linux 5.18"

    def _start(self, bits: int) -> Told:
        self.rival: dict[int, int | None] = {}  # by CPU, who has the number that the guest had
        self.keeps: dict[int, str] = {}  # by CPU, why the guest keeps its number
        self.free: dict[int, int] = {}  # by CPU, what a newcomer would have got
        return words.start(bits)

    def _checked(self, args: Mapping[str, Any]) -> None:
        """Stop at the test only when a rollover follows; otherwise the entry tells it all."""
        state, guest = self.state, args["vm"]
        vmid, carries = state.given.get(guest, (0, 0))
        if not args["need"] or state.left or state.kept.get(vmid) == guest:
            return
        self._wants(guest)
        told = words.checked(guest, self.cpu, carries, state.generation, state.bits)
        ask = ask_bitmap.one_too_many(guest, state.bits)
        self._step("checked", told, now=(f"cpu{self.cpu}",), ask=ask)
        self._step("none left", words.none_left(self.cpu), now=("nxt",), cause=("grid",))

    def _rolled_over(self, args: Mapping[str, Any]) -> None:
        """Tell two things: the bitmap is emptied, and what is active is set in it again."""
        state, reserved = self.state, args["reserved"]
        state.generation, state.next, self.freed = args["generation"], 1, None
        state.taken, state.kept = set(), {}
        self.rolled.add(self.cpu)
        ask = ask_bitmap.who_loses() if state.generation > 2 else None  # "checked" asks the like the first time
        told = words.rolled_over(self.cpu, state.generation)
        self._step("rolled over", told, now=("gen", "nxt", "grid"), cause=(f"cpu{self.cpu}",), ask=ask)
        state.next, state.taken = args["next"], set(reserved)
        state.kept = {vmid: state.holders[vmid][0] for vmid in reserved}
        on = [f"cpu{n}" for n, cpu in enumerate(state.cpus) if cpu.status == "in" and cpu.vmid in reserved]
        told = words.kept(self.cpu, reserved, len(state.cpus))
        self._step("kept over", told, now=tuple(f"v{vmid}" for vmid in reserved), cause=tuple(on))

    def _tell_flush(self, removed: int) -> Told:
        return words.flushed(removed)

    def _ask_flush(self) -> Question | None:
        return ask_for.after_the_flush() if self.state.flushes > 1 else None

    def _assigned(self, args: Mapping[str, Any]) -> None:
        """Hand the number out, or let the guest keep it; the entry that follows shows it."""
        state, guest, vmid = self.state, args["vm"], args["vmid"]
        had = state.given.get(guest, (0, 0))[0]
        reserved = args["kept"] and state.kept.pop(vmid, None) is not None
        self.keeps[self.cpu] = "reserved" if reserved else "free" if args["kept"] else ""
        rival = state.holders.get(had, (GONE, 0))[0]
        self.rival[self.cpu] = None if rival in (GONE, guest) else rival
        self.free[self.cpu] = state.next
        state.taken.add(vmid)
        super()._assigned(args)

    def _tell_entry(self, entry: Entry) -> tuple[str, Told]:
        return words.entered(entry)

    def _more(self, cpu: int) -> dict[str, Any]:
        return {"keeps": self.keeps.pop(cpu, ""), "rival": self.rival.pop(cpu, None)}

    def _question(self, kind: str, entry: Entry) -> Question | None:
        """Return what may be asked before an entry."""
        if kind == "first":
            return ask_bitmap.first_entry()
        if kind in ("new", "again", "same", "reserved"):
            return ask_bitmap.number(entry, self.freed, self.free.get(entry.cpu, 0))
        if kind == "last":
            return ask_bitmap.last_number(entry.guest, entry.vmid)
        if kind == "moved":
            return ask_for.other_cpu(entry.guest, entry.vmid, entry.cpu)
        return ask_bitmap.known_guest(entry.guest, entry.left == 0) if kind == "kept" else None
