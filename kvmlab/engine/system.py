"""The system: CPUs, memory, the host kernel, its guests; what there is, and how to look at it."""

from __future__ import annotations

from kvmlab.engine.config import Config
from kvmlab.engine.errors import InputError
from kvmlab.engine.events import Stream
from kvmlab.engine.hardware.cpu import Cpu
from kvmlab.engine.hardware.memory import PhysicalMemory, SparseRam
from kvmlab.engine.host.frames import HostFrames
from kvmlab.engine.host.mm import HostMemory
from kvmlab.engine.image import Image, image_of
from kvmlab.engine.kernel.kvm import Kvm, Linux


class System:
    """A booted host.

    Args:
        config: what to build.

    Attributes:
        stream: every event so far.
        linux: the host kernel.
        cpus: the physical CPUs.
        ram: contents of guest pages, by physical address.
        frames: the host's frames for guest pages.
        hosts: by VM number, the memory of the process that runs it; a directory, not state.
    """

    def __init__(self, config: Config | None = None) -> None:
        """Boot."""
        self.config = config or Config()
        self.stream = Stream(recording=self.config.recording)
        memory = PhysicalMemory(self.stream, self.config.ram_base, self.config.ram_size)
        self.cpus = [Cpu(self.stream, n, self.config) for n in range(self.config.ncpus)]
        self.linux = Linux(self.stream, memory, self.cpus, self.config)
        self.ram = SparseRam(self.stream)
        self.frames = HostFrames(self.stream, self.ram, self.config)
        self.hosts: dict[int, HostMemory] = {}

    def kvm(self, vm: int) -> Kvm:
        """Return a VM's ``struct kvm``.

        Raises:
            InputError: there is no such VM now.
        """
        vms = self.linux.vm_list
        if type(vm) is int and vm in vms and vms[vm].created:
            return vms[vm]
        alive = ", ".join(str(number) for number, kvm in vms.items() if kvm.created)
        raise InputError(f"vm is {vm!r}; allowed: {alive or 'none, create one first'}")

    def host(self, vm: int) -> HostMemory:
        """Return the memory of the process that runs a VM."""
        return self.hosts[self.kvm(vm).number]

    def image(self, vm: int) -> Image:
        """Return the VM's table bytes, by physical address, with the registers that point to them."""
        return image_of(self.kvm(vm))

    def seek(self, step: int) -> None:
        """Put the machine to what it was after the first ``step`` events."""
        self.stream.seek(step)

    def back(self) -> None:
        """Go one event back."""
        self.stream.back()

    def forward(self) -> None:
        """Go one event forward."""
        self.stream.forward()
