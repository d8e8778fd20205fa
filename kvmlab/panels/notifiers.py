"""The notifier panel: let the host change pages that a guest uses, one after the other or both at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kvmlab.engine import Config, InputError, KernelBug, Machine, Slot
from kvmlab.engine.errors import check_int
from kvmlab.engine.host.mm import PRESENT
from kvmlab.engine.kernel.memslot import gfn_to_hva, gfn_to_memslot
from kvmlab.engine.kernel.pgtable import PAGE_SHIFT, PAGE_SIZE
from kvmlab.engine.race import PLACES
from kvmlab.panels.controls import choice, number_field, on_enter, parse_number, push, text_field
from kvmlab.panels.panel import Panel
from kvmlab.scenes import stories
from kvmlab.session import Session

ACTS = (
    ("swap out", "swap_out"),
    ("swap in", "swap_in"),
    ("merge with the next", "ksm_merge"),
    ("store", "host_write"),
    ("discard", "discard"),
    ("forbid writing", "forbid"),
    ("allow writing", "allow"),
)
STEP_BY_STEP = "step by step"
WORDS_LIMIT = 64
"""Words that may differ in two pages which are to be made equal."""
PAGES_LIMIT = 256


def notifiers(
    run: Session | Machine | None = None,
    *,
    vm: int = 0,
    notifier: bool = True,
    start: str = "begin",
    predict: bool = False,
) -> NotifierPanel:
    """Show host memory beside guest memory, and how KVM is told what the host does with its pages.

    Args:
        run: a session or a machine, with everything that has happened on it; without one, a machine with a guest whose
            two slots share a host page, and which has stored to four pages.
        vm: number of the VM to show.
        notifier: without a run, whether the kernel is built with CONFIG_MMU_NOTIFIER.
        start: "begin" to stand at the first step, "last" where the last command begins, "end" at the last step.
        predict: whether to ask before a step that has a consequence.

    Returns:
        A widget: let it be the last line of a cell. Its `step` can be read and set.

    Raises:
        InputError: no such `start`, or a machine that records nothing.
    """
    return NotifierPanel(two_slots(notifier) if run is None else run, vm=vm, start=start, predict=predict)


def two_slots(notifier: bool = True) -> Session:
    """Return a session with a guest of two slots that overlap in the host by a page; it has stored to four pages.

    Args:
        notifier: whether the kernel is built with CONFIG_MMU_NOTIFIER.
    """
    session = Session(Config(CONFIG_MMU_NOTIFIER=notifier))
    session.do("create_vm", slots=[Slot(0x8000_0000, 0x3000, 0x4000_0000), Slot(0x9000_0000, 0x3000, 0x4000_2000)])
    for ipa in (0x8000_0000, 0x8000_1000, 0x8000_2000, 0x9000_0000):
        session.do("access", vm=0, ipa=ipa, access="write", value=0x2A)
    return session


class NotifierPanel(Panel):
    """Controls for the guest, the host, and both at once, and the player that shows what came of it.

    Attributes:
        address, kind, guest_button: what the guest does, and where.
        act, pages, host_button: what the host does with the host page behind that address.
        place, race_button: where in the guest's fault the host acts.
    """

    def __init__(self, run: Session | Machine, *, vm: int = 0, **options: Any) -> None:
        """Show what has happened in a run so far."""
        self.vm = vm
        self._next = 1
        self.address = text_field("IPA", "0x80002000", "12em")
        self.kind = choice("guest", [("loads", "read"), ("stores", "write")], "10em", value="write")
        self.guest_button = push("Guest", self.guest, "5em", primary=True, tooltip="let the guest touch this address")
        self.act = choice("host", ACTS, "15em")
        self.pages = number_field("pages", 1, "7em")
        self.host_button = push("Host", self.host, "5em", primary=True, tooltip="let the host change this page")
        self.place = choice("host acts", [*PLACES, STEP_BY_STEP], "15em", value="before the lock")
        self.race_button = push(
            "Race", self.race, "5em", primary=True, tooltip="let the host act while the guest's fault is under way"
        )
        on_enter(self.address, self.guest)
        controls = [
            self.address, self.kind, self.guest_button, self.act, self.pages, self.host_button,
            self.place, self.race_button,
        ]  # fmt: skip
        super().__init__(run, lambda: stories.notifiers(self.machine, vm), controls, **options)

    def guest(self) -> None:
        """Let the guest touch the address."""
        self._attempt(self._guest)

    def host(self) -> None:
        """Let the host do its act with the page behind the address."""
        self._attempt(self._host)

    def race(self) -> None:
        """Let both happen at once, the host where the controls say."""
        self._attempt(self._race)

    def again(self, run: Session) -> NotifierPanel:
        """Return a notifier panel of the same VM on another run."""
        return NotifierPanel(run, vm=self.vm)

    # -- from the controls to commands -----------------------------------------------------------------------------

    def _attempt(self, act: Callable[[], str]) -> None:
        """Run commands; say what came of them, or what was wrong."""
        try:
            with self.session.together():
                words = act()
        except (InputError, KernelBug) as error:
            self.say(str(error), error=True)
        else:
            self.say(words)

    def _guest(self) -> str:
        result = self.session.do("access", vm=self.vm, **self._access())
        return f"guest {self.kind.label}: {result.status}, {_faults(result.faults)}"

    def _host(self) -> str:
        name, args = self._host_act()
        self.session.do(name, vm=self.vm, **args)
        return f"host: {self.act.label}, hva {args['hva']:#x}"

    def _race(self) -> str:
        access, (host, args) = self._access(), self._host_act()
        at, steps = ("before the lock", 2) if self.place.value == STEP_BY_STEP else (self.place.value, None)
        result = self.session.do("race", vm=self.vm, guest=access, host=host, args=args, at=at, steps=steps)
        return f"guest {self.kind.label}, host: {self.act.label}; {result.guest.status}"

    def _access(self) -> dict[str, Any]:
        ipa = parse_number("IPA", self.address.value)
        return {"ipa": ipa, "access": self.kind.value, "value": self._value() if self.kind.value == "write" else 0}

    def _value(self) -> int:
        """Return a value that has not been stored yet."""
        self._next += 1
        return self._next

    def _host_act(self) -> tuple[str, dict[str, Any]]:
        """Return the host's command and its arguments; before a merge, make the pages equal."""
        ipa, act = parse_number("IPA", self.address.value), self.act.value
        kvm = self.machine.kvm(self.vm)
        slot = gfn_to_memslot(kvm, ipa >> PAGE_SHIFT)
        if slot is None:
            raise InputError(f"IPA is {ipa:#x}; no slot shows host memory there: the host has no page to change")
        hva = gfn_to_hva(ipa >> PAGE_SHIFT, slot)
        if act == "host_write":
            return act, {"hva": hva | ipa & PAGE_SIZE - 4, "value": self._value()}
        if act == "ksm_merge":
            self._make_equal(hva, hva + PAGE_SIZE)
            return act, {"hva": hva, "vm2": self.vm, "hva2": hva + PAGE_SIZE}
        if act in ("discard", "forbid", "allow"):
            size = check_int("pages", self.pages.value, 1, PAGES_LIMIT) * PAGE_SIZE
            args = {"hva": hva, "size": size}
            return ("discard", args) if act == "discard" else ("protect", {**args, "writable": act == "allow"})
        return act, {"hva": hva}

    def _make_equal(self, hva: int, other: int) -> None:
        """Let the host process copy a page's words to the next one, so that KSM finds them equal."""
        host, ram = self.machine.host(self.vm), self.machine.ram
        for page in (hva, other):
            if not host.pte(page) & PRESENT:
                self.session.do("swap_in", vm=self.vm, hva=page)
        wanted, found = (ram.page(host.pte(page) >> PAGE_SHIFT) for page in (hva, other))
        different = [offset for offset in sorted({*wanted, *found}) if wanted.get(offset, 0) != found.get(offset, 0)]
        if len(different) > WORDS_LIMIT:
            raise InputError(f"the pages differ in {len(different)} words; allowed: {WORDS_LIMIT}")
        for offset in different:
            self.session.do("host_write", vm=self.vm, hva=other + offset, value=wanted.get(offset, 0))


def _faults(count: int) -> str:
    return {0: "no fault", 1: "1 fault"}.get(count, f"{count} faults")
