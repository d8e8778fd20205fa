"""What a guest meets: faults, retries, the host's changes, other guests. Facts as Linux 3.9 on ARM has them."""

import pytest

from kvmlab.engine import Config, KernelBug, Machine, Slot
from kvmlab.engine.hardware.syndrome import decode_hsr
from kvmlab.engine.hardware.walker import walk

IPA, HVA, SIZE = 0x8000_0000, 0x4000_0000, 16 << 20
RO, RW = 0x77F, 0x7FF


def machine_with(vms: int = 1, **options) -> Machine:
    machine = Machine(Config(**options))
    for _ in range(vms):
        machine.create_vm([Slot(IPA, SIZE, HVA)], vcpus=2)
    return machine


def marks(machine: Machine, start: int = 0) -> list[str]:
    return [name for name, _ in machine.stream.marks(start)]


def leaf(machine: Machine, ipa: int = IPA, vm: int = 0) -> int:
    found = walk(machine.linux.memory, machine.kvm(vm).pgd, ipa)
    return found.descriptor if found.level == 3 else 0


def test_a_store_to_a_fresh_page_step_by_step() -> None:
    machine = machine_with()
    start = len(machine.stream)
    result = machine.access(0, IPA, "write", value=7)
    assert result == ("done", 7, 0xA000_0000, 1, 1)
    wanted = [
        "access", "vmid/checked", "vmid/rolled_over", "vmid/kicked", "tlb/flushed", "vmid/assigned", "kvm_entry",
        "tlb/missed", "walk/level", "walk/faulted", "cpu/trapped", "kvm_exit", "kvm_guest_fault", "slot/found",
        "cache/topped_up", "notifier/sampled", "host/page_given", "page/looked_up", "icache/maintained", "lock/taken",
        "notifier/passed", "page/dirtied", "tables/set", "cache/taken", "tables/linked", "cache/taken",
        "tables/linked", "tables/mapped", "lock/released", "abort/handled", "vmid/checked", "kvm_entry", "tlb/missed",
        "walk/level", "walk/level", "walk/level", "walk/done", "tlb/filled", "ram/stored", "access/done",
    ]  # fmt: skip
    said = [name for name in marks(machine, start) if name != "page/allocated"]
    said = [name for i, name in enumerate(said) if not (name.startswith("lock/") and i < 10)]  # kvm_vmid_lock
    assert said == wanted
    assert leaf(machine) == 0xA000_0000 | RW


def test_a_second_page_of_the_same_2_mib_needs_no_table() -> None:
    machine = machine_with()
    machine.access(0, IPA, "write")
    start = len(machine.stream)
    machine.access(0, IPA + 0x1000, "write")
    names = marks(machine, start)
    assert names.count("tables/linked") == 0
    assert "cache/checked" in names
    assert machine.kvm(0).vcpus[0].mmu_page_cache.nobjs == 38


def test_the_second_access_hits_the_tlb() -> None:
    machine = machine_with()
    machine.access(0, IPA, "write", value=5)
    start = len(machine.stream)
    assert machine.access(0, IPA + 4).faults == 0
    assert [name for name in marks(machine, start) if name.startswith(("tlb", "walk"))] == ["tlb/hit"]


def test_read_then_write_is_two_faults() -> None:
    machine = machine_with()
    assert machine.access(0, IPA).faults == 1
    assert leaf(machine) == 0xA000_0000 | RO
    start = len(machine.stream)
    assert machine.access(0, IPA, "write", value=1).faults == 1
    assert leaf(machine) == 0xA000_0000 | RW
    flushes = [args for name, args in machine.stream.marks(start) if name == "tlb/flushed"]
    assert [flush["scope"] for flush in flushes] == ["vmid"]


def test_with_a_fast_look_up_it_is_one() -> None:
    machine = machine_with(fast_gup=True)
    assert machine.access(0, IPA).faults == 1
    assert machine.access(0, IPA, "write", value=1).faults == 0


@pytest.mark.parametrize(("ipa", "level"), [(IPA + (1 << 30), 1), (IPA + (2 << 20), 2), (IPA + 0x1000, 3)])
def test_hsr_names_the_level_at_which_the_walk_stops(ipa: int, level: int) -> None:
    machine = Machine()
    machine.create_vm([Slot(IPA, 2 << 30, 0)])
    machine.access(0, IPA, "write")
    start = len(machine.stream)
    machine.access(0, ipa, "write")
    (trapped,) = [args for name, args in machine.stream.marks(start) if name == "cpu/trapped"]
    syndrome = decode_hsr(trapped["hsr"])
    assert (syndrome.fault, syndrome.level, syndrome.write) == ("translation", level, True)
    assert trapped["hpfar"] == ipa >> 12 << 4


def test_a_permission_fault_has_no_hpfar_and_hyp_finds_the_ipa() -> None:
    machine = machine_with()
    machine.access(0, IPA + 0x3000)
    machine.cpus[0].hpfar = 0xBAD0
    start = len(machine.stream)
    machine.access(0, IPA + 0x3000, "write", value=1)
    said = dict(machine.stream.marks(start))
    assert said["cpu/trapped"]["hpfar"] == 0xBAD0
    assert said["hyp/resolved"]["ipa"] == IPA + 0x3000
    assert said["kvm_guest_fault"]["ipa"] == IPA + 0x3000


def test_the_program_counter_moves_on_only_when_the_instruction_is_done() -> None:
    machine = machine_with()
    machine.access(0, IPA, "write")
    said = [args["vcpu_pc"] for name, args in machine.stream.marks() if name in ("kvm_entry", "kvm_exit")]
    assert said == [0x8000] * 3
    assert machine.kvm(0).vcpus[0].pc == 0x8004


def test_outside_the_slots_data_is_io_and_a_fetch_is_aborted() -> None:
    machine = machine_with()
    assert machine.access(0, 0x1C09_0000, "write").status == "mmio"
    fetched = machine.access(0, 0x1C09_0000, "fetch")
    assert (fetched.status, fetched.ret, machine.kvm(0).vcpus[0].injected) == ("aborted", 1, 1)


def test_one_guest_never_sees_the_other() -> None:
    machine = machine_with(vms=2)
    machine.access(0, IPA, "write", value=11)
    machine.access(1, IPA, "write", value=22)
    assert [machine.access(vm, IPA).value for vm in (0, 1)] == [11, 22]
    assert {entry.vmid for entry in machine.cpus[0].tlb.entries()} == {1, 2}


def test_entries_of_two_address_spaces_stand_side_by_side() -> None:
    machine = machine_with()
    machine.access(0, IPA, "write", asid=1)
    machine.access(0, IPA, asid=2)
    assert [entry.asid for entry in machine.cpus[0].tlb.entries()] == [1, 2]


def test_swap_out_and_in_keeps_the_contents() -> None:
    machine = machine_with()
    machine.access(0, IPA, "write", value=77)
    start = len(machine.stream)
    machine.swap_out(0, HVA)
    assert leaf(machine) == 0
    assert machine.cpus[0].tlb.entries() == []
    names = [name for name in marks(machine, start) if name.startswith(("kvm_", "notifier"))]
    assert names == ["notifier/counted", "kvm_unmap_hva"]
    result = machine.access(0, IPA)
    assert (result.value, result.faults) == (77, 1)
    assert result.pa != 0xA000_0000


def test_change_pte_arrives_between_range_start_and_range_end() -> None:
    machine = machine_with(vms=2)
    for vm in (0, 1):
        machine.access(vm, IPA, "write", value=9)
    start = len(machine.stream)
    assert machine.ksm_merge(0, HVA, 1, HVA)
    names = [name for name in marks(machine, start) if name.startswith("kvm_")]
    assert names == ["kvm_unmap_hva_range", "kvm_set_spte_hva"] * 3  # two pages are protected, one is replaced
    assert machine.access(0, IPA).pa == machine.access(1, IPA).pa == 0xA000_0000


def test_a_write_to_a_merged_page_breaks_the_sharing_and_costs_a_retry() -> None:
    """The break runs inside the look-up and moves the sequence, so the fault that caused it must go round again."""
    machine = machine_with(vms=2)
    for vm in (0, 1):
        machine.access(vm, IPA, "write", value=9)
    machine.ksm_merge(0, HVA, 1, HVA)
    start = len(machine.stream)
    result = machine.access(1, IPA, "write", value=10)
    assert result.status == "done"
    assert "notifier/retried" in marks(machine, start)
    assert [machine.access(vm, IPA).value for vm in (0, 1)] == [9, 10]


def test_change_pte_maps_read_only_if_the_level_3_table_is_still_there() -> None:
    machine = machine_with(vms=2)
    for vm in (0, 1):
        machine.access(vm, IPA, "write", value=9)
        machine.access(vm, IPA + 0x1000, "write")  # keeps the table
    machine.ksm_merge(0, HVA, 1, HVA)
    assert leaf(machine, IPA, 0) == leaf(machine, IPA, 1) == 0xA000_0000 | RO


@pytest.mark.parametrize("change", ["swap_out", "discard"])
def test_without_notifiers_a_guest_keeps_writing_to_a_page_that_is_gone(change: str) -> None:
    machine = machine_with(CONFIG_MMU_NOTIFIER=False, reuse_frames=True, vms=2)
    machine.access(0, IPA, "write", value=1)
    before = leaf(machine)
    getattr(machine, change)(0, HVA)
    assert leaf(machine) == before
    machine.access(1, IPA, "write", value=2)  # the other guest is given the frame
    assert machine.access(0, IPA).value == 2, "the first guest reads the second one's memory"
    machine.access(0, IPA, "write", value=3)
    assert machine.access(1, IPA).value == 3, "and writes to it"


def test_with_notifiers_it_does_not() -> None:
    machine = machine_with(reuse_frames=True, vms=2)
    machine.access(0, IPA, "write", value=1)
    machine.swap_out(0, HVA)
    machine.access(1, IPA, "write", value=2)
    assert machine.access(0, IPA).value == 1
    machine.access(0, IPA, "write", value=3)
    assert machine.access(1, IPA).value == 2


def test_the_host_may_forbid_itself_to_write() -> None:
    machine = machine_with()
    machine.protect(0, HVA, 0x1000)
    assert machine.access(0, IPA).status == "done"
    refused = machine.access(0, IPA, "write", value=1)
    assert (refused.status, refused.ret) == ("error", -14)


def test_failed_allocation_is_enomem_and_keeps_what_it_got() -> None:
    machine = machine_with()
    machine.fail_alloc(5)
    result = machine.access(0, IPA, "write")
    assert (result.status, result.ret) == ("error", -12)
    assert machine.kvm(0).vcpus[0].mmu_page_cache.nobjs == 4
    assert machine.access(0, IPA, "write").status == "done"


def test_no_memory_for_the_level_1_table() -> None:
    machine = Machine()
    machine.fail_alloc(1)
    assert machine.create_vm() == -12
    assert machine.create_vm() == 0


def test_device_pages_do_not_fault() -> None:
    machine = machine_with()
    assert machine.ioremap(0, 0x2C00_2000, 0x2C00_6000, 0x2000) == 0
    assert machine.access(0, 0x2C00_2004, "write", value=1) == ("done", 1, 0x2C00_6004, 0, 1)
    assert leaf(machine, 0x2C00_3000) == 0x00C0_0000_2C00_77D3
    assert machine.ioremap(0, 0x2C00_3000, 0, 0x1000) == -14


def test_a_fetch_from_a_device_page_is_refused() -> None:
    machine = machine_with()
    machine.ioremap(0, 0x2C00_2000, 0x2C00_6000, 0x1000)
    assert machine.access(0, 0x2C00_2000, "fetch").status == "aborted"


def test_the_very_first_entry_after_boot_rolls_over() -> None:
    machine = machine_with()
    machine.host_touch(0, 0xC000_0000)
    assert [entry.vmid for entry in machine.cpus[0].tlb.entries()] == [0]
    machine.enter(0)
    assert machine.cpus[0].tlb.entries() == [], "the host's own entry went too"
    assert (machine.linux.kvm_vmid_gen, machine.kvm(0).vmid) == (2, 1)


def test_rollover_kicks_the_other_cpu_and_keeps_the_tables() -> None:
    machine = Machine(Config(vmid_bits=2))
    for _ in range(4):
        machine.create_vm([Slot(IPA, SIZE, HVA)])
    machine.access(0, IPA, "write", value=1, cpu=1)
    tables = leaf(machine)
    for vm in (1, 2):
        machine.enter(vm, cpu=0)
    start = len(machine.stream)
    machine.enter(3, cpu=0)
    said = dict(machine.stream.marks(start))
    assert said["vmid/kicked"]["cpus"] == [1]
    assert said["tlb/flushed"]["scope"] == "all"
    assert leaf(machine) == tables
    start = len(machine.stream)
    assert machine.access(0, IPA, cpu=1).faults == 0
    assert "kvm_entry" in marks(machine, start)
    assert machine.kvm(0).vmid == 2


def test_a_flush_before_the_first_entry_hits_the_host() -> None:
    """Until a VM is entered its vttbr is 0, so a whole-VMID flush is one of VMID 0."""
    machine = machine_with()
    machine.enter(0)
    vm = machine.create_vm([Slot(IPA, SIZE, HVA)])
    machine.host_touch(0, 0xC000_0000)
    machine.swap_in(vm, HVA)
    start = len(machine.stream)
    machine.discard(vm, HVA)
    said = [args for name, args in machine.stream.marks(start) if name == "tlb/flushed"]
    assert [(args["vmid"], args["removed"]) for args in said] == [(0, 1)]


def test_removing_a_slot_leaves_its_pages_mapped() -> None:
    machine = machine_with()
    machine.access(0, IPA, "write", value=4)
    assert machine.remove_slot(0, 0) == 0
    assert leaf(machine)
    machine.discard(0, HVA)  # the notifier no longer finds the guest page
    assert leaf(machine)
    assert machine.add_slot(0, Slot(IPA, SIZE, HVA)) == 0


def test_destroying_a_vm_leaks_when_the_unmap_skips() -> None:
    machine = machine_with()
    for ipa in (IPA, IPA + 0x1000, IPA + (2 << 20), IPA + (2 << 20) + 0x1000):
        machine.access(0, ipa, "write")
    machine.destroy_vm(0)
    assert machine.linux.pages.nr_live > 0


def test_an_ipa_above_the_level_1_table_is_a_kernel_bug() -> None:
    """Slots beyond 2^40 were accepted; unmapping one looks past the end of the level-1 table."""
    machine = Machine()
    vm = machine.create_vm([Slot((1 << 40) - 0x1000, 0x2000, HVA)])
    machine.swap_in(vm, HVA + 0x1000)
    with pytest.raises(KernelBug, match="level 1 index 1024"):
        machine.discard(vm, HVA + 0x1000)
    assert not machine.kvm(vm).mmu_lock.held
