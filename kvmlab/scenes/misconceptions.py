"""What people often believe about this machine, and what is true instead: data for choices, feedback and cards."""

from __future__ import annotations

from typing import NamedTuple


class Misconception(NamedTuple):
    """A belief that many hold.

    Attributes:
        belief: in a learner's words.
        truth: what holds instead.
    """

    belief: str
    truth: str


MISCONCEPTIONS: dict[str, Misconception] = {
    "M01": Misconception(
        "The IPA is where the data is.",
        "It is what the guest takes for physical; stage 2 turns it into a PA.",
    ),
    "M02": Misconception(
        "Stage 2 maps the IPA to QEMU's address.",
        "The HVA is only a step of the look-up: the slot gives an HVA, the host gives a pfn, and the descriptor "
        "holds the PA.",
    ),
    "M03": Misconception(
        "Adding RAM to a VM fills its tables.",
        "At the start only the 8 KiB root exists; leaves appear fault by fault.",
    ),
    "M04": Misconception(
        "Two stages: walk one, then walk the other.",
        "Each stage-1 table sits at an IPA, so reading it needs stage 2 too: n levels over m cost up to "
        "(n+1)(m+1)-1 reads. A fault on such a read has S1PTW set.",
    ),
    "M05": Misconception(
        "One page, one address; gfn and pfn are the same number.",
        "Two slots may show the same host page at two gfns; then it is handled once per slot.",
    ),
    "M06": Misconception(
        "The descriptor is the address.",
        "Low 12 bits and bits 63:40 are type and attributes; only 39:12 are address.",
    ),
    "M07": Misconception(
        "A TLB miss traps to the kernel.",
        "The walker fills the TLB; software hears only of faults.",
    ),
    "M08": Misconception(
        "The guest's fault handler asks KVM for memory.",
        "The CPU goes to Hyp mode; the guest notices nothing and repeats the instruction.",
    ),
    "M09": Misconception(
        "Every page fault in a guest reaches KVM.",
        "Stage-1 faults go to the guest's kernel and win over stage-2 faults; only stage-2 faults go to Hyp mode.",
    ),
    "M10": Misconception(
        "Return 1 is an error, 0 is success.",
        "1 resumes the guest, 0 leaves to user space, a negative number is an error.",
    ),
    "M11": Misconception(
        "Touching an IPA without RAM kills the VM.",
        "A load or store there is emulated I/O; a fetch gives the guest a prefetch abort; a permission fault "
        "there is -EFAULT.",
    ),
    "M12": Misconception(
        "The host page is writable, so a read fault maps it read-write.",
        "On 3.9 ARM a read or fetch maps read-only and dirties nothing; the first write faults again "
        "(permission), upgrades the entry and flushes.",
    ),
    "M13": Misconception(
        "HPFAR is the address.",
        "The IPA is (HPFAR & ~0xf) << 8, and its low 12 bits come from HxFAR. For a permission fault HPFAR may "
        "not be valid and is rebuilt.",
    ),
    "M14": Misconception(
        "WnR = 0, so it was a read.",
        "With ISV = 0, v3.9 counts every data abort as a write.",
    ),
    "M15": Misconception(
        "KVM handled the fault, so the page is mapped.",
        "A retry returns 1 too, with nothing mapped.",
    ),
    "M16": Misconception(
        "A TLB flush clears the page tables.",
        "It drops cached translations; not one table byte changes.",
    ),
    "M17": Misconception(
        "Clearing the entry is enough.",
        "A cached translation stays usable until it is invalidated.",
    ),
    "M18": Misconception(
        "Every table change needs a flush.",
        "From absent to present needs none: faults are not cached. 3.9 issues none.",
    ),
    "M19": Misconception(
        "A flush hits that page, on this CPU.",
        "3.9 flushes the whole VMID on all CPUs, once per page of the range, mapped or not.",
    ),
    "M20": Misconception(
        "Freed tables are harmless; leaves are what counts.",
        "CPUs cache upper levels too; a freed table may be walked until the flush.",
    ),
    "M21": Misconception(
        "A VMID is the guest's ASID, or one per vCPU.",
        "VMID names the VM (its stage-2 tables), ASID a process inside; both tag an entry; two guests may both "
        "use ASID 5.",
    ),
    "M22": Misconception(
        "A VM keeps its VMID, like a pid.",
        "It is given a number anew in each generation in which it runs.",
    ),
    "M23": Misconception(
        "Destroying a VM returns its number.",
        "Not in Linux 3.9: only a rollover makes numbers free.",
    ),
    "M24": Misconception(
        "8 bits, so 256 guests; the first flush comes with the 257th.",
        "255 guests fit, as 0 is the host's; and the very first entry after boot already rolls over.",
    ),
    "M25": Misconception(
        "Rollover throws the page tables away and stops the VMs.",
        "Numbers and TLB contents go; tables stay; the other CPUs are kicked out and come back.",
    ),
    "M26": Misconception(
        "Only idle guests lose their number.",
        "In 3.9 all do. Since 5.18 those running keep it, idle ones often do not. The flushes are as frequent in both.",
    ),
    "M27": Misconception(
        "page_count of a table counts mappings of the guest page.",
        "1 + live entries in that table page. The guest page gains nothing from being mapped.",
    ),
    "M28": Misconception(
        "Empty tables wait for the VM to die.",
        "A table whose last entry goes is freed: level 3, then level 2 if that is empty by then.",
    ),
    "M29": Misconception(
        "The memory cache is a kind of TLB, and is refilled at every fault.",
        "It holds up to 40 blank frames per vCPU for tables to come, and is refilled only below 2.",
    ),
    "M30": Misconception(
        "Just allocate the table when you find it missing.",
        'That place holds a spinlock; GFP_KERNEL may sleep (kernel-hacking guide, "recipes for deadlock").',
    ),
    "M31": Misconception(
        "An error undoes what was done, and 0 means that it was done.",
        "ioremap keeps the pages mapped before the error; a range that ends at or above 4 GiB maps nothing and "
        "returns 0.",
    ),
    "M32": Misconception(
        "While I hold the lock the others stand still.",
        "Only those who take the same lock do; the walker and the running guest take none.",
    ),
    "M33": Misconception(
        "Every step is locked, so there is no race.",
        "The page look-up sleeps outside the lock; what was true then may be false under the lock.",
    ),
    "M34": Misconception(
        "srcu_read_lock keeps writers out.",
        "A writer publishes the new slot array at once; only freeing the old one waits for readers, which may sleep.",
    ),
    "M35": Misconception(
        "Interrupts off: nobody can interfere.",
        "That holds for this CPU's interrupts only. The run loop tests the generation again after switching them off.",
    ),
    "M36": Misconception(
        "It ran 1,000 times, so there is no race.",
        "Wrong programs mostly look right; only going through all schedules settles a case.",
    ),
    "M37": Misconception(
        "Only a notifier for my page makes me retry.",
        "seq and count are per VM: a change at any host address does it. (Much later x86 code looks at the "
        "range: d02c357e5bfa.)",
    ),
    "M38": Misconception(
        "count is redundant, seq is enough.",
        "count covers ranges still open, seq those that closed between the sample and the test.",
    ),
    "M39": Misconception(
        "Retry is a loop in the kernel.",
        "KVM returns to the guest, which faults again.",
    ),
    "M40": Misconception(
        "KVM asks the host to keep pages; guest RAM is pinned.",
        "The fault's pin is dropped at its end; the host takes pages and tells KVM, which must obey.",
    ),
    "M41": Misconception(
        "change_pte just updates what was mapped.",
        "It always maps read-only, and a page that was absent gets mapped if its level-3 table exists. The host "
        "wraps it in range_start and range_end, so absent is the normal case.",
    ),
    "M42": Misconception(
        "Every device access traps.",
        "A page given by ioremap is reached directly; holes trap.",
    ),
    "M43": Misconception(
        "Mapping a device takes memory of its size; an address makes it a device.",
        "Frames go to tables only. The memory type stands in the descriptor, and the one that 3.9 writes is doubtful.",
    ),
}
"""By key, M01 to M43."""
