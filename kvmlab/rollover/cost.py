"""Put a full TLB flush in guest time, from parameters that the user sets; each says where its default comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from kvmlab.engine.errors import InputError, check_int
from kvmlab.rollover.theory import MAX_CPUS, Gap
from kvmlab.rollover.walks import MAX_LEVELS, STAGE1, STAGE2_LEVELS, walk_reads

POLICIES = ("3.9", "5.18")
"""Linux versions whose VMID allocators can be priced."""
ABORT_US = 6.24
"""Mean time of a data-abort exit on arm64, in microseconds; see `PUBLISHED`."""
ABORT_SOURCE = "Linux commit 1218838d68f5"


@dataclass(frozen=True)
class Published:
    """Hold a number that somebody published.

    Args:
        what: was measured, and on what.
        figure: the result, with its unit.
        source: where it stands.
    """

    what: str
    figure: str
    source: str


PUBLISHED = (
    Published(
        "VMID allocator rework v3 (2019): 8 CPUs, VMID forced to 4 bits, 40 guests with 2 vCPUs each, hackbench",
        "2.5 % fewer exits; 22.4 % more flushes, but local ones; 0.11 % faster",
        "lore.kernel.org 20190724162534.7390-1-julien.grall@arm.com",
    ),
    Published(
        "the same idea, v4 (2021): D06, 8 CPUs",
        "1.9 % fewer entries and exits; 0.7 % faster",
        "lore.kernel.org 20210414112312.13704-1-shameerali.kolothum.thodi@huawei.com",
    ),
    Published(
        "separate VMID allocator (2021), the same load",
        "1.9 % fewer entries and exits; 0.5 % faster",
        "lore.kernel.org 20210506165232.1969-1-shameerali.kolothum.thodi@huawei.com",
    ),
    Published("arm64, mean data-abort exit", f"{ABORT_US} us over 661,867 samples", ABORT_SOURCE),
    Published("AMD INVLPGB: 36 cores, flush stress", "527,000 to 1,157,000 loops/s", "spinics.net linux-mm msg417207"),
    Published(
        "arm64 without TLBI broadcast: 32 CPUs, mprotect in many threads",
        "2.17 s to 0.139 s",
        "Andrea Arcangeli, commit 78e8089e340e",
    ),
    Published("x86 PCID", "about 100 ns saved per context switch", "Andy Lutomirski, LKML, June 2017"),
)
"""What published systems reported about flushes and exits."""

NOTHING_PUBLISHED = (
    "No rate of VMID rollovers in production, and no time per rollover, is published anywhere that we know of; "
    "every published test forces VMIDs of 4 bits."
)
"""To be said where a plot invites the question."""


@dataclass(frozen=True)
class Parameter:
    """Hold one parameter of `Cost`, for a table of sources.

    Args:
        name: the argument of `Cost`.
        value: in the unit given.
        unit: what it counts.
        source: where the value comes from.
        is_assumption: True unless the source gives just this number.
    """

    name: str
    value: float
    unit: str
    source: str
    is_assumption: bool


DEFAULTS = {
    parameter.name: parameter
    for parameter in (
        Parameter("ns_per_read", 10, "ns for each table read", "an assumption: no figure is published; set it", True),
        Parameter(
            "us_per_kick",
            ABORT_US,
            "us for each CPU forced out of the guest and back in",
            f"stand-in: mean data-abort exit on arm64, 661,867 samples, {ABORT_SOURCE}; handling an abort takes longer "
            "than a kick needs, so rather too much",
            True,
        ),
        Parameter(
            "entries_per_second",
            10_000,
            "guest entries per second, on all CPUs together, without flushes",
            "an assumption: it depends on the load; set it",
            True,
        ),
        Parameter(
            "stage1_levels",
            STAGE1["long descriptors (LPAE)"],
            "levels of the guest's tables",
            "an assumption: a guest with the host's kernel, and a host needs CONFIG_ARM_LPAE (arch/arm/kvm/Kconfig, "
            "Linux 3.9)",
            True,
        ),
        Parameter(
            "stage2_levels",
            STAGE2_LEVELS,
            "levels of the hypervisor's tables",
            "VTCR.SL0 = 1, arch/arm/include/asm/kvm_arm.h, Linux 3.9",
            False,
        ),
    )
}
"""The parameters of `Cost` by name, with their defaults."""


@dataclass(frozen=True)
class FlushTime:
    """Hold the guest time that one full flush takes, added up over all CPUs.

    Args:
        cpus: CPUs that were flushed.
        walks: walks that would not have been needed without the flush.
        reads: table reads that these take.
        kicks: CPUs forced out of the guest.
        walk_us: time for the reads, in microseconds.
        kick_us: time for the kicks, in microseconds.
    """

    cpus: int
    walks: float
    reads: float
    kicks: int
    walk_us: float
    kick_us: float

    @property
    def us(self) -> float:
        """Return the time of both parts, in microseconds."""
        return self.walk_us + self.kick_us


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Price a flush. The defaults, their units and their sources are in `DEFAULTS`.

    Args:
        ns_per_read: nanoseconds for one read of a translation table, 0 or more.
        us_per_kick: microseconds that a CPU loses when forced out of the guest and back in, 0 or more.
        entries_per_second: guest entries per second of undisturbed run time, on all CPUs together, 0 or more.
        stage1_levels: levels of the guest's tables, 0 (off) to 4.
        stage2_levels: levels of the hypervisor's tables, 0 to 4.

    Raises:
        InputError: if an argument is out of range.

    Differs: a walk reads every table from memory, so it costs too much where walks are cached. Not counted, for want
        of any figure: the flush itself, the wait of the CPU that rolls over, and the instruction cache, which is
        flushed as well.
    """

    ns_per_read: float = DEFAULTS["ns_per_read"].value
    us_per_kick: float = DEFAULTS["us_per_kick"].value
    entries_per_second: float = DEFAULTS["entries_per_second"].value
    stage1_levels: int = int(DEFAULTS["stage1_levels"].value)
    stage2_levels: int = int(DEFAULTS["stage2_levels"].value)

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        for name in ("ns_per_read", "us_per_kick", "entries_per_second"):
            _check_amount(name, getattr(self, name))
        for name in ("stage1_levels", "stage2_levels"):
            check_int(name, getattr(self, name), 0, MAX_LEVELS)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Return every parameter with its value, unit and source; what the user changed has the user as its source."""
        return tuple(
            default
            if (value := getattr(self, name)) == default.value
            else replace(default, value=value, source="set by the user", is_assumption=True)
            for name, default in DEFAULTS.items()
        )

    def describe(self) -> str:
        """Return the parameters in words: one line each, with value, unit and source."""
        wide = max(len(one.name) for one in self.parameters)
        return "\n".join(f"{one.name:{wide}}  {one.value:g} {one.unit}: {one.source}" for one in self.parameters)

    def of_flush(self, extra_misses: float, *, cpus: int = 1, policy: str = "3.9") -> FlushTime:
        """Return the guest time that one full flush takes.

        Args:
            extra_misses: TLB misses that it adds on each CPU, 0 or more: `Extra.total`, or a mean of several.
            cpus: number of CPUs, 1 to 8; the flush reaches the TLBs of all.
            policy: "3.9", which forces the other CPUs out of the guest; or "5.18", which does not.

        Raises:
            InputError: if an argument is out of range.

        Source: update_vttbr, arch/arm/kvm/arm.c, Linux 3.9; flush_context, arch/arm64/kvm/vmid.c, Linux 5.18.
        """
        _check_amount("extra_misses", extra_misses)
        check_int("cpus", cpus, 1, MAX_CPUS)
        if policy not in POLICIES:
            raise InputError(f"policy is {policy!r}; allowed: {', '.join(POLICIES)}")
        walks = extra_misses * cpus
        reads = walks * len(walk_reads(self.stage1_levels, self.stage2_levels))
        kicks = cpus - 1 if policy == "3.9" else 0
        return FlushTime(cpus, walks, reads, kicks, reads * self.ns_per_read / 1000, kicks * self.us_per_kick)

    def share(self, flush: FlushTime, gap: Gap) -> float:
        """Return the run time that flushes add, as a share of the run time without them.

        Args:
            flush: what one flush takes.
            gap: guest entries from one flush to the next, for the same number of CPUs.

        Returns:
            0 when no flush ever comes; 0.01 when a run takes 1 % longer.

        Differs: the time lost is taken to be spread evenly over the CPUs.
        """
        flushes_per_second = float(gap.rate) * self.entries_per_second
        return flushes_per_second * flush.us / 1e6 / flush.cpus


def _check_amount(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise InputError(f"{name} is {value!r}; allowed: a number, 0 or more")
