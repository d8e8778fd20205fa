"""The syndrome registers of an abort taken to Hyp mode: HSR and HPFAR, encoded, decoded, explained.

Source: ARM DDI 0406C, B4.1 (HSR, HPFAR), B3.13.3 (fault status codes, LPAE format).
"""

from __future__ import annotations

from dataclasses import dataclass

from kvmlab.engine.errors import InputError, check_int

EC_SHIFT, EC_IABT, EC_DABT = 26, 0x20, 0x24
IL, ISV, EA, CM, S1PTW, WNR = 1 << 25, 1 << 24, 1 << 9, 1 << 8, 1 << 7, 1 << 6
SAS_SHIFT, SRT_SHIFT = 22, 16
FSC_MASK, FSC_TYPE_MASK, FSC_LEVEL_MASK = 0x3F, 0x3C, 0x03
FSC_TYPES = {"translation": 0x04, "access flag": 0x08, "permission": 0x0C, "external abort": 0x14}
WORD_SAS = 2


@dataclass(frozen=True, slots=True)
class Syndrome:
    """An abort as HSR tells it.

    Attributes:
        fetch: an instruction fetch (EC 0x20), not a data access (EC 0x24).
        fault: "translation", "access flag", "permission" or "external abort" (on the walk); for other codes the number
            in hex.
        level: level of the descriptor at fault, 0 to 3.
        write: WnR: the access was a store. Means nothing for a fetch.
        valid: ISV: the register and size fields below are filled in.
        register: SRT: which register is loaded or stored, 0 to 14.
        size: SAS: 0 byte, 1 halfword, 2 word, 3 reserved.
        s1ptw: the access was the stage-1 walker's own.
    """

    fetch: bool
    fault: str
    level: int
    write: bool = False
    valid: bool = True
    register: int = 0
    size: int = WORD_SAS
    s1ptw: bool = False

    def encode(self) -> int:
        """Return the 32 bits of HSR.

        Raises:
            InputError: a value does not fit.

        >>> hex(Syndrome(fetch=False, fault="translation", level=3).encode())
        '0x93800007'
        """
        if self.fault not in FSC_TYPES:
            raise InputError(f"fault is {self.fault!r}; allowed: {', '.join(FSC_TYPES)}")
        fsc = FSC_TYPES[self.fault] | check_int("level", self.level, 0, 3)
        hsr = (EC_IABT if self.fetch else EC_DABT) << EC_SHIFT | IL | fsc | (S1PTW if self.s1ptw else 0)
        if self.fetch:
            return hsr
        hsr |= WNR if self.write else 0
        if self.valid:
            hsr |= ISV | check_int("size", self.size, 0, 3) << SAS_SHIFT
            hsr |= check_int("register", self.register, 0, 15) << SRT_SHIFT
        return hsr


def decode_hsr(hsr: int) -> Syndrome:
    """Take an HSR of an instruction or data abort apart.

    Raises:
        InputError: not 32 bits, or another exception class.

    >>> decode_hsr(0x9381004F)
    Syndrome(fetch=False, fault='permission', level=3, write=True, valid=True, register=1, size=2, s1ptw=False)
    """
    check_int("hsr", hsr, 0, 0xFFFF_FFFF)
    ec = hsr >> EC_SHIFT
    if ec not in (EC_IABT, EC_DABT):
        raise InputError(f"hsr {hsr:#010x} has exception class {ec:#x}; an abort has {EC_IABT:#x} or {EC_DABT:#x}")
    kinds = {code: name for name, code in FSC_TYPES.items()}
    fetch = ec == EC_IABT
    valid = not fetch and bool(hsr & ISV)
    return Syndrome(
        fetch=fetch,
        fault=kinds.get(hsr & FSC_TYPE_MASK, hex(hsr & FSC_TYPE_MASK)),
        level=hsr & FSC_LEVEL_MASK,
        write=not fetch and bool(hsr & WNR),
        valid=valid,
        register=hsr >> SRT_SHIFT & 15 if valid else 0,
        size=hsr >> SAS_SHIFT & 3 if valid else WORD_SAS,
        s1ptw=bool(hsr & S1PTW),
    )


def explain_hsr(hsr: int) -> str:
    """Say in one line what an HSR means.

    >>> explain_hsr(0x93800047)
    'data abort, store: translation fault at level 3; word, r0'
    """
    syndrome = decode_hsr(hsr)
    what = "prefetch abort" if syndrome.fetch else f"data abort, {'store' if syndrome.write else 'load'}"
    size = ("byte", "halfword", "word", "reserved size")[syndrome.size]
    tail = f"; {size}, r{syndrome.register}" if syndrome.valid else "" if syndrome.fetch else "; no instruction details"
    walk = ", on a stage-1 walk" if syndrome.s1ptw else ""
    return f"{what}: {syndrome.fault} fault at level {syndrome.level}{walk}{tail}"


def encode_hpfar(ipa: int) -> int:
    """Return HPFAR for a faulting IPA: bits 31:4 hold IPA[39:12].

    >>> hex(encode_hpfar(0x80001234))
    '0x800010'
    """
    return check_int("ipa", ipa, 0, (1 << 40) - 1) >> 12 << 4


def decode_hpfar(hpfar: int) -> int:
    """Return the page of the faulting IPA that HPFAR names.

    >>> hex(decode_hpfar(0x800010))
    '0x80001000'
    """
    return (check_int("hpfar", hpfar, 0, 0xFFFF_FFFF) & ~0xF) << 8
