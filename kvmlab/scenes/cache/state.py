"""What the picture of a memory cache knows: the frames in it, the tables they become, and the allocator's counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kvmlab.engine.kernel.pgtable import KVM_NR_MEM_OBJS
from kvmlab.scenes.moment import Event, Path, path_of

SLOTS, ROWS = KVM_NR_MEM_OBJS, 10
"""Slots of the cache, and how many tables are listed."""


@dataclass(frozen=True)
class Fault:
    """A fault that looked at the cache, when it is over.

    Args:
        nobjs: how many frames it left.
        topped_up: whether it filled the cache.
        failed: whether an allocation failed.
    """

    nobjs: int
    topped_up: bool
    failed: bool


@dataclass
class CacheState:
    """What is known right after some event.

    Args:
        vm: number of the VM.
        vcpu: number of its vCPU.

    Attributes:
        exists: whether the VM does.
        objects: the frames in the slots, and what is left over above them.
        nobjs: how many of them count.
        root: physical address of the level-1 table, 0 for none.
        tables: the VM's other tables: address to level and place of the entry that leads there.
        listed: the tables in the rows of the list; a newer one takes the row of an older.
        made: tables made so far.
        live: frames that the allocator has handed out and not got back.
        fail_in: which allocation from now will fail, 0 for none.
        locked: whether mmu_lock is held.
        running: whether the vCPU is in the guest.
        access: what the guest last did.
        faults: the faults so far.
        leaked: tables that outlived the VM, which nobody will free.
    """

    vm: int = 0
    vcpu: int = 0
    exists: bool = False
    objects: list[int] = field(default_factory=lambda: [0] * SLOTS)
    nobjs: int = 0
    root: int = 0
    tables: dict[int, tuple[int, Path]] = field(default_factory=dict)
    listed: list[int] = field(default_factory=lambda: [0] * ROWS)
    made: int = 0
    live: int = 0
    fail_in: int = 0
    locked: bool = False
    running: bool = False
    access: Mapping[str, Any] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    leaked: int = 0

    def __post_init__(self) -> None:
        """Name the cache as the engine does."""
        self.key = f"kvm[{self.vm}].vcpu[{self.vcpu}].mmu_page_cache"
        self._lock = f"kvm[{self.vm}].mmu_lock"
        self._slot = {f"{self.key}.objects[{slot}]": slot for slot in range(SLOTS)}

    def row_of(self, table: int) -> int | None:
        """Return the row of the list that shows a table, if one does."""
        return self.listed.index(table) if table in self.listed else None

    def write(self, name: str, new: int) -> None:
        """Take a write in."""
        if name in self._slot:
            self.objects[self._slot[name]] = new
        elif name == f"{self.key}.nobjs":
            self.nobjs = new
        elif name == "page_allocator.nr_live":
            self.live = new
        elif name == "page_allocator.fail_in":
            self.fail_in = new

    def mark(self, event: Event, mine: bool) -> None:
        """Take a mark in; `mine`: it was made for this VM."""
        name, a = event.name, event.args
        if name in ("lock/taken", "lock/released"):
            self.locked = name == "lock/taken" if a["lock"] == self._lock else self.locked
        elif name in ("kvm_entry", "kvm_exit") and (a["vm"], a["vcpu"]) == (self.vm, self.vcpu):
            self.running = name == "kvm_entry"
        elif name == "tables/created" and a["vm"] == self.vm:
            self.root, self.exists = a["pgd"], True
        elif name == "tables/destroyed" and a["vm"] == self.vm:
            self.root, self.leaked = 0, len(self.tables)
            self.tables.clear()
            self.listed = [0] * ROWS
        elif name == "vm/destroyed" and a["vm"] == self.vm:
            self.exists = False
        elif name == "tables/linked" and mine:
            self.tables[a["table"]] = (a["level"] + 1, path_of(a["ipa"], a["level"]))
            self.listed[self.made % ROWS] = a["table"]
            self.made += 1
        elif name == "tables/unlinked" and a["table"] in self.tables:  # for another VM's sake, too, if they share pages
            del self.tables[a["table"]]
            self.listed = [0 if table == a["table"] else table for table in self.listed]
