"""The machine: a system that takes commands. Commands go in, events come out.

Every command is a method. ``begin`` makes the same command an operation that can be stepped and interleaved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kvmlab.engine.commands import Slot, checked
from kvmlab.engine.guest import Access
from kvmlab.engine.kernel.pgtable import PAGE_SIZE
from kvmlab.engine.race import Race
from kvmlab.engine.system import System
from kvmlab.engine.tasks import Steps, run_as


@dataclass(frozen=True)
class Operation:
    """A command that has been checked and not yet run.

    Attributes:
        task: who does it: "cpu0", ..., "host".
        name: the command.
        steps: run it, step by step; its first step appends the command to the stream.
    """

    task: str
    name: str
    steps: Steps[Any]


class Machine(System):
    """A host that runs guests, and takes commands.

    Args:
        config: what to build; the default is a two-CPU Cortex-A15 under Linux 3.9.

    >>> machine = Machine()
    >>> vm = machine.create_vm([Slot(ipa=0x8000_0000, size=0x100_0000, hva=0x4000_0000)])
    >>> machine.access(vm, 0x8000_0000, "write", value=7).faults
    1
    >>> machine.access(vm, 0x8000_0000).value
    7
    """

    def begin(self, name: str, **args: Any) -> Operation:
        """Check a command and return it as an operation that has not started.

        Args:
            name: a command: "access", "ioremap", "swap_out", ...
            args: its arguments, by name.

        Raises:
            InputError: no such command, or an argument is missing, unknown or not allowed.
        """
        task, said, steps = checked(self, name, args)
        return Operation(task, name, self._announce(name, said, steps))

    def do(self, name: str, **args: Any) -> Any:
        """Run a command to its end and return its result.

        Raises:
            InputError: as ``begin``; the machine is as it was.
            KernelBug: the modelled kernel died; the machine is as it left it.
        """
        return self.run(self.begin(name, **args))

    def run(self, operation: Operation) -> Any:
        """Run an operation that has not started to its end and return its result.

        Raises:
            KernelBug: the modelled kernel died; the machine is as it left it.
        """
        return run_as(self.stream, operation.task, operation.steps)

    def _announce(self, name: str, said: dict[str, Any], steps: Steps[Any]) -> Steps[Any]:
        self.stream.command(name, **said)
        result = yield from steps
        return result

    def create_vm(self, slots: Iterable[Slot | tuple[int, int, int]] = (), *, vcpus: int = 1) -> int:
        """Make a VM and return its number, or -ENOMEM if there is no memory for its level-1 table.

        Args:
            slots: its memory.
            vcpus: how many vCPUs, 1 to 4.
        """
        ret: int = self.do("create_vm", slots=tuple(slots), vcpus=vcpus)
        return ret

    def destroy_vm(self, vm: int) -> None:
        """Destroy a VM: kvm_arch_destroy_vm."""
        self.do("destroy_vm", vm=vm)

    def add_slot(self, vm: int, slot: Slot | tuple[int, int, int]) -> int:
        """Give a VM more memory; returns 0 or a negative error."""
        ret: int = self.do("add_slot", vm=vm, slot=slot)
        return ret

    def remove_slot(self, vm: int, slot: int) -> int:
        """Take memory slot number ``slot`` away; Linux 3.9 leaves its pages mapped. Returns 0."""
        ret: int = self.do("remove_slot", vm=vm, slot=slot)
        return ret

    def access(
        self,
        vm: int,
        ipa: int,
        access: str = "read",
        *,
        value: int = 0,
        vcpu: int = 0,
        cpu: int | None = None,
        asid: int = 0,
    ) -> Access:
        """Let a guest load, store or fetch one word.

        Args:
            vm: which VM.
            ipa: address in bytes, 0 to 2^40 - 1, a multiple of 4.
            access: "read", "write" or "fetch".
            value: what to write, 0 to 2^32 - 1.
            vcpu: which of its vCPUs.
            cpu: which physical CPU; the one with the vCPU's number, modulo the number of CPUs, if not given.
            asid: the guest's address space, 0 to 255.
        """
        result: Access = self.do("access", vm=vm, ipa=ipa, access=access, value=value, vcpu=vcpu, cpu=cpu, asid=asid)
        return result

    def enter(self, vm: int, *, vcpu: int = 0, cpu: int | None = None) -> None:
        """Enter a guest without an access; whoever runs on that CPU leaves first."""
        self.do("enter", vm=vm, vcpu=vcpu, cpu=cpu)

    def leave(self, cpu: int = 0) -> None:
        """Take the guest on a CPU back to the host."""
        self.do("leave", cpu=cpu)

    def ioremap(self, vm: int, ipa: int, pa: int, size: int) -> int:
        """Map a device at ``pa`` into a guest: kvm_phys_addr_ioremap. Returns 0 or a negative error."""
        ret: int = self.do("ioremap", vm=vm, ipa=ipa, pa=pa, size=size)
        return ret

    def swap_out(self, vm: int, hva: int) -> None:
        """Let the host move a page to swap."""
        self.do("swap_out", vm=vm, hva=hva)

    def swap_in(self, vm: int, hva: int) -> int:
        """Let the host bring a page back; returns its frame number."""
        pfn: int = self.do("swap_in", vm=vm, hva=hva)
        return pfn

    def discard(self, vm: int, hva: int, size: int = PAGE_SIZE) -> None:
        """Let the host throw pages away."""
        self.do("discard", vm=vm, hva=hva, size=size)

    def protect(self, vm: int, hva: int, size: int = PAGE_SIZE, *, writable: bool = False) -> None:
        """Take the host process's own right to write away, or give it back."""
        self.do("protect", vm=vm, hva=hva, size=size, writable=writable)

    def ksm_merge(self, vm: int, hva: int, vm2: int, hva2: int) -> bool:
        """Let KSM put one frame behind two equal pages; returns whether it did."""
        merged: bool = self.do("ksm_merge", vm=vm, hva=hva, vm2=vm2, hva2=hva2)
        return merged

    def host_write(self, vm: int, hva: int, value: int) -> int:
        """Let the host process store a word, breaking copy-on-write if the page is shared; returns the frame number."""
        pfn: int = self.do("host_write", vm=vm, hva=hva, value=value)
        return pfn

    def host_touch(self, cpu: int, hva: int) -> None:
        """Let the host use an address on a CPU, so that its TLB holds an entry of VMID 0."""
        self.do("host_touch", cpu=cpu, hva=hva)

    def race(
        self,
        vm: int,
        guest: Mapping[str, Any],
        host: str,
        args: Mapping[str, Any],
        at: str = "before the lock",
        steps: int | None = None,
    ) -> Race:
        """Let the host change a page while a guest's fault is under way.

        Args:
            vm: which VM.
            guest: the arguments of its access: ``{"ipa": 0x8000_0000, "access": "write"}``.
            host: "swap_out", "swap_in", "discard", "protect", "ksm_merge" or "host_write".
            args: the arguments of that: ``{"hva": 0x4000_0000}``.
            at: where the host acts: "before the sample", "before the look-up", "before the lock" or "after the test".
            steps: how many of its steps the host takes each time the fault is there; all at once if not given.
        """
        result: Race = self.do("race", vm=vm, guest=guest, host=host, args=args, at=at, steps=steps)
        return result

    def fail_alloc(self, k: int) -> None:
        """Make the k-th page allocation from now fail; 0 takes that back."""
        self.do("fail_alloc", k=k)
