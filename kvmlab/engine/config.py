"""What kind of machine to build."""

from __future__ import annotations

from dataclasses import dataclass

from kvmlab.engine.errors import InputError, check_int

ALLOCATORS = ("3.9", "5.18")
RETRY_CHECKS = ("both", "none", "seq only", "count only", "sampled late")


@dataclass(frozen=True, kw_only=True)
class Config:
    """A machine's hardware, the kernel's options, and what to do differently from Linux 3.9.

    Attributes:
        ncpus: physical CPUs, 1 to 16.
        vmid_bits: width of a VMID in bits, 2 to 16; the Cortex-A15 has 8, a class uses 4.
        tlb_sets: sets of each CPU's TLB, 1 to 1024.
        tlb_ways: entries in a set, 1 to 16. The Cortex-A15's second-level TLB has 512 entries in 4 ways.
        smp: whether the kernel was built with CONFIG_SMP; decides the shareability bits of a mapping.
        long_bits: width of ``unsigned long``, 32 as on ARM, or 64 to see what differs.
        ram_base: physical address of the first frame for page tables, a multiple of 8192.
        ram_size: bytes of RAM for page tables, a multiple of 8192.
        host_ram_base: physical address of the first frame for guest pages, a multiple of 4096.
        reuse_frames: hand freed frames out again, last freed first; by default a frame is used once, so that
            whatever still points to it can be seen.
        CONFIG_MMU_NOTIFIER: False: the host's changes never reach the stage-2 tables.
        retry: which test a fault makes before it maps: "both" as in Linux 3.9, or a broken one:
            "none", "seq only", "count only", "sampled late" (sequence read after the page look-up).
        fast_gup: the host upgrades a read to a writable page when it can, as since Linux 3.18 (2667f50e8b81).
        allocator: whose way to give VMIDs: "3.9", a counter, or "5.18", the bitmap that replaced it
            (arch/arm64/kvm/vmid.c); "5.18" needs fewer CPUs than there are VMIDs for guests.
        fixes: names from ``kvmlab.engine.kernel.fixes``: what upstream mended later.
        recording: whether events are kept.
    """

    ncpus: int = 2
    vmid_bits: int = 8
    tlb_sets: int = 128
    tlb_ways: int = 4
    smp: bool = True
    long_bits: int = 32
    ram_base: int = 0x4000_0000
    ram_size: int = 0x4000_0000
    host_ram_base: int = 0xA000_0000
    reuse_frames: bool = False
    CONFIG_MMU_NOTIFIER: bool = True
    retry: str = "both"
    fast_gup: bool = False
    allocator: str = "3.9"
    fixes: frozenset[str] = frozenset()
    recording: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        check_int("ncpus", self.ncpus, 1, 16)
        check_int("vmid_bits", self.vmid_bits, 2, 16)
        check_int("tlb_sets", self.tlb_sets, 1, 1024)
        check_int("tlb_ways", self.tlb_ways, 1, 16)
        check_int("ram_base", self.ram_base, 0, 1 << 40, multiple=8192)
        check_int("ram_size", self.ram_size, 8192, (1 << 40) - self.ram_base, multiple=8192)
        check_int("host_ram_base", self.host_ram_base, 0, 1 << 40, multiple=4096)
        if self.ram_base <= self.host_ram_base < self.ram_base + self.ram_size:
            raise InputError(
                f"host_ram_base is {self.host_ram_base:#x}, inside the RAM for page tables "
                f"({self.ram_base:#x} to {self.ram_base + self.ram_size - 1:#x})"
            )
        if self.long_bits not in (32, 64):
            raise InputError(f"long_bits is {self.long_bits!r}; allowed: 32 or 64")
        if self.retry not in RETRY_CHECKS:
            raise InputError(f"retry is {self.retry!r}; allowed: {', '.join(RETRY_CHECKS)}")
        if self.allocator not in ALLOCATORS:
            raise InputError(f"allocator is {self.allocator!r}; allowed: {', '.join(ALLOCATORS)}")
        if self.allocator == "5.18" and self.ncpus >= (numbers := (1 << self.vmid_bits) - 1):
            raise InputError(
                f"ncpus is {self.ncpus}; allowed with allocator 5.18 and {self.vmid_bits} bits: 1 to {numbers - 1}, "
                f"fewer than the {numbers} VMIDs, as each CPU can reserve one"
            )
