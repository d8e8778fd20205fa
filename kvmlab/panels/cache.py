"""The cache panel: let a guest fault, and watch the frames for its tables come and go."""

from __future__ import annotations

from typing import Any

from kvmlab.engine import InputError, Machine, Slot
from kvmlab.engine.errors import check_int
from kvmlab.panels.controls import choice, number_field, on_enter, parse_number, push, text_field
from kvmlab.panels.panel import Panel
from kvmlab.scenes import stories
from kvmlab.session import Session

FIRST = 0x8000_0000
STRIDES = (("next page", 1 << 12), ("next 2 MiB", 1 << 21), ("next GiB", 1 << 30))
"""How far apart the stores are: the tables are there already, a level 3 table is new, a level 2 table is new, too."""
STORES_LIMIT = 500
"""More at once make a panel slow."""
GIBS = 30
WHAT_IF = (
    "Not run here; from the 3.9 sources: GFP_KERNEL may sleep until memory is free, and whoever wants mmu_lock would "
    "spin all that time. __alloc_pages_nodemask() has a might_sleep_if(): a debugging kernel says “BUG: sleeping "
    "function called from invalid context”. If it does sleep, schedule() says “BUG: scheduling while atomic”. "
    "Rule: Documentation/DocBook/kernel-hacking, Recipes for Deadlock."
)


def cache(
    run: Session | Machine | None = None, *, vm: int = 0, vcpu: int = 0, start: str = "begin", predict: bool = False
) -> CachePanel:
    """Show a vCPU's memory cache: frames for stage-2 tables, taken before the lock and used under it.

    Args:
        run: a session or a machine, with everything that has happened on it; without one, a machine with a guest that
            has memory in many places and has stored to its first page.
        vm: number of the VM to show.
        vcpu: number of its vCPU, 0 to 3.
        start: "begin" to stand at the first step, "last" where the last command begins, "end" at the last step.
        predict: whether to ask before a step that has a consequence.

    Returns:
        A widget: let it be the last line of a cell. Its `step` can be read and set.

    Raises:
        InputError: no such `start`, or a machine that records nothing.
    """
    return CachePanel(wide_guest() if run is None else run, vm=vm, vcpu=vcpu, start=start, predict=predict)


def wide_guest() -> Session:
    """Return a session with a guest that has 256 MiB at 0x80000000 and a MiB in each of the 30 GiB after that.

    So there is memory for every stride. The guest has stored to its first page.
    """
    session = Session()
    more = [Slot(ipa=FIRST + (gib << 30), size=1 << 20, hva=0x6000_0000 + (gib << 20)) for gib in range(1, GIBS + 1)]
    session.do("create_vm", slots=[Slot(ipa=FIRST, size=256 << 20, hva=0x4000_0000), *more])
    session.do("access", vm=0, ipa=FIRST, access="write", value=0x2A)
    return session


class CachePanel(Panel):
    """Controls to let a guest fault, once or many times, and the player that shows what came of it.

    Attributes:
        address, stride, count, button, fail, fail_button, why_button: the controls.
    """

    def __init__(self, run: Session | Machine, *, vm: int = 0, vcpu: int = 0, **options: Any) -> None:
        """Show what has happened in a run so far."""
        self.vm, self.vcpu = vm, vcpu
        self.address = text_field("IPA", f"{FIRST + (1 << 21):#x}", "12em")
        self.stride = choice("then the", STRIDES, "13em", value=1 << 21)
        self.count = number_field("stores", 1, "8em")
        self.button = push("Store", self.store, "5em", primary=True, tooltip="store from this IPA on, so many times")
        self.fail = number_field("fail the k-th", 3, "10em")
        self.fail_button = push(
            "Fail it", self.inject, "5.5em", tooltip="let the k-th page allocation from now fail; 0: none"
        )
        self.why_button = push("Allocate under the lock?", self.ask_why, "15em", tooltip="what would happen, in words")
        on_enter(self.address, self.store)
        controls = [
            self.address, self.stride, self.count, self.button, self.fail, self.fail_button, self.why_button,
        ]  # fmt: skip
        super().__init__(run, lambda: stories.cache(self.machine, vm, vcpu), controls, **options)

    def again(self, run: Session) -> CachePanel:
        """Return a cache panel of the same vCPU on another run."""
        return CachePanel(run, vm=self.vm, vcpu=self.vcpu)

    def store(self) -> None:
        """Let the guest store as the controls say; the next IPA then stands in the field."""
        try:
            ipa = parse_number("IPA", self.address.value)
            count = check_int("stores", self.count.value, 1, STORES_LIMIT)
        except InputError as error:
            self.say(str(error), error=True)
            return
        faults, done, result = 0, 0, None
        with self.session.together():
            for done in range(1, count + 1):
                at = ipa + (done - 1) * self.stride.value
                result = self.do("access", vm=self.vm, vcpu=self.vcpu, ipa=at, access="write", value=done)
                if result is None:
                    return
                faults += result.faults
                self.address.value = f"{at + self.stride.value:#x}"
                if result.status != "done":
                    break
        if result is not None:
            what = "1 store" if done == 1 else f"{done} stores"
            ends = "" if result.status == "done" else f"; the last one ended with {result.status}"
            self.say(f"{what} from {ipa:#x} on: {faults} {'fault' if faults == 1 else 'faults'}{ends}")

    def inject(self) -> None:
        """Let an allocation fail."""
        k, before = self.fail.value, len(self.session.machine.stream)
        self.do("fail_alloc", k=k)
        if len(self.session.machine.stream) > before:
            words = f"allocation {k} from now will fail; the next comes when the cache is filled"
            self.say(words if k else "no allocation will fail")

    def ask_why(self) -> None:
        """Say why no page is allocated under the lock."""
        self.say(WHAT_IF)
