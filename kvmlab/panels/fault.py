"""The fault panel: let a guest touch memory, and walk through what happens."""

from __future__ import annotations

import ipywidgets as widgets

from kvmlab.engine import InputError, KernelBug, Machine, Slot
from kvmlab.panels.panel import Panel
from kvmlab.panels.player import Player
from kvmlab.scenes.fault import FaultStory
from kvmlab.scenes.scene import Scene

RAM = Slot(ipa=0x8000_0000, size=64 << 20, hva=0x4000_0000)
"""Memory of the guest that `fault()` makes when it is given no machine."""
STARTS = ("begin", "last", "end")
DIGITS_LIMIT = 60


def fault(machine: Machine | None = None, *, vm: int = 0, start: str = "begin") -> FaultPanel:
    """Show how a guest page gets its memory, step by step, with a field to let the guest touch more.

    Args:
        machine: what to show, with everything that has happened on it; without one, a machine with one guest that has
            64 MiB of memory from IPA 0x80000000 on and has not run yet.
        vm: number of the VM to show.
        start: "begin" to stand at the first step, "last" where the last command begins, "end" at the last step.

    Returns:
        A widget: let it be the last line of a cell. Its `step` can be read and set.

    Raises:
        InputError: no such VM, no such `start`, or a machine that records nothing.
    """
    if start not in STARTS:
        raise InputError(f"start is {start!r}; allowed: {', '.join(STARTS)}")
    if machine is None:
        machine = Machine()
        machine.create_vm([RAM])
    if not machine.stream.recording:
        raise InputError("recording is False; a panel shows events, so it needs a machine that records them")
    return FaultPanel(machine, vm=vm, start=start)


def parse_number(name: str, text: str) -> int:
    """Return the number that somebody typed, in hex with 0x or in decimal.

    Args:
        name: what it is, for the message.
        text: what was typed; blanks around it and underscores between digits do not matter.

    Raises:
        InputError: it is not a number.

    >>> hex(parse_number("IPA", " 0x8000_1000 "))
    '0x80001000'
    """
    short = text.strip()[:DIGITS_LIMIT]
    try:
        return int(short, 0)
    except ValueError:
        raise InputError(f"{name} is {short!r}; write a number, such as 0x80001000 or 4096") from None


def first_of_last(scene: Scene) -> int:
    """Return the step at which the last command begins."""
    last = scene.steps[-1].command
    return next(number for number, step in enumerate(scene.steps) if step.command == last)


class FaultPanel(Panel):
    """Controls to let a guest touch memory, and the player that shows what came of it.

    Attributes:
        machine: the machine shown; commands given to it elsewhere appear after `refresh`.
        address, kind, value, button: the controls.
    """

    def __init__(self, machine: Machine, *, vm: int = 0, start: str = "begin") -> None:
        """Show what has happened on a machine so far."""
        self.machine, self.vm = machine, vm
        self._story, self._edition = FaultStory(vm), machine.stream.edition
        scene = self._story.read(machine.stream)
        player = Player(scene)
        player.step = {"begin": 0, "last": first_of_last(scene), "end": len(scene.steps) - 1}[start]
        narrow = {"description_width": "auto"}
        self.address = widgets.Text(
            value=f"{RAM.ipa:#x}",
            description="IPA",
            style=narrow,
            layout=widgets.Layout(width="13em"),
            continuous_update=True,
        )
        self.kind = widgets.Dropdown(
            options=["read", "write", "fetch"],
            value="write",
            description="access",
            style=narrow,
            layout=widgets.Layout(width="11em"),
        )
        self.value = widgets.Text(value="0x2a", description="value", style=narrow, layout=widgets.Layout(width="11em"))
        self.button = widgets.Button(description="Access", button_style="primary", layout=widgets.Layout(width="6em"))
        self.button.on_click(lambda _: self.access())
        for field in (self.address, self.value):
            field.on_msg(self._entered)
        self.kind.observe(self._offer_value, "value")
        super().__init__([self.address, self.kind, self.value, self.button], player)

    def access(self) -> None:
        """Let the guest do what the controls say; what is wrong with them appears under them, in words."""
        try:
            ipa = parse_number("IPA", self.address.value)
            value = parse_number("value", self.value.value) if self.kind.value == "write" else 0
            result = self.machine.access(self.vm, ipa, self.kind.value, value=value)
        except InputError as error:
            self.say(str(error), error=True)
            return
        except KernelBug as bug:  # the machine is as the kernel left it
            self.refresh()
            self.say(str(bug), error=True)
            return
        self.refresh()
        faults = {0: "no fault", 1: "1 fault"}.get(result.faults, f"{result.faults} faults")
        self.say(f"{self.kind.value} {ipa:#x}: {result.status}, {faults}")

    def refresh(self) -> None:
        """Show what has happened on the machine since, from where the last command begins."""
        stream = self.machine.stream
        if self._edition != stream.edition:  # the past was changed: tell the run anew
            self._story, self._edition = FaultStory(self.vm), stream.edition
        if self._story.seen < len(stream):
            scene = self._story.read(stream.since(self._story.seen))
            self.player.grow(scene, first_of_last(scene))

    def _entered(self, _: widgets.Widget, content: dict[str, str], __: object) -> None:
        """Do the access when Enter is pressed in a field."""
        if content.get("event") == "submit":
            self.access()

    def _offer_value(self, change: dict[str, str]) -> None:
        self.value.disabled = change["new"] != "write"
