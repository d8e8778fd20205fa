"""Emulated CPUs walk the very bytes of our tables, and find what our walker finds."""

import random

import pytest

from kvmlab.engine import Image, Machine, Slot
from kvmlab.engine.hardware.descriptor import encode_page, encode_table
from kvmlab.engine.hardware.walker import walk
from tests.engine.emulated_cpu import CortexA15, CortexA57

RAM = [Slot(0x8000_0000, 64 << 20, 0x4000_0000), Slot(0xBFF0_0000, 2 << 20, 0x6000_0000)]
HIGH = Slot(0xF0_0000_0000, 4 << 20, 0x7000_0000)


def lived_in(seed: int) -> tuple[Machine, list[int]]:
    """Return a machine whose guest has read, written and lost pages, and the IPAs it has to do with."""
    rng = random.Random(seed)
    machine = Machine()
    vm = machine.create_vm([*RAM, HIGH])
    assert machine.ioremap(vm, 0x2C00_2000, 0x2C00_6000, 0x2000) == 0
    pages = [slot.ipa + rng.randrange(slot.size) // 4096 * 4096 for slot in [*RAM, HIGH] for _ in range(40)]
    for ipa in pages:
        machine.access(vm, ipa, rng.choice(["read", "write"]))
    kvm_slots = {slot: slot for slot in [*RAM, HIGH]}
    for ipa in rng.sample(pages, 20):
        slot = next(s for s in kvm_slots if s.ipa <= ipa < s.ipa + s.size)
        machine.discard(vm, slot.hva + ipa - slot.ipa)
    machine.enter(vm)
    return machine, [*pages, 0x2C00_2000, 0x2C00_3000, 0x2C00_4000, 0, 0x7FFF_F000, *(p + 0x1000 for p in pages)]


def agree(machine: Machine, cpu: CortexA15 | CortexA57, ipas: list[int]) -> int:
    image = machine.image(0)
    for ipa in ipas:
        for access in ("read", "write"):
            ours = walk(machine.linux.memory, image.vttbr, ipa, access)
            theirs = cpu.translate(ipa, access)
            assert theirs == (ours.pa, ours.fault, ours.level if ours.fault else 0), f"{access} of IPA {ipa:#x}"
    return 2 * len(ipas)


@pytest.mark.parametrize("seed", range(3))
def test_an_emulated_cortex_a15_walks_our_tables(seed: int) -> None:
    machine, ipas = lived_in(seed)
    assert agree(machine, CortexA15(machine.image(0)), [ipa for ipa in ipas if ipa < 1 << 32]) > 200


@pytest.mark.parametrize("seed", range(3))
def test_an_emulated_40_bit_cpu_walks_our_tables(seed: int) -> None:
    machine, ipas = lived_in(seed)
    assert agree(machine, CortexA57(machine.image(0)), ipas) > 300


def random_tables(rng: random.Random) -> tuple[Machine, list[int]]:
    """Return tables that no kernel would make: every permission, missing access flags, XN, junk, reserved types."""
    machine = Machine()
    machine.create_vm()
    memory, root = machine.linux.memory, machine.kvm(0).pgd
    ipas = []
    for _ in range(12):
        first, second = rng.randrange(1024), rng.randrange(512)
        level2, level3 = machine.linux.pages.alloc_pages(), machine.linux.pages.alloc_pages()
        assert level2
        assert level3
        memory.write(root + 8 * first, encode_table(level2))
        memory.write(level2 + 8 * second, encode_table(level3))
        for third in rng.sample(range(512), 20):
            word = encode_page(
                rng.randrange(1 << 28) << 12, memattr=rng.choice([0xF, 0x5, 0x1]), hap=rng.randrange(4),
                sh=rng.choice([0, 2, 3]), af=rng.random() < 0.8, xn=rng.random() < 0.3, software=rng.randrange(16),
            )  # fmt: skip
            kind = rng.choice([3, 3, 3, 0, 1, 2])
            memory.write(level3 + 8 * third, word & ~3 | kind)
            ipas.append(first << 30 | second << 21 | third << 12 | rng.randrange(4096))
        memory.write(level2 + 8 * (second ^ 1), rng.randrange(1 << 62) << 2 | rng.choice([0, 2]))
        ipas.append(first << 30 | (second ^ 1) << 21)
        block = rng.randrange(1 << 19) << 21 | 0x7FD  # a 2 MiB block, which KVM of 2013 does not make
        memory.write(level2 + 8 * (second ^ 2), block)
        ipas.append(first << 30 | (second ^ 2) << 21 | rng.randrange(1 << 21))
    return machine, ipas


@pytest.mark.parametrize("seed", range(4))
def test_walker_and_emulated_cpu_agree_on_tables_that_no_kernel_makes(seed: int) -> None:
    machine, ipas = random_tables(random.Random(seed))
    assert agree(machine, CortexA57(machine.image(0)), ipas) > 400


def test_the_comparison_can_fail() -> None:
    machine, ipas = lived_in(0)
    image = machine.image(0)
    frames = dict(image.frames)
    leaf = walk(machine.linux.memory, image.vttbr, 0x2C00_2000).steps[-1].entry
    table = bytearray(frames[leaf & ~0xFFF])
    table[leaf & 0xFFF] ^= 0x40  # one permission bit
    frames[leaf & ~0xFFF] = bytes(table)
    with pytest.raises(AssertionError, match="IPA 0x2c002000"):
        agree(machine, CortexA15(Image(frames, *image[1:])), [ipa for ipa in ipas if ipa < 1 << 32])


def test_image_is_what_the_kernel_would_set() -> None:
    machine, _ = lived_in(1)
    image = machine.image(0)
    kvm = machine.kvm(0)
    assert image.root == kvm.pgd
    assert image.root % 8192 == 0
    assert 0x4000_0000 <= image.root < 0x8000_0000
    assert image.vttbr == kvm.vttbr == kvm.pgd | kvm.vmid << 48
    assert image.vtcr == 0x8000_3558
    assert {image.root, image.root + 4096} <= image.frames.keys()
    assert all(len(frame) == 4096 and pa % 4096 == 0 for pa, frame in image.frames.items())
