"""Replay the events of a VMID trace on the engine, and say what each did in the trace's words."""

from __future__ import annotations

from typing import Any

from kvmlab.engine import InputError, Machine
from kvmlab.engine.kernel.kvm import Kvm
from kvmlab.engine.kernel.pgtable import VTTBR_VMID_SHIFT
from kvmlab.engine.kernel.vmid import need_new_vmid_gen, update_vttbr
from kvmlab.engine.tasks import Steps, run
from kvmlab.formats.trace import config_of

State = dict[str, Any]


class VmidReplay:
    """VMs that enter and leave, driven by the events of a VMID trace.

    Args:
        header: the trace's header.
    """

    def __init__(self, header: dict[str, Any]) -> None:
        """Boot a machine at the trace's initial generation."""
        self.machine = Machine(config_of(header))
        self.linux = self.machine.linux
        self.initial = header["initial"]
        self.linux.kvm_vmid_gen = self.initial["kvm_vmid_gen"]
        self.linux.kvm_next_vmid = self.initial["kvm_next_vmid"]
        self.vms: dict[int, int] = {}
        self.seen: State = {}

    def run(self, row: dict[str, Any]) -> State:
        """Run one event and return its columns, and the two parts of vttbr."""
        op, vm, stream = row["op"], row["vm"], self.machine.stream
        stream.forget()
        if (op == "new") == (vm in self.vms):
            there = ", ".join(map(str, self.vms)) or "none"
            raise InputError(f"vm is {vm}; allowed: {'a new number' if op == 'new' else there}")
        if op == "new":
            self.vms[vm] = self.machine.create_vm()
            kvm = self.machine.kvm(self.vms[vm])
            kvm.vmid_gen, kvm.vmid = self.initial["new_vm_vmid_gen"], self.initial["new_vm_vmid"]
        kvm = self.machine.kvm(self.vms[vm])
        need = int(need_new_vmid_gen(kvm)) if op in ("enter", "check") else None
        if op == "free":
            self.machine.destroy_vm(self.vms.pop(vm))
        if op == "enter":
            self._enter(kvm, row["cpu"])
        names = [(name, args.get("scope")) for name, args in stream.marks()]
        return {
            "need_new_vmid_gen": need,
            "vmid": kvm.vmid,
            "vm_gen": kvm.vmid_gen,
            "global_gen": self.linux.kvm_vmid_gen,
            "kvm_next_vmid": self.linux.kvm_next_vmid,
            "force_vm_exit": names.count(("vmid/kicked", None)),
            "full_flush": names.count(("tlb/flushed", "all")),
            "vttbr": kvm.vttbr,
            "root": kvm.pgd,
        }

    def _enter(self, kvm: Kvm, cpu: int) -> None:
        def watched() -> Steps[None]:
            for point in update_vttbr(kvm, cpu):
                if point.name == "store vttbr":
                    self.seen = {
                        "need_new_vmid_gen": int(need_new_vmid_gen(kvm)),
                        "vmid_field": kvm.vmid,
                        "vmid_gen_field": kvm.vmid_gen,
                        "vttbr_vmid_loaded": kvm.vttbr >> VTTBR_VMID_SHIFT,
                    }
                yield point

        self.seen = {}
        run(watched())
