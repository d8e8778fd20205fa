"""The tables panel: the tree of a guest's stage-2 tables, folded and unfolded by click, one entry taken apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kvmlab.engine import InputError, Machine
from kvmlab.engine.errors import check_int
from kvmlab.engine.kernel.memslot import kvm_memslots
from kvmlab.engine.kernel.pgtable import PAGE_SHIFT, PAGE_SIZE
from kvmlab.panels.controls import choice, number_field, on_enter, parse_number, push, text_field
from kvmlab.panels.panel import Panel
from kvmlab.panels.starts import RAM, grown_tables
from kvmlab.scenes import stories
from kvmlab.scenes.tables.layout import View, part
from kvmlab.scenes.tables.rows import Row
from kvmlab.scenes.tables.story import TablesStory
from kvmlab.session import Session

DEVICE = 0x2C00_6000
"""Where the VGIC's virtual CPU interface lies on a Versatile Express: what is mapped as a device."""
MAX_TOUCHED, MAX_PAGES = 512, 8192
"""How many pages a guest may touch at once, and how many a device or the host's taking back may have."""


def tables(
    run: Session | Machine | None = None,
    *,
    vm: int = 0,
    vms: Sequence[int] | None = None,
    start: str = "begin",
    predict: bool = False,
) -> TablesPanel:
    """Show the stage-2 tables of one or more guests, step by step, with any entry decoded beside its bytes.

    A click on a row decodes that entry; on a folded row (▸) it unfolds; on the head of a table it folds the table.

    Args:
        run: a session or a machine, with everything that has happened on it; without one, a machine with a guest that
            has touched a few pages and was given a device.
        vm: number of the VM to show.
        vms: numbers of the VMs to show, if more than one.
        start: "begin" to stand at the first step, "last" where the last command begins, "end" at the last step.
        predict: whether to ask before a step that has a consequence.

    Returns:
        A widget: let it be the last line of a cell. Its `step` can be read and set.

    Raises:
        InputError: no such VM, no such `start`, or a machine that records nothing.
    """
    shown = (vm,) if vms is None else tuple(vms)
    return TablesPanel(grown_tables() if run is None else run, shown, start=start, predict=predict)


class TablesPanel(Panel):
    """Controls to change the tables, and the player that shows them.

    Attributes:
        vms: the VMs shown.
        view: what is unfolded, and which entry is decoded.
        guest, address, pages, action, button: the controls.
    """

    def __init__(self, run: Session | Machine, vms: Sequence[int] = (0,), **options: Any) -> None:
        """Show what has happened in a run so far."""
        machine = run.machine if isinstance(run, Session) else run
        made = machine.linux.nr_vms
        if not vms or len(set(vms)) < len(vms):
            raise InputError(f"vms is {list(vms)}; name one VM or more, each once")
        for number in vms:
            if number not in range(made):
                raise InputError(f"vm is {number!r}; allowed: {', '.join(map(str, range(made))) or 'none, make one'}")
        self.vms, self.view = tuple(vms), View()
        self._doers: dict[str, Callable[[int, int, int], str | None]] = {
            "store": self._store,
            "load": self._load,
            "host takes back": self._take_back,
            "map a device": self._map_device,
            "destroy guest": self._destroy,
        }
        self.guest = choice("guest", list(self.vms), "7em")
        self.address = text_field("IPA", f"{RAM.ipa:#x}", "13em")
        self.pages = number_field("pages", 1, "8em")
        self.action = choice("do", list(self._doers), "13em")
        self.button = push("Do it", self.act, "5em", primary=True, tooltip="do this to these pages of the guest")
        on_enter(self.address, self.act)
        controls = [self.guest, self.address, self.pages, self.action, self.button]
        super().__init__(run, self._new_story, controls, **options)

    def _new_story(self) -> TablesStory:
        self._tables = stories.tables(self.machine, *self.vms, view=self.view)
        return self._tables

    def again(self, run: Session) -> TablesPanel:
        """Return a panel of the same kind, with the same options, on another run."""
        return TablesPanel(run, [vm for vm in self.vms if vm < run.machine.linux.nr_vms])

    # -- what a click does -----------------------------------------------------------------------------------------

    def pick(self, part_id: str) -> None:
        """Unfold or fold a row or a table, or decode an entry; of the entry picked already, the one last written.

        Args:
            part_id: id of a part of the picture; one that cannot be picked does nothing.
        """
        found = self._tables.find(part_id)
        if found is None:
            return
        if isinstance(found, Row):
            self.view.open[part_id] = not self.view.open.get(part_id, False)
        elif part_id == part("h", found):
            self.view.open[part_id] = False
        elif not self._tables.drawn(found) and len(found[1]) < 3 and not self.view.open.get(part("h", found)):
            self.view.open[part("h", found)], self.view.picked = True, found
        else:
            self.view.picked = None if self.view.picked == found else found
        self.player.grow(self._tables.scene(), self.step)

    # -- what the controls do --------------------------------------------------------------------------------------

    def act(self) -> None:
        """Do what the controls say; what is wrong with them appears under them, in words."""
        try:
            ipa = parse_number("IPA", self.address.value) & -PAGE_SIZE
            most = MAX_TOUCHED if self.action.value in ("store", "load") else MAX_PAGES
            pages = check_int("pages", self.pages.value, 1, most)
            said = self._doers[self.action.value](self.guest.value, ipa, pages)
        except InputError as error:
            self.say(str(error), error=True)
            return
        if said:
            self.say(said)

    def _store(self, vm: int, ipa: int, pages: int) -> str | None:
        return self._touch(vm, ipa, pages, "write")

    def _load(self, vm: int, ipa: int, pages: int) -> str | None:
        return self._touch(vm, ipa, pages, "read")

    def _touch(self, vm: int, ipa: int, pages: int, access: str) -> str | None:
        faults = 0
        with self.session.together():
            for page in range(pages):
                result = self.do("access", vm=vm, ipa=ipa + page * PAGE_SIZE, access=access, value=0)
                if result is None:
                    return None
                faults += result.faults
        return f"guest {vm}, {access} of {_count(pages, 'page')} from {ipa:#x} on: {_count(faults, 'fault')}"

    def _take_back(self, vm: int, ipa: int, pages: int) -> str | None:
        for slot in kvm_memslots(self.machine.kvm(vm)):
            first = ipa - (slot.base_gfn << PAGE_SHIFT)
            if 0 <= first < slot.npages << PAGE_SHIFT:
                size = min(pages << PAGE_SHIFT, (slot.npages << PAGE_SHIFT) - first)
                hva = slot.userspace_addr + first
                before = len(self.machine.stream)
                self.do("discard", vm=vm, hva=hva, size=size)
                done = len(self.machine.stream) > before
                return f"the host took {_count(size >> PAGE_SHIFT, 'page')} from hva {hva:#x} on" if done else None
        raise InputError(f"IPA is {ipa:#x}; guest {vm} has no memory there that the host could take back")

    def _map_device(self, vm: int, ipa: int, pages: int) -> str | None:
        result = self.do("ioremap", vm=vm, ipa=ipa, pa=DEVICE, size=pages << PAGE_SHIFT)
        return None if result is None else f"ioremap of {_count(pages, 'page')} at {ipa:#x} returned {result}"

    def _destroy(self, vm: int, ipa: int, pages: int) -> str | None:
        before = len(self.machine.stream)
        self.do("destroy_vm", vm=vm)
        return f"guest {vm} is gone" if len(self.machine.stream) > before else None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
