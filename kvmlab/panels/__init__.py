"""Panels: what a learner plays with in a notebook. Each is a function whose result is the last line of a cell."""

from __future__ import annotations

from kvmlab.panels.fault import FaultPanel, fault
from kvmlab.panels.player import Player
from kvmlab.panels.vmid import VmidPanel, vmids

__all__ = ["FaultPanel", "Player", "VmidPanel", "fault", "vmids"]
