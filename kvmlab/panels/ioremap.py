"""The ioremap panel: give a guest a device, well or badly, and let the guest use it."""

from __future__ import annotations

from typing import Any

from kvmlab.engine import InputError, Machine
from kvmlab.panels.controls import choice, on_enter, parse_number, push, text_field
from kvmlab.panels.panel import Panel
from kvmlab.panels.starts import RAM, one_guest
from kvmlab.scenes import stories
from kvmlab.session import Session

VGIC = (0x2C00_2000, 0x2C00_6000, 0x2000)
"""IPA, PA and size: the guest's GIC CPU interface, and the VGIC's virtual one that takes its place."""
DEVICE_PA = 0x1C00_0000
FAR, STEP = 0x3000_0000, 0x40_0000
"""Where the badly chosen devices go: each gets a place of its own."""


def ioremap(
    run: Session | Machine | None = None, *, vm: int = 0, start: str = "begin", predict: bool = False
) -> IoremapPanel:
    """Show how a device is mapped into a guest ahead of any fault, and what an access to it then does.

    Args:
        run: a session or a machine, with everything that has happened on it; without one, a machine with a guest that
            has 64 MiB of memory, has stored to its first page, and has got the VGIC's virtual CPU interface.
        vm: number of the VM to show.
        start: "begin" to stand at the first step, "last" where the last command begins, "end" at the last step.
        predict: whether to ask before a step that has a consequence.

    Returns:
        A widget: let it be the last line of a cell. Its `step` can be read and set.

    Raises:
        InputError: no such `start`, or a machine that records nothing.
    """
    return IoremapPanel(guest_with_vgic() if run is None else run, vm=vm, start=start, predict=predict)


def guest_with_vgic() -> Session:
    """Return a session with a guest that has filled one page of memory and has got a device."""
    session = one_guest()
    session.do("access", vm=0, ipa=RAM.ipa, access="write", value=0x2A)
    ipa, pa, size = VGIC
    session.do("ioremap", vm=0, ipa=ipa, pa=pa, size=size)
    return session


class IoremapPanel(Panel):
    """Controls to map devices and to let the guest use them, and the player that shows what came of it.

    Attributes:
        ipa, pa, size, map_button: the call.
        over_button, end_button, fail_button, crooked_button: calls that surprise.
        address, kind, access_button: what the guest does.
    """

    def __init__(self, run: Session | Machine, *, vm: int = 0, **options: Any) -> None:
        """Show what has happened in a run so far."""
        self.vm, self._tries = vm, 0
        fields = ((name, f"{value:#x}") for name, value in zip(("IPA", "PA", "size"), VGIC, strict=True))
        self.ipa, self.pa, self.size = (text_field(name, value, "11em") for name, value in fields)
        self.map_button = push("Map device", self.map, "7em", primary=True, tooltip="kvm_phys_addr_ioremap")
        self.over_button = push("over RAM", self.over_ram, "6.5em", tooltip="the third of four pages is memory in use")
        self.end_button = push("ends at 4 GiB", self.at_the_end, "8em", tooltip="the last page below 4 GiB")
        self.fail_button = push("fails half way", self.half_way, "8em", tooltip="the third page allocation fails")
        self.crooked_button = push(
            "unaligned", self.crooked, "6.5em", tooltip="a page's size, from the middle of a page"
        )
        self.address = text_field("guest at", f"{VGIC[0]:#x}", "13em")
        self.kind = choice("access", ["read", "write", "fetch"], "10em")
        self.access_button = push("Access", self.access, "5.5em")
        for field in (self.ipa, self.pa, self.size):
            on_enter(field, self.map)
        on_enter(self.address, self.access)
        controls = [
            self.ipa, self.pa, self.size, self.map_button,
            self.over_button, self.end_button, self.fail_button, self.crooked_button,
            self.address, self.kind, self.access_button,
        ]  # fmt: skip
        super().__init__(run, lambda: stories.ioremap(self.machine, vm), controls, **options)

    def again(self, run: Session) -> IoremapPanel:
        """Return an ioremap panel of the same VM on another run."""
        return IoremapPanel(run, vm=self.vm)

    def map(self) -> None:
        """Map what the fields say."""
        try:
            fields = ((name, field.value) for name, field in (("IPA", self.ipa), ("PA", self.pa), ("size", self.size)))
            ipa, pa, size = (parse_number(name, text) for name, text in fields)
        except InputError as error:
            self.say(str(error), error=True)
            return
        ret = self.do("ioremap", vm=self.vm, ipa=ipa, pa=pa, size=size)
        if ret is not None:
            self.address.value = f"{ipa & ~3:#x}"  # before anybody reads what came of it and types another one
            self.say(f"ioremap {ipa:#x}, {size:#x} bytes: returned {ret}")

    def _map(self, ipa: int, size: int, pa: int = DEVICE_PA) -> None:
        self.ipa.value, self.pa.value, self.size.value = f"{ipa:#x}", f"{pa:#x}", f"{size:#x}"
        self.map()

    def _place(self) -> int:
        """Return how many places for badly chosen devices have been used, and use one more."""
        self._tries += 1
        return self._tries - 1

    def over_ram(self) -> None:
        """Map four pages of which the third is memory that the guest has used."""
        taken = RAM.ipa + 0x3000 + 0x1_0000 * self._place()
        with self.session.together():
            if self.do("access", vm=self.vm, ipa=taken, access="write") is not None:
                self._map(taken - 0x2000, 0x4000)

    def at_the_end(self) -> None:
        """Map the last page below 4 GiB."""
        self._map((1 << 32) - 0x1000, 0x1000)

    def half_way(self) -> None:
        """Map four pages across a table's end, and let the allocation for the second one fail."""
        with self.session.together():
            if self.do("fail_alloc", k=3) is None:
                self._map(FAR + STEP * self._place() + 0x1F_F000, 0x4000)

    def crooked(self) -> None:
        """Map a page's size from the middle of a page on."""
        self._map(FAR + STEP * self._place() + 0x800, 0x1000)

    def access(self) -> None:
        """Let the guest use an address."""
        try:
            ipa = parse_number("guest at", self.address.value)
        except InputError as error:
            self.say(str(error), error=True)
            return
        result = self.do("access", vm=self.vm, ipa=ipa, access=self.kind.value)
        if result is not None:
            faults = {0: "no fault", 1: "1 fault"}.get(result.faults, f"{result.faults} faults")
            self.say(f"{self.kind.value} {ipa:#x}: {result.status}, {faults}")
