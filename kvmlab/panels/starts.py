"""What panels show when they are given no run: small machines with a guest that has memory."""

from __future__ import annotations

from typing import Any

from kvmlab.engine import Config, Slot
from kvmlab.session import Session

RAM = Slot(ipa=0x8000_0000, size=64 << 20, hva=0x4000_0000)
"""Memory of each guest that a panel makes."""


def one_guest(**config: Any) -> Session:
    """Return a session with one guest that has 64 MiB of memory and has not run yet.

    Args:
        config: options of `Config`.
    """
    session = Session(Config(**config))
    session.do("create_vm", slots=[RAM])
    return session


def shared_address() -> Session:
    """Return a session in which two guests have used the same address with the same ASID, on the same CPU.

    VMIDs have 2 bits, so that a rollover is near, and the TLBs are so small that all of each can be seen.
    """
    session = Session(Config(vmid_bits=2, tlb_sets=4, tlb_ways=2))
    for _ in range(2):
        session.do("create_vm", slots=[RAM])
    for vm in (0, 1, 0):
        session.do("access", vm=vm, ipa=RAM.ipa, asid=1, cpu=0)
    return session


def grown_tables() -> Session:
    """Return a session with a guest whose tables hold a bit of everything: pages read and written, a device."""
    session = one_guest()
    for ipa, access in ((RAM.ipa, "write"), (RAM.ipa + 0x1000, "read"), (RAM.ipa + 0x20_0000, "write")):
        session.do("access", vm=0, ipa=ipa, access=access)
    session.do("ioremap", vm=0, ipa=0x2C00_2000, pa=0x2C00_6000, size=0x2000)
    return session
