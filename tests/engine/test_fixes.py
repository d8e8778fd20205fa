"""Every later fix: with the switch off the wart is there, with it on it is gone."""

import pytest

from kvmlab.engine import Config, KernelBug, Machine, Slot
from kvmlab.engine.hardware.descriptor import decode
from kvmlab.engine.hardware.walker import walk
from kvmlab.engine.kernel.fixes import FIXES
from kvmlab.engine.kernel.tables import stage2_set_pte
from kvmlab.engine.tasks import run

IPA, HVA, SIZE = 0x8000_0000, 0x4000_0000, 16 << 20


def machine_with(*fixes: str, **options) -> Machine:
    return Machine(Config(fixes=frozenset(fixes), **options))


def leaks(machine: Machine) -> bool:
    vm = machine.create_vm([Slot(IPA, SIZE, HVA)])
    for ipa in (IPA, IPA + 0x1000, IPA + (2 << 20), IPA + (2 << 20) + 0x1000):
        machine.access(vm, ipa, "write")
    machine.destroy_vm(vm)
    return machine.linux.pages.nr_live > 0


def loses_the_level_1_table(machine: Machine) -> bool:
    vm = machine.create_vm([Slot(1 << 39, SIZE, HVA)])
    machine.access(vm, 1 << 39, "write")
    machine.discard(vm, HVA)
    return not machine.linux.pages.is_live(machine.kvm(vm).pgd + 4096)


def maps_nothing_at_4_gib(machine: Machine) -> bool:
    vm = machine.create_vm()
    assert machine.ioremap(vm, 0xFFFF_F000, 0, 0x1000) == 0
    return walk(machine.linux.memory, machine.kvm(vm).pgd, 0xFFFF_F000).pa < 0


def loses_bit_39(machine: Machine) -> bool:
    vm = machine.create_vm()
    machine.enter(vm)
    return machine.kvm(vm).vttbr & 0xFF_FFFF_FFFF != machine.kvm(vm).pgd


def flushes_for_nothing(machine: Machine) -> bool:
    vm = machine.create_vm([Slot(IPA, SIZE, HVA)])
    machine.access(vm, IPA, "write")
    start = len(machine.stream)
    machine.discard(vm, HVA, 8 << 12)
    flushes = [name for name, _ in machine.stream.marks(start)].count("tlb/flushed")
    assert flushes in (1, 8)
    return flushes == 8


def overwrites_at_once(machine: Machine) -> bool:
    vm = machine.create_vm([Slot(IPA, SIZE, HVA)])
    machine.access(vm, IPA)
    entry = walk(machine.linux.memory, machine.kvm(vm).pgd, IPA).steps[-1].entry
    start = len(machine.stream)
    machine.access(vm, IPA, "write")
    key = f"mem[{entry:#x}]"
    values = [e.args["new"] for e in machine.stream.since(start) if e.kind == "write" and e.name == key]
    assert values[-1] == 0xA000_07FF
    return values != [0, values[-1]]


def device_is_no_device(machine: Machine) -> bool:
    vm = machine.create_vm()
    machine.ioremap(vm, 0x2C00_2000, 0x2C00_6000, 0x1000)
    word = walk(machine.linux.memory, machine.kvm(vm).pgd, 0x2C00_2000).descriptor
    return decode(word, 3).field("MemAttr").meaning != "device"


def takes_a_slot_beyond_2_40(machine: Machine) -> bool:
    vm = machine.create_vm()
    return machine.add_slot(vm, Slot((1 << 40) - 0x1000, 0x2000, HVA)) == 0


def keeps_a_deleted_slot_mapped(machine: Machine) -> bool:
    vm = machine.create_vm([Slot(IPA, SIZE, HVA)])
    machine.access(vm, IPA, "write")
    machine.remove_slot(vm, 0)
    return walk(machine.linux.memory, machine.kvm(vm).pgd, IPA).pa >= 0


def shows_a_generation_without_its_vttbr(machine: Machine) -> bool:
    vm = machine.create_vm()
    kvm = machine.kvm(vm)
    steps = machine.begin("enter", vm=vm).steps
    for point in steps:
        if point.name.startswith("store"):
            return kvm.vmid_gen == machine.linux.kvm_vmid_gen and not kvm.vttbr
    raise AssertionError("the entry never came to its stores")


WARTS = {
    "unmap to boundary": (leaks, {}),
    "pgd reference counts": (loses_the_level_1_table, {}),
    "signed PAGE_MASK": (maps_nothing_at_4_gib, {}),
    "vttbr mask": (loses_bit_39, {"ram_base": 1 << 39}),
    "flush what was mapped": (flushes_for_nothing, {}),
    "break before make": (overwrites_at_once, {}),
    "device memory type": (device_is_no_device, {}),
    "slots within IPA": (takes_a_slot_beyond_2_40, {}),
    "unmap deleted slot": (keeps_a_deleted_slot_mapped, {}),
    "vmid before generation": (shows_a_generation_without_its_vttbr, {}),
}


@pytest.mark.parametrize("name", FIXES)
def test_the_wart_is_there_and_the_fix_removes_it(name: str) -> None:
    wart, options = WARTS[name]
    assert wart(machine_with(**options))
    assert not wart(machine_with(name, **options))
    others = set(FIXES) - {name}
    assert wart(machine_with(*others, **options)), "no other fix removes it"


def test_all_fixes_together_leave_a_machine_that_works() -> None:
    machine = machine_with(*FIXES)
    vm = machine.create_vm([Slot(IPA, SIZE, HVA), Slot(1 << 39, SIZE, HVA + SIZE)])
    for ipa in (IPA, IPA + (2 << 20), 1 << 39):
        machine.access(vm, ipa, "write", value=ipa >> 8)
    assert [machine.access(vm, ipa).value for ipa in (IPA, 1 << 39)] == [IPA >> 8, 1 << 31]
    machine.discard(vm, HVA + SIZE)
    machine.destroy_vm(vm)
    assert machine.linux.pages.nr_live == 0


def test_a_64_bit_build_maps_at_4_gib() -> None:
    assert not maps_nothing_at_4_gib(Machine(Config(long_bits=64)))


def test_an_empty_cache_is_a_kernel_bug_and_leaves_what_was_linked() -> None:
    machine = Machine()
    kvm = machine.kvm(machine.create_vm())
    cache = kvm.vcpus[0].mmu_page_cache
    cache.objects[0] = machine.linux.pages.alloc_pages()
    cache.nobjs = 1
    with pytest.raises(KernelBug, match="mmu_memory_cache_alloc"):
        stage2_set_pte(kvm, cache, IPA, 0xA000_07FF, False)
    assert machine.linux.pages.page_count(kvm.pgd) == 2


def test_closing_a_range_that_was_never_opened_is_a_kernel_bug() -> None:
    from kvmlab.engine.kernel.notifier import kvm_mmu_notifier_invalidate_range_end

    machine = Machine()
    kvm = machine.kvm(machine.create_vm())
    with pytest.raises(KernelBug, match="mmu_notifier_count < 0"):
        run(kvm_mmu_notifier_invalidate_range_end(kvm, HVA, HVA + 0x1000))
    assert kvm.mmu_notifier_count == 0xFFFF_FFFF
