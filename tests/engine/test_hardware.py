"""Descriptors, TLB and syndrome registers, each against something that is not themselves."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmlab.engine.events import Stream
from kvmlab.engine.hardware.descriptor import decode, encode_page, encode_table, kind_of, permits
from kvmlab.engine.hardware.syndrome import Syndrome, decode_hpfar, decode_hsr, encode_hpfar
from kvmlab.engine.hardware.tlb import Tlb

words = st.integers(0, (1 << 64) - 1)


@given(words, st.integers(1, 3))
def test_the_fields_of_a_descriptor_are_all_its_bits_once(word: int, level: int) -> None:
    fields = decode(word, level).fields
    assert [(field.high, field.low) for field in fields] == sorted(((f.high, f.low) for f in fields), reverse=True)
    assert sum(field.value << field.low for field in fields) == word
    assert sum(field.high - field.low + 1 for field in fields) == 64
    assert all(int(field.bits, 2) == field.value for field in fields)


@given(
    st.integers(0, (1 << 28) - 1),
    st.integers(0, 15),
    st.integers(0, 3),
    st.sampled_from([0, 2, 3]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 15),
)
def test_what_is_encoded_is_decoded(
    pfn: int, memattr: int, hap: int, sh: int, af: bool, xn: bool, software: int
) -> None:
    leaf = decode(encode_page(pfn << 12, memattr=memattr, hap=hap, sh=sh, af=af, xn=xn, software=software), 3)
    got = [leaf.field(name).value for name in ("MemAttr", "HAP", "SH", "AF", "XN", "software")]
    assert (leaf.kind, leaf.address, got) == ("page", pfn << 12, [memattr, hap, sh, af, xn, software])


@pytest.mark.parametrize(
    ("word", "level", "kind"),
    [
        (0, 1, "invalid"), (0xFFFF_FFFC, 1, "invalid"), (0x2, 3, "invalid"), (0x1, 3, "reserved"), (0x1, 1, "block"),
        (0x1, 2, "block"), (0x3, 1, "table"), (0x3, 2, "table"), (0x3, 3, "page"),
    ],
)  # fmt: skip
def test_kinds(word: int, level: int, kind: str) -> None:
    assert kind_of(word, level) == decode(word, level).kind == kind


def test_the_descriptors_of_linux_3_9_in_words() -> None:
    """From build_mem_type_table on ARMv7, as executed: the three leaves that KVM writes."""
    read_only, writable, device = (decode(word, 3) for word in (0xA000_077F, 0xA000_07FF, 0x00C0_0000_2C00_67D3))
    assert (read_only.field("HAP").meaning, writable.field("HAP").meaning) == ("read only", "read and write")
    assert writable.field("MemAttr").meaning == "outer write-back, inner write-back"
    assert writable.field("SH").meaning == "inner shareable"
    assert device.address == 0x2C00_6000
    assert device.field("XN").meaning == "execute never"
    assert device.field("MemAttr").meaning == "outer non-cacheable, inner reserved"
    assert decode(encode_table(0x4002_9000), 2).kind == "table"


@pytest.mark.parametrize(
    ("hap", "xn", "allowed"),
    [
        (0, False, ""), (1, False, "read fetch"), (2, False, "write"), (3, False, "read write fetch"),
        (3, True, "read write"), (1, True, "read"),
    ],
)  # fmt: skip
def test_permissions(hap: int, xn: bool, allowed: str) -> None:
    word = encode_page(0, memattr=0xF, hap=hap, xn=xn)
    assert [access for access in ("read", "write", "fetch") if permits(word, access)] == allowed.split()


@given(
    st.builds(
        Syndrome,
        fetch=st.booleans(),
        fault=st.sampled_from(["translation", "access flag", "permission", "external abort"]),
        level=st.integers(0, 3),
        write=st.booleans(),
        valid=st.booleans(),
        register=st.integers(0, 14),
        size=st.integers(0, 3),
        s1ptw=st.booleans(),
    )
)
def test_hsr_there_and_back(syndrome: Syndrome) -> None:
    back = decode_hsr(syndrome.encode())
    assert (back.fetch, back.fault, back.level, back.s1ptw) == (
        syndrome.fetch, syndrome.fault, syndrome.level, syndrome.s1ptw,
    )  # fmt: skip
    assert back.encode() == syndrome.encode()
    if not syndrome.fetch:
        assert (back.write, back.valid) == (syndrome.write, syndrome.valid)


@pytest.mark.parametrize(
    ("hsr", "fault", "level", "write"),
    [
        (0x9380_0007, "translation", 3, False),
        (0x9381_004F, "permission", 3, True),
        (0x9380_000B, "access flag", 3, False),
    ],
)
def test_hsr_as_an_emulated_cortex_a15_reports_it(hsr: int, fault: str, level: int, write: bool) -> None:
    syndrome = decode_hsr(hsr)
    assert (syndrome.fault, syndrome.level, syndrome.write, syndrome.size) == (fault, level, write, 2)
    assert syndrome.encode() == hsr


@given(st.integers(0, (1 << 40) - 1))
def test_hpfar_names_the_page(ipa: int) -> None:
    assert decode_hpfar(encode_hpfar(ipa)) == ipa & ~0xFFF
    assert encode_hpfar(ipa) < 1 << 32


def test_tlb_against_a_list_kept_in_order_of_use() -> None:
    rng = random.Random(1)
    sets, ways = 4, 2
    tlb = Tlb(Stream(), "tlb", sets, ways)
    model: list[list[tuple[int, int, int, int]]] = [[] for _ in range(sets)]  # oldest first
    hits = 0
    for _ in range(4000):
        vmid, asid, page = rng.randrange(3), rng.randrange(2), rng.randrange(12)
        row = model[page % sets]
        match rng.randrange(20):
            case 0:
                assert tlb.flush_vmid(vmid) == sum(entry[0] == vmid for r in model for entry in r)
                model = [[entry for entry in r if entry[0] != vmid] for r in model]
            case 1 if rng.random() < 0.2:
                assert tlb.flush_all() == sum(map(len, model))
                model = [[] for _ in range(sets)]
            case _:
                known = [entry for entry in row if entry[:3] == (vmid, asid, page)]
                found = tlb.lookup(vmid, asid, page)
                assert found == (known[0][3] if known else None)
                hits += found is not None
                if known:
                    row.remove(known[0])
                    row.append(known[0])
                    continue
                word = rng.randrange(1 << 40)
                evicted = tlb.fill(vmid, asid, page, word)
                gone = row.pop(0) if len(row) == ways else None
                row.append((vmid, asid, page, word))
                assert (evicted and (evicted.vmid, evicted.asid, evicted.page)) == (gone and gone[:3])
        entries = {(e.vmid, e.asid, e.page, e.descriptor) for e in tlb.entries()}
        assert entries == {entry for r in model for entry in r}
    assert hits > 300


def test_a_global_entry_matches_every_address_space_of_its_guest_only() -> None:
    tlb = Tlb(Stream(), "tlb", 2, 2)
    tlb.fill(1, -1, 4, 0xAB)
    assert [tlb.lookup(1, asid, 4) for asid in (0, 7)] == [0xAB, 0xAB]
    assert tlb.lookup(2, 0, 4) is None
    assert tlb.entries()[0].asid == -1
