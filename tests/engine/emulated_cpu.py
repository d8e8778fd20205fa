"""Emulated ARM CPUs that translate IPAs with our table bytes: unicorn's Cortex-A15, and its Cortex-A57 for 40-bit IPAs.

The registers and their quirks are the emulator's: the A15 cuts an IPA to 32 bits, the A57 takes bits 47:40 of an
output address seriously.
"""

from typing import NamedTuple

from unicorn import UC_ARCH_ARM, UC_ARCH_ARM64, UC_MODE_ARM, Uc
from unicorn.arm64_const import (
    UC_ARM64_REG_CP_REG,
    UC_ARM64_REG_PSTATE,
    UC_ARM64_REG_X0,
    UC_ARM64_REG_X1,
    UC_CPU_ARM64_A57,
)
from unicorn.arm_const import UC_ARM_REG_CP_REG, UC_ARM_REG_CPSR, UC_CPU_ARM_CORTEX_A15

from kvmlab.engine import Image

FAULTS = {0x04: "translation", 0x08: "access flag", 0x0C: "permission"}
CODE = 0x1000
STAGE_2 = 1 << 9


class Answer(NamedTuple):
    """What a CPU says: a physical address, or a fault with its level (PAR does not tell the level of success)."""

    pa: int
    fault: str
    level: int


def answer(par: int, ipa: int) -> Answer:
    """Read PAR in the 64-bit format."""
    if not par & 1:
        return Answer(par & 0xFF_FFFF_F000 | ipa & 0xFFF, "", 0)
    status = par >> 1 & 0x3F
    assert par & STAGE_2, f"a fault of stage 1: PAR {par:#x}"
    return Answer(-1, FAULTS[status & 0x3C], status & 3)


def load(cpu: Uc, image: Image) -> None:
    for pa, frame in image.frames.items():
        cpu.mem_map(pa, len(frame))
        cpu.mem_write(pa, frame)


class CortexA15:
    """Translates IPAs below 4 GiB, with ATS12NSOPR and ATS12NSOPW."""

    def __init__(self, image: Image) -> None:
        self.cpu = cpu = Uc(UC_ARCH_ARM, UC_MODE_ARM, UC_CPU_ARM_CORTEX_A15)
        load(cpu, image)
        self._write(1, 1, 0, 0, 0)  # SCR: to Monitor mode, then non-secure, then Hyp
        cpu.reg_write(UC_ARM_REG_CPSR, 0x1D6)
        self._write(1, 1, 0, 0, 1)
        cpu.reg_write(UC_ARM_REG_CPSR, 0x1DA)
        self._write(2, 1, 4, 2, image.vtcr)
        cpu.reg_write(UC_ARM_REG_CP_REG, (15, 1, 0, 0, 2, 6, 0, image.vttbr))
        self._write(1, 1, 4, 0, 1)  # HCR.VM

    def _write(self, crn: int, crm: int, opc1: int, opc2: int, value: int) -> None:
        self.cpu.reg_write(UC_ARM_REG_CP_REG, (15, 0, 0, crn, crm, opc1, opc2, value))

    def translate(self, ipa: int, access: str) -> Answer:
        assert ipa < 1 << 32, "the emulated A15 cuts an IPA to 32 bits"
        self._write(7, 8, 0, 5 if access == "write" else 4, ipa & ~0xFFF)
        par = self.cpu.reg_read(UC_ARM_REG_CP_REG, (15, 1, 0, 0, 7, 0, 0))
        return answer(par, ipa)


class CortexA57:
    """Translates any 40-bit IPA, with AT S12E1R and AT S12E1W run as instructions."""

    VTCR_EL2 = 0x80023558
    """As the A15's VTCR, with the physical size written out: PS 40 bits, T0SZ 24."""

    def __init__(self, image: Image) -> None:
        self.cpu = cpu = Uc(UC_ARCH_ARM64, UC_MODE_ARM, UC_CPU_ARM64_A57)
        load(cpu, image)
        cpu.mem_map(CODE, 0x1000)
        for offset, instruction in enumerate((0xD50C7880, 0xD5387401, 0xD50C78A0, 0xD5387401)):
            cpu.mem_write(CODE + 4 * offset, instruction.to_bytes(4, "little"))  # at s12e1r/w, x0; mrs x1, par_el1
        cpu.reg_write(UC_ARM64_REG_PSTATE, 0x3CD)
        self._write(1, 1, 3, 6, 0, 0x501)  # SCR_EL3
        cpu.reg_write(UC_ARM64_REG_PSTATE, 0x3C9)
        self._write(2, 1, 3, 4, 2, self.VTCR_EL2)
        self._write(2, 1, 3, 4, 0, image.vttbr)
        self._write(1, 1, 3, 4, 0, 0x8000_0001)  # HCR_EL2: RW, VM

    def _write(self, crn: int, crm: int, op0: int, op1: int, op2: int, value: int) -> None:
        self.cpu.reg_write(UC_ARM64_REG_CP_REG, (crn, crm, op0, op1, op2, value))

    def translate(self, ipa: int, access: str) -> Answer:
        start = CODE + (8 if access == "write" else 0)
        self.cpu.reg_write(UC_ARM64_REG_X0, ipa & ~0xFFF)
        self.cpu.emu_start(start, start + 8, count=2)
        return answer(self.cpu.reg_read(UC_ARM64_REG_X1), ipa)
