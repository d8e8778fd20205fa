"""The kernel's objects: the running Linux, ``struct kvm``, ``struct kvm_vcpu``, memory slots.

Source: include/linux/kvm_host.h, arch/arm/include/asm/kvm_host.h, arch/arm/kvm/arm.c, Linux 3.9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from kvmlab.engine.config import Config
from kvmlab.engine.events import Stream
from kvmlab.engine.hardware.cpu import Cpu
from kvmlab.engine.hardware.memory import PhysicalMemory
from kvmlab.engine.kernel.cache import KvmMmuMemoryCache
from kvmlab.engine.kernel.fixes import check_fixes
from kvmlab.engine.kernel.pages import PageAllocator
from kvmlab.engine.kernel.pgtable import PAGE_S2_SMP, PAGE_S2_UP
from kvmlab.engine.state import Field, Struct, Words
from kvmlab.engine.tasks import Lock, Steps

KVM_USER_MEM_SLOTS, KVM_PRIVATE_MEM_SLOTS = 32, 4
KVM_MEM_SLOTS_NUM = KVM_USER_MEM_SLOTS + KVM_PRIVATE_MEM_SLOTS
SLOT_WORDS = 4
"""id, base_gfn, npages, userspace_addr."""
KVM_MAX_VCPUS = 4
KERNEL_STACKS = 8
"""How many functions with a memory cache on their stack can run at the same time."""
KVM_PFN_ERR_FAULT = -1
"""Stands for every error pfn."""


class Mm(Protocol):
    """What arch/arm/kvm asks of the rest of the kernel about the host's memory."""

    def gfn_to_pfn_prot(self, kvm: Kvm, gfn: int, write_fault: bool) -> Steps[tuple[int, bool]]:
        """Find, and pin, the host page behind a guest page; returns (pfn or KVM_PFN_ERR_FAULT, writable). May sleep."""

    def kvm_release_pfn_clean(self, pfn: int) -> None:
        """Drop the pin."""

    def kvm_set_pfn_dirty(self, pfn: int) -> None:
        """Note that the guest may write to the page."""


class Vmids(Struct):
    """What Linux 5.18 knows of VMIDs. An id is a number in the low ``Config.vmid_bits`` bits, its generation above.

    Attributes:
        vmid_generation: the generation in force, a multiple of ``1 << Config.vmid_bits``.
        cur_idx: the number found last: where the next search for a free one begins.
        vmid_map: one bit for each number of this generation, 64 to a word; 1: taken or reserved.
        active_vmids: per CPU, the id of the VM that is on it; ``VMID_ACTIVE_INVALID`` when that was taken off; 0 after
            a rollover.
        reserved_vmids: per CPU, the id that was active there at the last rollover.

    Source: arch/arm64/kvm/vmid.c, Linux 5.18.
    """

    vmid_generation = Field()
    cur_idx = Field()

    def __init__(self, stream: Stream, config: Config) -> None:
        """Make the cells; those of a machine that uses them start as at boot."""
        super().__init__(stream, "")
        self.size = 1 << config.vmid_bits
        self.VMID_ACTIVE_INVALID = self.size
        self.vmid_map = Words(stream, "vmid_map", max(1, self.size // 64))
        self.active_vmids = Words(stream, "active_vmids", config.ncpus)
        self.reserved_vmids = Words(stream, "reserved_vmids", config.ncpus)
        self.cpu_vmid_lock = Lock(stream, "cpu_vmid_lock")
        if config.allocator == "5.18":
            self.vmid_generation = self.size
            self.cur_idx = 1

    def find_zero(self, start: int) -> int:
        """Return the first free number from ``start`` (1 or more) on, or 0 if there is none."""
        skip = (1 << start % 64) - 1
        for word in range(start // 64, self.vmid_map.size):
            free = ~(self.vmid_map[word] | skip)
            number = 64 * word + (free & -free).bit_length() - 1
            if number < min(self.size, 64 * word + 64):
                return number
            skip = 0
        return 0

    @property
    def free(self) -> int:
        """How many numbers no guest has and no CPU reserves."""
        return self.size - 1 - sum(word.bit_count() for word in self.vmid_map.values()) + (self.vmid_map[0] & 1)

    def test_and_set(self, number: int) -> bool:
        """Take a number; returns whether it was taken before."""
        word, bit = self.vmid_map[number // 64], 1 << number % 64
        if not word & bit:
            self.vmid_map[number // 64] = word | bit
        return bool(word & bit)

    def clear(self) -> None:
        """Make every number free."""
        for word in range(self.vmid_map.size):
            self.vmid_map[word] = 0


class Linux(Struct):
    """The host kernel: its global variables, and what it runs on.

    Attributes:
        kvm_vmid_gen: the VMID generation in force; with the allocator of Linux 5.18 see ``vmids`` instead.
        kvm_next_vmid: the next VMID to hand out; 0: the numbers have run out.
        nr_vms: VMs made since boot.
        kvm_arm_running_vcpu: per CPU, the vCPU that runs or ran there last, as ``Vcpu.ident``; 0 for none.
    """

    kvm_vmid_gen = Field()
    kvm_next_vmid = Field()
    nr_vms = Field()

    def __init__(self, stream: Stream, memory: PhysicalMemory, cpus: list[Cpu], config: Config) -> None:
        """Boot: generation 1, next VMID 0."""
        super().__init__(stream, "")
        self.memory = memory
        self.cpus = cpus
        self.config = config
        self.fixes = check_fixes(config.fixes)
        self.pages = PageAllocator(stream, memory, config)
        self.kvm_vmid_lock = Lock(stream, "kvm_vmid_lock")
        self.PAGE_S2 = PAGE_S2_SMP if config.smp else PAGE_S2_UP
        self.ulong_mask = (1 << config.long_bits) - 1
        self.vmid_mask = (1 << config.vmid_bits) - 1
        self.vm_list: dict[int, Kvm] = {}  # by number; a directory: whether a VM exists is its field ``created``
        self.kvm_arm_running_vcpu = Words(stream, "kvm_arm_running_vcpu", len(cpus))
        self.stack_caches = [KvmMmuMemoryCache(stream, f"stack[{i}].cache") for i in range(KERNEL_STACKS)]
        self.stack_busy = Words(stream, "stack.busy", KERNEL_STACKS)
        self.vmids = Vmids(stream, config)
        if config.allocator == "3.9":
            self.kvm_vmid_gen = 1

    @property
    def generation(self) -> int:
        """The VMID generation in force, counted from 1, whichever allocator there is."""
        return self.kvm_vmid_gen or self.vmids.vmid_generation >> self.config.vmid_bits

    def vcpu_on(self, cpu: int) -> Vcpu | None:
        """Return the vCPU that runs, or ran last, on a CPU."""
        ident = self.kvm_arm_running_vcpu[cpu]
        if not ident:
            return None
        return self.vm_list[(ident - 1) // KVM_MAX_VCPUS].vcpus[(ident - 1) % KVM_MAX_VCPUS]

    @contextmanager
    def stack_cache(self) -> Iterator[KvmMmuMemoryCache]:
        """Give a function a memory cache on its own kernel stack, empty, for as long as it runs."""
        stack = self.stack_busy.values().index(0)
        cache = self.stack_caches[stack]
        self.stack_busy[stack] = 1
        if cache.nobjs:  # left by a function that the kernel died in; the pages are lost
            cache.nobjs = 0
        try:
            yield cache
        finally:
            self.stack_busy[stack] = 0


class Vcpu(Struct):
    """``struct kvm_vcpu``.

    Attributes:
        hsr: syndrome of the last exit.
        hpfar: page of the faulting IPA.
        hxfar: faulting virtual address.
        pc: the guest's program counter.
        injected: number of prefetch aborts injected.
    """

    hsr = Field()
    hpfar = Field()
    hxfar = Field()
    pc = Field()
    injected = Field()

    def __init__(self, kvm: Kvm, number: int) -> None:
        """Start with an empty memory cache."""
        self.ident = kvm.number * KVM_MAX_VCPUS + number + 1
        super().__init__(kvm.stream, f"{kvm.key}.vcpu[{number}]")
        self.kvm = kvm
        self.number = number
        self.mmu_page_cache = KvmMmuMemoryCache(kvm.stream, f"{self.key}.mmu_page_cache")


class Kvm(Struct):
    """``struct kvm`` with its ``struct kvm_arch``.

    Attributes:
        pgd: physical address of the level-1 table, 0 for NULL.
        vmid_gen: generation of the VMID, 0 for a new VM.
        vmid: the VMID.
        vmid_id: both in one, as Linux 5.18 keeps them, see ``Vmids``; 0 with the allocator of Linux 3.9.
        vttbr: what the hyp code loads into VTTBR.
        mmu_notifier_seq: counts the host's changes that have ended.
        mmu_notifier_count: range changes under way; ``long``, so -1 is all ones.
        created: 1 from kvm_arch_init_vm to kvm_arch_destroy_vm.
        memslots: the slots in the order the kernel walks them, four words each; see ``memslot.py``.
    """

    pgd = Field()
    vmid_gen = Field()
    vmid = Field()
    vttbr = Field()
    mmu_notifier_seq = Field()
    mmu_notifier_count = Field()
    created = Field()
    vmid_id = Field()

    def __init__(self, linux: Linux, number: int, vcpus: int, mm: Mm, io_mem_abort: Callable[[Vcpu, int], int]) -> None:
        """Make the struct, all zero, with ``vcpus`` vCPUs.

        Args:
            linux: the host kernel.
            number: which VM this is, from 0.
            vcpus: how many vCPUs.
            mm: who answers page look-ups.
            io_mem_abort: who handles an access outside the memory slots.
        """
        super().__init__(linux.stream, f"kvm[{number}]")
        self.linux = linux
        self.number = number
        self.mm = mm
        self.io_mem_abort = io_mem_abort
        self.mmu_lock = Lock(linux.stream, f"{self.key}.mmu_lock")
        self.vcpus = [Vcpu(self, i) for i in range(vcpus)]
        self.memslots = Words(linux.stream, f"{self.key}.memslots", KVM_MEM_SLOTS_NUM * SLOT_WORDS)
