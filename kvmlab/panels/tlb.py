"""The TLB panel: let guests use the same addresses, and watch who may use which translation."""

from __future__ import annotations

from typing import Any

from kvmlab.engine import InputError, Machine
from kvmlab.engine.errors import check_int
from kvmlab.engine.hardware.tlb import ASID_MAX
from kvmlab.engine.kernel.memslot import kvm_memslots
from kvmlab.engine.kernel.pgtable import PAGE_SHIFT, PAGE_SIZE
from kvmlab.panels.controls import choice, number_field, parse_number, push
from kvmlab.panels.panel import Panel
from kvmlab.panels.starts import RAM, shared_address
from kvmlab.scenes import stories
from kvmlab.session import Session

PAGES = 4
"""How many pages of a guest's memory are offered: the first ones, and one more that shares a set with the first."""
HOST_PAGE = 0xC000_1000
"""What the host touches: an address of the host kernel, which lies from here on under the usual 3G/1G split."""
ENTRIES_LIMIT = 300
"""More entries than this until the next rollover are not made at once: with 8-bit VMIDs a class would wait."""


def tlb(run: Session | Machine | None = None, *, start: str = "begin", predict: bool = False) -> TlbPanel:
    """Show what each CPU's TLB holds, which look-ups hit, and what is flushed.

    Args:
        run: a session or a machine, with everything that has happened on it; without one, a machine with two CPUs,
            2-bit VMIDs and small TLBs, on which two guests have used the same address with the same ASID.
        start: "begin" to stand at the first step, "last" where the last command begins, "end" at the last step.
        predict: whether to ask before a step that has a consequence.

    Returns:
        A widget: let it be the last line of a cell. Its `step` can be read and set.

    Raises:
        InputError: no such `start`, or a machine that records nothing.
    """
    return TlbPanel(shared_address() if run is None else run, start=start, predict=predict)


class TlbPanel(Panel):
    """Controls to let guests and the host use TLBs, and the player that shows what came of it.

    Attributes:
        guest, cpu, asid, page, kind, access_button, enter_button, host_button, swap_button, rollover_button: the
            controls.
    """

    def __init__(self, run: Session | Machine, **options: Any) -> None:
        """Show what has happened in a run so far."""
        machine = run.machine if isinstance(run, Session) else run
        config = machine.config
        pages = [*range(PAGES), config.tlb_sets] if config.tlb_sets >= PAGES else list(range(PAGES))
        self.guest = number_field("guest", 0, "7em")
        self.cpu = choice("on", [(f"CPU {cpu}", cpu) for cpu in range(config.ncpus)], "8em")
        self.asid = number_field("ASID", 1, "7em")
        self.page = choice("IPA", [f"{RAM.ipa + PAGE_SIZE * page:#x}" for page in pages], "10em")
        self.kind = choice("access", ["read", "write", "fetch"], "9em")
        self.access_button = push(
            "Access", self.access, "6em", primary=True, tooltip="the guest uses the address on that CPU"
        )
        self.enter_button = push("Enter guest", self.enter, "8em", tooltip="VTTBR gets the guest's VMID; no access")
        self.host_button = push(
            "Host touches", self.host_touch, "8em", tooltip=f"the host uses {HOST_PAGE:#x} on that CPU, as VMID 0"
        )
        self.swap_button = push(
            "Swap out", self.swap_out, "7em", tooltip="the host takes the page behind that IPA: a flush by VMID"
        )
        self.rollover_button = push(
            "Next rollover", self.rollover, "9em", tooltip="new guests enter until the VMIDs run out: a full flush"
        )
        controls = [self.guest, self.cpu, self.asid, self.page, self.kind, self.access_button]
        controls += [self.enter_button, self.host_button, self.swap_button, self.rollover_button]
        super().__init__(run, lambda: stories.tlb(self.machine), controls, **options)

    def again(self, run: Session) -> TlbPanel:
        """Return a TLB panel on another run."""
        return TlbPanel(run)

    def access(self) -> None:
        """Let the guest use the address; what is wrong with the controls appears under them."""
        try:
            asid = check_int("ASID", self.asid.value, 0, ASID_MAX)
        except InputError as error:
            self.say(str(error), error=True)
            return
        ipa, kind, vm, cpu = parse_number("IPA", self.page.value), self.kind.value, self.guest.value, self.cpu.value
        result = self.do("access", vm=vm, ipa=ipa, access=kind, cpu=cpu, asid=asid)
        if result is not None:
            self.say(f"guest {vm}, ASID {asid}, CPU {cpu}: {kind} {ipa:#x}, {result.status}")

    def enter(self) -> None:
        """Let the guest enter on the CPU."""
        before = len(self.session.commands)
        self.do("enter", vm=self.guest.value, cpu=self.cpu.value)
        if len(self.session.commands) > before:
            self.say(f"guest {self.guest.value} entered on CPU {self.cpu.value}")

    def host_touch(self) -> None:
        """Let the host use an address of its own on the CPU."""
        self.do("host_touch", cpu=self.cpu.value, hva=HOST_PAGE)
        self.say(f"the host has used {HOST_PAGE:#x} on CPU {self.cpu.value}")

    def swap_out(self) -> None:
        """Let the host move the page behind the IPA to swap."""
        vm, ipa = self.guest.value, parse_number("IPA", self.page.value)
        before = len(self.session.commands)
        try:
            self.session.do("swap_out", vm=vm, hva=self._hva(vm, ipa))
        except InputError as error:
            self.say(str(error), error=True)
        if len(self.session.commands) > before:
            self.say(f"guest {vm}: the page behind {ipa:#x} is in swap")

    def _hva(self, vm: int, ipa: int) -> int:
        """Return where a guest's page lies in the host process."""
        for slot in kvm_memslots(self.session.machine.kvm(vm)):
            if 0 <= (ipa >> PAGE_SHIFT) - slot.base_gfn < slot.npages:
                return slot.userspace_addr + ipa - (slot.base_gfn << PAGE_SHIFT)
        raise InputError(f"IPA is {ipa:#x}; guest {vm} has no memory there")

    def rollover(self) -> None:
        """Let guests enter until a new generation begins, with guests made for it if there are too few."""
        linux = self.session.machine.linux
        config, generation = self.session.machine.config, linux.generation
        bitmap = config.allocator == "5.18"
        left = linux.vmids.free if bitmap else -linux.kvm_next_vmid % (1 << config.vmid_bits)
        if left > ENTRIES_LIMIT:
            words = f"{left} VMIDs are left; allowed: at most {ENTRIES_LIMIT}, use a machine with narrower VMIDs"
            self.say(words, error=True)
            return
        made = entered = 0
        with self.session.together():
            waiting = [vm for vm, kvm in linux.vm_list.items() if kvm.created and kvm.vmid_gen != generation]
            while linux.generation == generation:
                if not waiting:
                    vm = self.session.do("create_vm", slots=[RAM])
                    if vm < 0:
                        self.say("there is no memory for one more guest", error=True)
                        return
                    waiting.append(vm)
                    made += 1
                self.session.do("enter", vm=waiting.pop(0), cpu=self.cpu.value)
                entered += 1
        self.say(f"guests entered: {entered}, {made} of them new")
