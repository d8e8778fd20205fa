"""The VMID panel: let guests enter, one by one or under a schedule, and watch the numbers run out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, count, islice
from typing import Any, TypeVar

from kvmlab.engine import Config, InputError, Machine
from kvmlab.engine.errors import check_int
from kvmlab.panels.controls import choice, number_field, push
from kvmlab.panels.panel import Panel, first_of_last
from kvmlab.panels.runs import session_of
from kvmlab.rollover.schedules import SCHEDULES
from kvmlab.scenes import stories
from kvmlab.scenes.vmid.counts import Counts
from kvmlab.scenes.vmid.story import VmidStory
from kvmlab.session import Session

MAX_GUESTS = 600
MAX_ENTRIES = 2000
"""In one go: more are slow to step through."""
MAX_STEPS = 8000
"""More steps than this make one panel slow."""
FAR = 100_000
"""How far ahead to look for a rollover, in entries."""
SEED = 1
T = TypeVar("T")


def vmids(
    run: Session | Machine | None = None,
    *,
    vmid_bits: int = 8,
    ncpus: int = 2,
    guests: int | None = None,
    start: str = "begin",
    predict: bool = False,
) -> VmidPanel:
    """Show guests that share a machine, and how they come by their VMIDs.

    Args:
        run: a session or a machine with VMIDs of 2 to 8 bits and up to 4 CPUs, with everything that has happened on it;
            without one, a new machine.
        vmid_bits: width of a VMID on a new machine, 2 to 8 bits; the Cortex-A15 has 8, a class uses 4.
        ncpus: physical CPUs of a new machine, 1 to 4.
        guests: how many guests there shall be, 1 to 600; those that are missing are made. If not given: on a new
            machine a few more than there are VMIDs, in a run those that it has.
        start: "begin" to stand at the first step, "last" where the last command begins, "end" at the last step.
        predict: whether to ask before a step that has a consequence.

    Returns:
        A widget: let it be the last line of a cell. Its `step` can be read and set.

    Raises:
        InputError: a number is out of range, the machine does not fit into the picture, no such `start`, or a machine
            that records nothing.
    """
    if guests is not None:
        check_int("guests", guests, 1, MAX_GUESTS)
    if run is None:
        VmidStory(vmid_bits, ncpus)  # refuses what the picture has no room for
        run = Session(Config(vmid_bits=vmid_bits, ncpus=ncpus))
        guests = (1 << vmid_bits) + 4 if guests is None else guests
    session = session_of(run)
    panel = VmidPanel(session, start=start, predict=predict)
    with session.together():
        for _ in range(len(panel.guests), guests or 0):
            session.do("create_vm")
    return panel


class VmidPanel(Panel):
    """Controls to let guests enter, and the player that shows what came of it.

    Attributes:
        guest, cpu, enter_button: let one guest enter.
        schedule, count, run_button, rollover_button: let many enter.
    """

    def __init__(self, run: Session | Machine, **options: Any) -> None:
        """Show what has happened in a run so far."""
        config = session_of(run).machine.config
        self._ahead: dict[tuple[str, int], Iterator[tuple[int, int]]] = {}
        self.guest = number_field("guest", 0)
        self.cpu = choice("on", [(f"CPU {number}", number) for number in range(config.ncpus)], "8em")
        self.enter_button = push("Enter", lambda: self.enter(self.guest.value, self.cpu.value), "6em", primary=True)
        self.schedule = choice("schedule", [(one.short, key) for key, one in SCHEDULES.items()], "15em")
        self.count = number_field("entries", (1 << config.vmid_bits) - 1)
        self.run_button = push(
            "Run", lambda: self.run(self.count.value), "4em", tooltip="let so many guests enter, under the schedule"
        )
        self.rollover_button = push(
            "Next rollover", self.to_rollover, "9em",
            tooltip="let guests enter, under the schedule, up to the entry that flushes all TLBs",
        )  # fmt: skip
        controls = [self.guest, self.cpu, self.enter_button, self.schedule, self.count, self.run_button]
        controls.append(self.rollover_button)
        super().__init__(run, lambda: stories.vmids(self.machine), controls, **options)

    @property
    def guests(self) -> list[int]:
        """The numbers of the guests that exist now."""
        return [number for number, kvm in self.session.machine.linux.vm_list.items() if kvm.created]

    @property
    def costs(self) -> list[Counts]:
        """For each step, what had been counted by then."""
        assert isinstance(self._story, VmidStory)
        return self._story.costs

    def again(self, run: Session) -> VmidPanel:
        """Return a VMID panel on another run."""
        return VmidPanel(run)

    def enter(self, guest: int, cpu: int = 0) -> None:
        """Let one guest enter on one CPU; what is wrong with the numbers appears under the controls.

        Args:
            guest: number of the guest.
            cpu: number of the CPU, from 0.
        """

        def act() -> bool:
            self._known(guest)
            check_int("cpu", cpu, 0, len(self.session.machine.cpus) - 1)
            self._room(1)
            self._enter([(guest, cpu)])
            return True

        if self._allowed(act):
            self.say(f"guest {guest} entered on CPU {cpu}")

    def run(self, entries: int, schedule: str | None = None) -> None:
        """Let guests enter under a schedule.

        Args:
            entries: how many entries, 1 to 2000.
            schedule: one of `kvmlab.rollover.schedules.SCHEDULES`, in turn going on after the guest that entered last;
                the one chosen above the player if not given.
        """

        def plan() -> list[tuple[int, int]]:
            self._room(check_int("entries", entries, 1, MAX_ENTRIES))
            return list(islice(self._order(schedule), entries))

        if planned := self._allowed(plan):
            self._enter(planned)
            self.say(f"{_entries(entries)}, {self._name(schedule)}; {len(self.guests)} guests take part")

    def to_rollover(self, schedule: str | None = None) -> None:
        """Let guests enter under a schedule until one causes a full flush, and stand just before that.

        Where there would be none, or not soon, nothing is done and the reason appears under the controls.

        Args:
            schedule: as for `run`.
        """
        if planned := self._allowed(lambda: self._until_rollover(schedule)):
            self._enter(planned)
            self.stand(max(0, first_of_last(self.scene) - 1))
            self.say(f"{_entries(len(planned))}, {self._name(schedule)}; the rollover begins with the next step (→)")

    def stand(self, step: int) -> None:
        """Stand at a step, wherever the run is shown."""
        self.step = step

    # -- how ---------------------------------------------------------------------------------------------------------

    def _allowed(self, action: Callable[[], T]) -> T | None:
        """Return what an action returns, or None after saying why it is refused."""
        try:
            return action()
        except InputError as error:
            self.say(str(error), error=True)
            return None

    def _known(self, guest: int) -> None:
        guests = self.guests
        if type(guest) is not int:
            check_int("guest", guest, 0, MAX_GUESTS)
        if guest not in guests:
            ends = [n for n in guests if n + 1 not in guests]
            starts = [n for n in guests if n - 1 not in guests]
            ranges = [f"{a} to {b}" if a < b else str(a) for a, b in zip(starts, ends, strict=True)]
            raise InputError(f"guest is {guest}; allowed: {', '.join(ranges) or 'none, create one first'}")

    def _enter(self, planned: list[tuple[int, int]]) -> None:
        with self.session.together():
            for guest, cpu in planned:
                self.session.do("enter", vm=guest, cpu=cpu)

    def _order(self, schedule: str | None) -> Iterator[tuple[int, int]]:
        """Return who enters next: pairs of guest and CPU. What is taken from it is gone."""
        key = self._key(schedule)
        guests, ncpus = self.guests, len(self.session.machine.cpus)
        if not guests:
            raise InputError("guests is 0; allowed: 1 or more, create one first")
        order: Iterator[tuple[int, int]]
        if key == "round-robin":  # it goes on after any other, so it needs no memory of its own
            last, cpu = self._last_entry()
            first = next((place for place, guest in enumerate(guests) if guest > last), 0)
            used = min(ncpus, len(guests))
            order = (((first + turn) % len(guests), (cpu + 1 + turn) % used) for turn in count())
        else:
            order = self._ahead.setdefault((key, len(guests)), SCHEDULES[key].entries(len(guests), SEED, ncpus))
        return ((guests[place], cpu) for place, cpu in order)

    def _last_entry(self) -> tuple[int, int]:
        """Return the guest that entered last, and where."""
        stream = self.session.machine.stream
        for seq in range(stream.cursor - 1, -1, -1):
            event = stream[seq]
            if event.name == "kvm_entry" and event.kind == "mark":
                return event.args["vm"], event.args["cpu"]
        return -1, -1

    def _until_rollover(self, schedule: str | None) -> list[tuple[int, int]]:
        """Return the entries up to the one that rolls over.

        Raises:
            InputError: there is none, or it is too far away.
        """
        left, numbered = self._left()
        order = self._order(schedule)
        without = len(self.guests) - len(numbered)
        if without <= left:
            raise InputError(
                f"no rollover will come under any schedule: {len(self.guests)} guests, {without} of them without a "
                f"VMID of this generation, and {left} VMIDs are left"
            )
        planned: list[tuple[int, int]] = []
        for guest, cpu in islice(order, FAR):
            planned.append((guest, cpu))
            if guest not in numbered:
                if not left:
                    break
                left -= 1
                numbered.add(guest)
        else:
            self._put_back(schedule, planned)
            raise InputError(f"the next rollover is more than {FAR} entries away under this schedule")
        try:
            check_int("entries", len(planned), 1, MAX_ENTRIES)
            self._room(len(planned))
        except InputError as error:
            self._put_back(schedule, planned)
            raise InputError(f"the next rollover is {len(planned)} entries away under this schedule: {error}") from None
        return planned

    def _left(self) -> tuple[int, set[int]]:
        """Return how many numbers are left, and the guests that can enter without taking one of them."""
        linux, config = self.session.machine.linux, self.session.machine.config
        bitmap = config.allocator == "5.18"
        left = linux.vmids.free if bitmap else -linux.kvm_next_vmid % (1 << config.vmid_bits)
        reserved = set(linux.vmids.reserved_vmids.values()) - {0}
        kvms = [linux.vm_list[guest] for guest in self.guests]
        return left, {kvm.number for kvm in kvms if kvm.vmid_gen == linux.generation or kvm.vmid_id in reserved}

    def _put_back(self, schedule: str | None, planned: list[tuple[int, int]]) -> None:
        """Give entries back that were looked at and not made."""
        places = {guest: place for place, guest in enumerate(self.guests)}
        key = self._key(schedule), len(places)
        if key in self._ahead:
            self._ahead[key] = chain([(places[guest], cpu) for guest, cpu in planned], self._ahead[key])

    def _key(self, schedule: str | None) -> str:
        key = self.schedule.value if schedule is None else schedule
        if key not in SCHEDULES:
            raise InputError(f"schedule is {key!r}; allowed: {', '.join(SCHEDULES)}")
        return str(key)

    def _name(self, schedule: str | None) -> str:
        return SCHEDULES[self._key(schedule)].name

    def _room(self, entries: int) -> None:
        steps = len(self.scene.steps)
        if steps + entries > MAX_STEPS:
            raise InputError(
                f"entries is {entries} after {steps} steps; allowed: {MAX_STEPS} steps in one panel, "
                "run the cell again for an empty one"
            )


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"
