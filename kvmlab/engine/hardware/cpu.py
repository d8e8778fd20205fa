"""A physical CPU: the registers that matter here, and its TLB."""

from __future__ import annotations

from kvmlab.engine.config import Config
from kvmlab.engine.events import Stream
from kvmlab.engine.hardware.tlb import Tlb
from kvmlab.engine.state import Field, Struct

VTTBR_VMID_SHIFT = 48


class Cpu(Struct):
    """One physical CPU.

    Attributes:
        vttbr: root of the stage-2 tables and VMID in force; 0 while the host runs.
        hsr: syndrome of the last abort taken to Hyp mode.
        hpfar: page of the faulting IPA.
        par: result of the last translation made by instruction, here the page of a faulting IPA.
        hxfar: faulting virtual address (HDFAR or HIFAR).
        in_guest: 1 while a guest runs here.
        irqs_off: 1 while the host runs with interrupts off; an IPI has to wait.
    """

    vttbr = Field()
    hsr = Field()
    hpfar = Field()
    par = Field()
    hxfar = Field()
    in_guest = Field()
    irqs_off = Field()

    def __init__(self, stream: Stream, number: int, config: Config) -> None:
        """Start in the host, with interrupts on and an empty TLB."""
        super().__init__(stream, f"cpu[{number}]")
        self.number = number
        self.vmid_mask = (1 << config.vmid_bits) - 1
        self.tlb = Tlb(stream, f"cpu[{number}].tlb", config.tlb_sets, config.tlb_ways)

    @property
    def vmid(self) -> int:
        """The VMID in force."""
        return self.vttbr >> VTTBR_VMID_SHIFT & self.vmid_mask
