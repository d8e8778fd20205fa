"""The fault panel: let a guest touch memory, and walk through what happens."""

from __future__ import annotations

from typing import Any

from kvmlab.engine import InputError, Machine
from kvmlab.panels.controls import choice, on_enter, parse_number, push, text_field
from kvmlab.panels.panel import Panel
from kvmlab.panels.starts import RAM, one_guest
from kvmlab.scenes import stories
from kvmlab.session import Session


def fault(
    run: Session | Machine | None = None, *, vm: int = 0, start: str = "begin", predict: bool = False
) -> FaultPanel:
    """Show how a guest page gets its memory, step by step, with a field to let the guest touch more.

    Args:
        run: a session or a machine, with everything that has happened on it; without one, a machine with one guest that
            has 64 MiB of memory from IPA 0x80000000 on and has not run yet.
        vm: number of the VM to show.
        start: "begin" to stand at the first step, "last" where the last command begins, "end" at the last step.
        predict: whether to ask before a step that has a consequence.

    Returns:
        A widget: let it be the last line of a cell. Its `step` can be read and set.

    Raises:
        InputError: no such VM, no such `start`, or a machine that records nothing.
    """
    return FaultPanel(one_guest() if run is None else run, vm=vm, start=start, predict=predict)


class FaultPanel(Panel):
    """Controls to let a guest touch memory, and the player that shows what came of it.

    Attributes:
        address, kind, value, button: the controls.
    """

    def __init__(self, run: Session | Machine, *, vm: int = 0, **options: Any) -> None:
        """Show what has happened in a run so far."""
        self.vm = vm
        self.address = text_field("IPA", f"{RAM.ipa:#x}", "13em")
        self.kind = choice("access", ["read", "write", "fetch"], "11em", value="write")
        self.value = text_field("value", "0x2a", "11em")
        self.button = push("Access", self.access, "6em", primary=True)
        for field in (self.address, self.value):
            on_enter(field, self.access)
        self.kind.observe(self._offer_value, "value")
        controls = [self.address, self.kind, self.value, self.button]
        super().__init__(run, lambda: stories.fault(self.machine, vm), controls, **options)

    def access(self) -> None:
        """Let the guest do what the controls say; what is wrong with them appears under them, in words."""
        try:
            ipa = parse_number("IPA", self.address.value)
            value = parse_number("value", self.value.value) if self.kind.value == "write" else 0
        except InputError as error:
            self.say(str(error), error=True)
            return
        result = self.do("access", vm=self.vm, ipa=ipa, access=self.kind.value, value=value)
        if result is not None:
            faults = {0: "no fault", 1: "1 fault"}.get(result.faults, f"{result.faults} faults")
            self.say(f"{self.kind.value} {ipa:#x}: {result.status}, {faults}")

    def again(self, run: Session) -> FaultPanel:
        """Return a fault panel of the same VM on another run."""
        return FaultPanel(run, vm=self.vm)

    def _offer_value(self, change: dict[str, str]) -> None:
        self.value.disabled = change["new"] != "write"
