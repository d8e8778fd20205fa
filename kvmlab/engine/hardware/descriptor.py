"""64-bit LPAE stage-2 descriptors: every field named, encoded and decoded.

Source: ARM DDI 0406C, B3.6.1 and B3.6.2. The kernel's own combinations of these bits are in ``kernel/pgtable.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvmlab.engine.errors import InputError, check_int

ADDRESS_MASK = 0xFF_FFFF_F000
TYPE_MASK = 0b11
INVALID_TYPES = (0b00, 0b10)
MEMATTR_SHIFT, HAP_SHIFT, SH_SHIFT, AF_SHIFT, CONTIGUOUS_SHIFT, XN_SHIFT, SOFTWARE_SHIFT = 2, 6, 8, 10, 52, 54, 55
HAP_READ, HAP_WRITE = 1 << HAP_SHIFT, 2 << HAP_SHIFT
AF, XN = 1 << AF_SHIFT, 1 << XN_SHIFT

_OUTER = {0: "", 1: "outer non-cacheable", 2: "outer write-through", 3: "outer write-back"}
_INNER = {0: "inner reserved", 1: "inner non-cacheable", 2: "inner write-through", 3: "inner write-back"}
_STRONG = {0: "strongly-ordered", 1: "device"}
_HAP = {0: "no access", 1: "read only", 2: "write only", 3: "read and write"}
_SH = {0: "not shareable", 1: "reserved", 2: "outer shareable", 3: "inner shareable"}


@dataclass(frozen=True, slots=True)
class DescriptorField:
    """Some bits of a descriptor.

    Attributes:
        name: the field's name in the ARM manual.
        high: its highest bit.
        low: its lowest bit.
        value: the bits, moved down to bit 0.
        meaning: what the value says, in words.
    """

    name: str
    high: int
    low: int
    value: int
    meaning: str

    @property
    def bits(self) -> str:
        """The value in binary, as wide as the field."""
        return f"{self.value:0{self.high - self.low + 1}b}"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One descriptor, taken apart.

    Attributes:
        word: the 64 bits.
        level: level of the table that holds it, 1 to 3.
        kind: "invalid", "reserved", "table", "block" or "page".
        address: the table, block or page it points to; 0 if it points to nothing.
        fields: all 64 bits, highest first, each bit in one field.
    """

    word: int
    level: int
    kind: str
    address: int
    fields: tuple[DescriptorField, ...]

    @property
    def is_leaf(self) -> bool:
        """Whether the descriptor maps memory."""
        return self.kind in ("block", "page")

    def field(self, name: str) -> DescriptorField:
        """Return the field called ``name``."""
        return next(field for field in self.fields if field.name == name)


def kind_of(word: int, level: int) -> str:
    """Return what a descriptor in a table of this level is: "invalid", "reserved", "table", "block" or "page".

    At level 3 the type 0b01 is reserved, and a walk treats it as invalid.
    """
    low = word & TYPE_MASK
    if low in INVALID_TYPES:
        return "invalid"
    if low == 0b11:
        return "page" if level == 3 else "table"
    return "reserved" if level == 3 else "block"


def encode_table(pa: int) -> int:
    """Return the descriptor of a table at ``pa``, a multiple of 4096 below 2^40."""
    return check_int("table address", pa, 0, ADDRESS_MASK, multiple=4096) | 0b11


def encode_page(
    pa: int, *, memattr: int, hap: int, sh: int = 0, af: bool = True, xn: bool = False, software: int = 0
) -> int:
    """Return the level 3 descriptor of a page.

    Args:
        pa: physical address, a multiple of 4096 below 2^40.
        memattr: 4 bits, memory attributes.
        hap: 2 bits, 0 no access, 1 read, 2 write, 3 both.
        sh: 2 bits, shareability.
        af: access flag; an access through a descriptor without it faults.
        xn: execute never.
        software: 4 bits that the hardware ignores.

    Raises:
        InputError: a value does not fit its field.

    >>> hex(encode_page(0xA0000000, memattr=0xF, hap=3, sh=3))
    '0xa00007ff'
    """
    word = check_int("pa", pa, 0, ADDRESS_MASK, multiple=4096) | 0b11
    word |= check_int("memattr", memattr, 0, 15) << MEMATTR_SHIFT
    word |= check_int("hap", hap, 0, 3) << HAP_SHIFT
    word |= check_int("sh", sh, 0, 3) << SH_SHIFT
    word |= check_int("software", software, 0, 15) << SOFTWARE_SHIFT
    return word | bool(af) << AF_SHIFT | bool(xn) << XN_SHIFT


def memattr_words(memattr: int) -> str:
    """Say what the four MemAttr bits of a stage-2 descriptor mean."""
    if memattr >> 2 == 0:
        return _STRONG.get(memattr & 3, "reserved")
    return f"{_OUTER[memattr >> 2]}, {_INNER[memattr & 3]}"


def decode(word: int, level: int) -> Descriptor:
    """Take a descriptor apart.

    Args:
        word: 64 bits.
        level: level of the table it was found in, 1 to 3.

    Raises:
        InputError: no such word or level.

    >>> leaf = decode(0xA000077F, 3)
    >>> leaf.kind, hex(leaf.address), leaf.field("HAP").meaning
    ('page', '0xa0000000', 'read only')
    """
    check_int("descriptor", word, 0, (1 << 64) - 1)
    check_int("level", level, 1, 3)
    kind = kind_of(word, level)
    if kind in ("invalid", "reserved"):
        layout = [("ignored", 63, 2, ""), ("type", 1, 0, kind)]
        return Descriptor(word, level, kind, 0, _fields(word, layout))
    if kind == "table":
        layout = [("ignored", 63, 40, ""), ("address", 39, 12, "next table"), ("ignored", 11, 2, "")]
        return Descriptor(word, level, kind, word & ADDRESS_MASK, _fields(word, [*layout, ("type", 1, 0, kind)]))
    shift = {1: 30, 2: 21, 3: 12}[level]
    layout = [
        ("ignored", 63, 59, ""),
        ("software", 58, 55, "ignored by hardware"),
        ("XN", 54, 54, "execute never" if word & XN else "may execute"),
        ("reserved", 53, 53, ""),
        ("contiguous", 52, 52, "one of 16 like it" if word >> CONTIGUOUS_SHIFT & 1 else "alone"),
        ("reserved", 51, 40, ""),
        ("address", 39, shift, kind),
        *([("reserved", shift - 1, 12, "")] if shift > 12 else []),
        ("reserved", 11, 11, ""),
        ("AF", 10, 10, "accessed" if word & AF else "first access faults"),
        ("SH", 9, 8, _SH[word >> SH_SHIFT & 3]),
        ("HAP", 7, 6, _HAP[word >> HAP_SHIFT & 3]),
        ("MemAttr", 5, 2, memattr_words(word >> MEMATTR_SHIFT & 15)),
        ("type", 1, 0, kind),
    ]
    return Descriptor(word, level, kind, word & ADDRESS_MASK >> shift << shift, _fields(word, layout))


def _fields(word: int, layout: list[tuple[str, int, int, str]]) -> tuple[DescriptorField, ...]:
    return tuple(
        DescriptorField(name, high, low, word >> low & (1 << high - low + 1) - 1, meaning)
        for name, high, low, meaning in layout
    )


def check_access(access: str) -> str:
    """Return ``access`` if it is "read", "write" or "fetch".

    Raises:
        InputError: otherwise.
    """
    if access not in ("read", "write", "fetch"):
        raise InputError(f"access is {access!r}; allowed: read, write, fetch")
    return access


def permits(word: int, access: str) -> bool:
    """Return whether a leaf lets the guest do this.

    Args:
        word: a page or block descriptor.
        access: "read", "write" or "fetch"; a fetch needs read permission and no XN.
    """
    if access == "write":
        return bool(word & HAP_WRITE)
    return bool(word & HAP_READ) and not (access == "fetch" and word & XN)
