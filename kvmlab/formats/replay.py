"""Replay the operations of a stage-2 trace on the engine, and say what each did in the trace's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kvmlab.engine import KernelBug, Machine
from kvmlab.engine.checked import plain
from kvmlab.engine.events import MEMORY
from kvmlab.engine.hardware.descriptor import ADDRESS_MASK
from kvmlab.engine.hardware.memory import FRAME_SIZE
from kvmlab.engine.kernel import notifier
from kvmlab.engine.kernel.abort import kvm_handle_guest_abort, user_mem_abort
from kvmlab.engine.kernel.cache import mmu_topup_memory_cache
from kvmlab.engine.kernel.ioremap import kvm_phys_addr_ioremap
from kvmlab.engine.kernel.kvm import KVM_PFN_ERR_FAULT, Kvm, Vcpu
from kvmlab.engine.kernel.memslot import install_memslots
from kvmlab.engine.kernel.pgtable import PAGE_SHIFT
from kvmlab.engine.kernel.run import kvm_mmu_free_memory_caches
from kvmlab.engine.kernel.tables import kvm_alloc_stage2_pgd, kvm_free_stage2_pgd, stage2_set_pte, unmap_stage2_range
from kvmlab.engine.tasks import Steps, run_as, spin_lock, spin_unlock
from kvmlab.formats.trace import config_of

State = dict[str, Any]


class ScriptedMm:
    """A host that answers every page look-up as the trace says, and lets notifier calls run meanwhile."""

    def __init__(self) -> None:
        """Start with no answer."""
        self.answer: dict[str, int] | None = None
        self.during: list[dict[str, Any]] = []

    def gfn_to_pfn_prot(self, kvm: Kvm, gfn: int, write_fault: bool) -> Steps[tuple[int, bool]]:
        """Run the notifier calls, then give the answer."""
        for call in self.during:
            yield from getattr(notifier, call["op"])(kvm, **call["in"])
        if self.answer is None:
            return KVM_PFN_ERR_FAULT, False
        return self.answer["pfn"], bool(self.answer["writable"])

    def kvm_release_pfn_clean(self, pfn: int) -> None:
        """Forget the pin; there is no host memory here."""

    def kvm_set_pfn_dirty(self, pfn: int) -> None:
        """Do nothing; the event says it."""


class Stage2Replay:
    """One VM, driven by the operations of a trace.

    Args:
        header: the trace's header.
    """

    def __init__(self, header: dict[str, Any]) -> None:
        """Boot a machine with the trace's slots and vCPUs."""
        self.machine = Machine(config_of(header))
        self.linux = self.machine.linux
        self.stream = self.machine.stream
        self.mm = ScriptedMm()
        self.kvm = Kvm(self.linux, 0, header["ncpus"], self.mm, lambda _vcpu, _ipa: 0)
        install_memslots(self.kvm, header["memslots"])
        self._words: dict[int, list[tuple[int, int]]] = {}  # table frame -> its entries that are not 0
        self.state = self._look()

    def run(self, op: str, args: dict[str, Any]) -> State:
        """Run one operation and return what it did: the fields of ``out``, all of them.

        Args:
            op: a kernel function that the trace format knows.
            args: its checked inputs.
        """
        args = dict(args)
        self.linux.pages.fail_in = args.pop("fail_alloc", 0)
        self.mm.during = args.pop("during", [])
        self.mm.answer = args.pop("host", None)
        vcpu = self.kvm.vcpus[args["vcpu"]] if "vcpu" in args else None
        before, tables = self.state, self._tables()
        self.stream.forget()
        ret: int | str | None
        try:
            ret = run_as(self.stream, "cpu0", self._call(op, vcpu, args))
        except KernelBug:
            ret = "BUG"
        self.linux.pages.fail_in = 0
        self.mm.during, self.mm.answer = [], None
        self.state = self._look()
        out = self._said()
        out["ret"] = ret
        for name in ("tables", "leaves"):
            old, new = before[name], self.state[name]
            changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
            out["tab" if name == "tables" else "pte"] = {key: new.get(key) for key in sorted(changed)}
        for name in ("pgd", "seq", "count"):
            if before[name] != self.state[name]:
                out[name] = self.state[name]
        number = args.get("vcpu", args.get("cache"))
        if number is not None:
            out["cache"] = self.state["caches"][number]
        out["live"] = self.state["live"]
        if op == "kvm_free_stage2_pgd":
            out["leaked"] = self._leaked(tables)
        return out

    # -- calling the kernel --------------------------------------------------------------------------------------

    def _call(self, op: str, vcpu: Vcpu | None, args: dict[str, Any]) -> Steps[int | None]:
        kvm = self.kvm
        if vcpu is not None:
            for register in ("hsr", "hpfar", "hxfar"):
                if register in args:
                    setattr(vcpu, register, args[register])
        if op in ("kvm_unmap_hva", "kvm_unmap_hva_range", "kvm_set_spte_hva"):
            return self._locked(lambda: getattr(notifier, op)(kvm, **args))
        if op.startswith("kvm_mmu_notifier_"):
            return getattr(notifier, op)(kvm, **args)  # type: ignore[no-any-return]
        match op, vcpu:
            case "kvm_handle_guest_abort", Vcpu():
                return kvm_handle_guest_abort(vcpu)
            case "user_mem_abort", Vcpu():
                return user_mem_abort(vcpu, args["fault_ipa"], args["fault_ipa"] >> PAGE_SHIFT, args["fault_status"])
            case "kvm_phys_addr_ioremap", _:
                return kvm_phys_addr_ioremap(kvm, **args)
            case "unmap_stage2_range", _:
                return self._locked(lambda: void(unmap_stage2_range(kvm, args["start"], args["size"])))
            case "stage2_set_pte", _:
                cache = None if args["cache"] is None else kvm.vcpus[args["cache"]].mmu_page_cache
                return self._locked(
                    lambda: stage2_set_pte(kvm, cache, args["addr"], args["new_pte"], bool(args["iomap"]))
                )
            case "mmu_topup_memory_cache", Vcpu():
                pages = self.linux.pages
                return plain(lambda: mmu_topup_memory_cache(vcpu.mmu_page_cache, pages, args["min"], args["max"]))
            case "kvm_mmu_free_memory_caches", Vcpu():
                return plain(lambda: kvm_mmu_free_memory_caches(vcpu))
            case "kvm_alloc_stage2_pgd", _:
                return plain(lambda: kvm_alloc_stage2_pgd(kvm))
            case "kvm_free_stage2_pgd", _:
                return plain(lambda: kvm_free_stage2_pgd(kvm))
        raise AssertionError(f"the trace format knows {op}, the replay does not")

    def _locked(self, function: Callable[[], int | None]) -> Steps[int | None]:
        yield from spin_lock(self.kvm.mmu_lock)
        try:
            return function()
        finally:
            spin_unlock(self.kvm.mmu_lock)

    # -- looking at what happened --------------------------------------------------------------------------------

    def _said(self) -> State:
        """Collect what the marks of this operation say."""
        out: State = {"flush": 0, "alloc": 0, "free": 0, "dirty": 0}
        for name, args in self.stream.marks():
            match name:
                case "tlb/flushed":
                    out["flush"] += 1
                case "page/allocated":
                    out["alloc"] += 1 << args["order"]
                case "page/freed":
                    out["free"] += 1
                case "page/dirtied":
                    out["dirty"] += 1
                case "page/looked_up":
                    out["gup"] = {"gfn": args["gfn"], "write_fault": int(args["write_fault"])}
                case "io_mem_abort":
                    out["io"] = {"io_mem_abort": args["ipa"]}
                case "inject_pabt":
                    out["io"] = {"inject_pabt": args["hxfar"]}
        return out

    def _look(self) -> State:
        """Return the whole state, as a checkpoint has it; only frames that this operation wrote are read anew."""
        memory, kvm = self.linux.memory, self.kvm
        for cell, _old, _new in self.stream.writes():
            if cell & 3 == MEMORY:
                self._words.pop(memory.base + 8 * (cell >> 2) & ~(FRAME_SIZE - 1), None)
        tables: dict[str, int] = {}
        leaves: dict[int, int] = {}
        pages = self.linux.pages
        for level, base, table in self._tables()[1:]:
            tables[f"L{level}@{base:#x}"] = pages.page_count(table)
            if level == 3:
                leaves.update((base | index << PAGE_SHIFT, word) for index, word in self._entries(table))
        count = kvm.mmu_notifier_count
        return {
            "tables": tables,
            "leaves": leaves,
            "pgd": [pages.page_count(kvm.pgd), pages.page_count(kvm.pgd + FRAME_SIZE)] if kvm.pgd else None,
            "live": pages.nr_live,
            "caches": [vcpu.mmu_page_cache.nobjs for vcpu in kvm.vcpus],
            "seq": kvm.mmu_notifier_seq,
            "count": count - self.linux.ulong_mask - 1 if count > self.linux.ulong_mask >> 1 else count,
        }

    def _entries(self, frame: int) -> list[tuple[int, int]]:
        if frame not in self._words:
            words = self.linux.memory.table(frame)
            self._words[frame] = [(index, word) for index, word in enumerate(words) if word]
        return self._words[frame]

    def _tables(self) -> list[tuple[int, int, int]]:
        """Return (level, first IPA, physical address) of every reachable table, the level-1 table first."""
        pgd = self.kvm.pgd
        found = [(1, 0, pgd)]
        if not pgd:
            return found
        for half in (0, 1):
            for i, word in self._entries(pgd + half * FRAME_SIZE):
                pmd_base, pmd = half << 39 | i << 30, word & ADDRESS_MASK
                found.append((2, pmd_base, pmd))
                found += [(3, pmd_base | j << 21, entry & ADDRESS_MASK) for j, entry in self._entries(pmd)]
        return found

    def _leaked(self, tables: list[tuple[int, int, int]]) -> dict[str, list[int]]:
        """Return, of the tables that there were, those still allocated: page_count and entries."""
        pages, leaked = self.linux.pages, {}
        for level, base, table in tables:
            if table and pages.is_live(table):
                frames = (table, table + FRAME_SIZE) if level == 1 else (table,)
                entries = sum(len(self._entries(frame)) for frame in frames)
                leaked[f"L{level}@{base:#x}"] = [pages.page_count(table), entries]
        return leaked


def void(_result: object) -> None:
    """Turn the result of a function that returns nothing in C into nothing."""
