"""Panels: what a learner plays with in a notebook. Each is a function whose result is the last line of a cell."""

from __future__ import annotations

from kvmlab.panels.allocators import Allocators, allocators
from kvmlab.panels.cache import CachePanel, cache
from kvmlab.panels.compare import Comparison
from kvmlab.panels.fault import FaultPanel, fault
from kvmlab.panels.flush import FlushPanel, flushes
from kvmlab.panels.ioremap import IoremapPanel, ioremap
from kvmlab.panels.notifiers import NotifierPanel, notifiers
from kvmlab.panels.panel import Panel
from kvmlab.panels.player import Player
from kvmlab.panels.tables import TablesPanel, tables
from kvmlab.panels.tlb import TlbPanel, tlb
from kvmlab.panels.vmid import VmidPanel, vmids

__all__ = [
    "fault",
    "tables",
    "cache",
    "vmids",
    "allocators",
    "tlb",
    "notifiers",
    "ioremap",
    "flushes",
    "Panel",
    "Player",
    "Comparison",
    "Allocators",
    "CachePanel",
    "FaultPanel",
    "FlushPanel",
    "IoremapPanel",
    "NotifierPanel",
    "TablesPanel",
    "TlbPanel",
    "VmidPanel",
]
