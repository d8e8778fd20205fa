"""The VMID panel: let guests enter, one by one or in turn, and watch the numbers run out."""

from __future__ import annotations

import ipywidgets as widgets

from kvmlab.engine import Config, InputError, Machine
from kvmlab.engine.errors import check_int
from kvmlab.panels.panel import Panel
from kvmlab.panels.player import Player
from kvmlab.scenes.scene import Scene
from kvmlab.scenes.vmid import MAX_BITS, MAX_CPUS, Story

MAX_GUESTS = 600
MAX_ENTRIES = 1500
"""More entries than this make one panel slow."""


def vmids(*, vmid_bits: int = 8, ncpus: int = 2, guests: int | None = None) -> VmidPanel:
    """Show guests that share a machine, and how they come by their VMIDs.

    Args:
        vmid_bits: width of a VMID, 2 to 8 bits; the Cortex-A15 has 8, a class uses 4.
        ncpus: physical CPUs, 1 to 4.
        guests: how many guests there are, 1 to 600; a few more than there are VMIDs if not given.

    Returns:
        A widget: let it be the last line of a cell. Its `step` can be read and set.

    Raises:
        InputError: a number is out of range.
    """
    check_int("vmid_bits", vmid_bits, 2, MAX_BITS)
    check_int("ncpus", ncpus, 1, MAX_CPUS)
    count = check_int("guests", (1 << vmid_bits) + 4 if guests is None else guests, 1, MAX_GUESTS)
    machine = Machine(Config(vmid_bits=vmid_bits, ncpus=ncpus))
    for _ in range(count):
        machine.create_vm()
    return VmidPanel(machine, count)


class VmidPanel(Panel):
    """Controls to let guests enter, and the player that shows what came of it.

    Attributes:
        machine: the machine shown.
        guest, cpu, count, enter_button, turn_button: the controls.
    """

    def __init__(self, machine: Machine, guests: int) -> None:
        """Show a machine on which guests 0 to `guests` - 1 exist."""
        self.machine, self.guests = machine, guests
        self._story = Story(machine.config.vmid_bits, machine.config.ncpus)
        self._heard = 0
        self._entries = 0
        self._next_guest = self._next_cpu = 0
        self.guest = _number("guest", 0)
        self.cpu = widgets.Dropdown(
            options=[(f"CPU {cpu.number}", cpu.number) for cpu in machine.cpus],
            description="on",
            style={"description_width": "auto"},
            layout=widgets.Layout(width="8em"),
        )
        self.enter_button = widgets.Button(
            description="Enter", button_style="primary", layout=widgets.Layout(width="6em")
        )
        self.count = _number("entries", min(guests, (1 << machine.config.vmid_bits) - 1))
        self.turn_button = widgets.Button(description="Run in turn", layout=widgets.Layout(width="8em"))
        self.enter_button.on_click(lambda _: self.enter(self.guest.value, self.cpu.value))
        self.turn_button.on_click(lambda _: self.run(self.count.value))
        for name in ("guest", "cpu", "enter_button", "count", "turn_button"):
            getattr(self, name).add_class(f"kvmlab-{name.replace('_', '-')}")
        controls = [self.guest, self.cpu, self.enter_button, self.count, self.turn_button]
        super().__init__(controls, Player(self._scene()))

    def enter(self, guest: int, cpu: int = 0) -> None:
        """Let one guest enter on one CPU; what is wrong with the numbers appears under the controls.

        Args:
            guest: number of the guest, from 0.
            cpu: number of the CPU, from 0.
        """
        try:
            check_int("guest", guest, 0, self.guests - 1)
            check_int("cpu", cpu, 0, len(self.machine.cpus) - 1)
            self._room(1)
        except InputError as error:
            self.say(str(error), error=True)
            return
        self._enter(guest, cpu)
        self._show(f"guest {guest} entered on CPU {cpu}")

    def run(self, entries: int) -> None:
        """Let guests enter in turn, on the CPUs in turn, going on after the last one that entered.

        Args:
            entries: how many entries.
        """
        try:
            self._room(check_int("entries", entries, 1, MAX_ENTRIES))
        except InputError as error:
            self.say(str(error), error=True)
            return
        for _ in range(entries):
            self._enter(self._next_guest, self._next_cpu)
        self._show(f"{entries} {'entry' if entries == 1 else 'entries'} in turn, guests 0 to {self.guests - 1}")

    def _enter(self, guest: int, cpu: int) -> None:
        """Make one entry."""
        machine = self.machine
        machine.enter(guest, cpu=cpu)
        self._entries += 1
        self._next_guest, self._next_cpu = (guest + 1) % self.guests, (cpu + 1) % len(machine.cpus)

    def _room(self, entries: int) -> None:
        if self._entries + entries > MAX_ENTRIES:
            raise InputError(
                f"entries is {entries} after {self._entries}; allowed: {MAX_ENTRIES} in one panel, "
                "run the cell again for an empty one"
            )

    def _scene(self) -> Scene:
        """Tell the events since the last time."""
        stream = self.machine.stream
        self._story.hear(stream.since(self._heard))
        self._heard = len(stream)
        return self._story.scene()

    def _show(self, done: str) -> None:
        """Show the new steps. What came of the command is not told: the learner may be predicting it."""
        self.player.grow(self._scene())
        self.say(done)


def _number(name: str, value: int) -> widgets.IntText:
    return widgets.IntText(
        value=value, description=name, style={"description_width": "auto"}, layout=widgets.Layout(width="9em")
    )
