"""What a learner may be asked about a fault and the cache, with answers computed from the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvmlab.scenes.cache.state import SLOTS, CacheState
from kvmlab.scenes.narrator import Narrator

if TYPE_CHECKING:
    from kvmlab.scenes.cache.story import Handling


def ask_about(narrator: Narrator, fault: Handling, state: CacheState) -> None:
    """Put questions before the steps of a fault that is over."""
    held = fault.held or 0
    if fault.checked == "cache/checked":
        narrator.ask(
            fault.check,
            "How many frames does the cache hold when the lock is taken?",
            str(held),
            [(str(SLOTS), "M29"), (str(held + 1), "")],
            f"It is filled only when fewer than 2 are left; {held} are enough for any new path.",
        )
    elif fault.checked == "cache/topped_up":
        _ask_topped_up(narrator, fault, held)
    else:
        narrator.ask(
            fault.check,
            "An allocation of this top-up fails. How many frames does the cache hold then?",
            str(held),
            [(str(fault.before), "M31"), (str(SLOTS), ""), (str(held + 1), "")],
            "What it had got before the failure stays in the cache: nothing is rolled back.",
        )
    if fault.take < 0:
        return
    if fault.levels:
        narrator.ask(
            fault.take,
            "A table turns out to be missing, and the lock is held. Where does its frame come from?",
            "from the top of this vCPU's cache",
            [
                ("from the page allocator, now that it is missing", "M30"),
                ("from the memory of the host process", ""),
            ],
            "Under a spinlock GFP_KERNEL may not be used: it may sleep. That is what the cache is for.",
        )
    else:
        narrator.ask(
            fault.take,
            "How many frames does this fault take from the cache?",
            "0",
            [("1", ""), ("2", ""), ("512", "M03")],
            "The tables above this page are there already, and the page itself is the host's.",
        )


def _ask_topped_up(narrator: Narrator, fault: Handling, held: int) -> None:
    if not fault.before:
        narrator.ask(
            fault.check,
            "The cache is empty. How many frames are allocated before the lock is taken?",
            str(held),
            [("0", "M30"), ("2", ""), ("512", "M03")],
            "It is filled to the brim at once, so that the next faults need not ask again.",
        )
    else:
        narrator.ask(
            fault.check,
            f"{fault.before} frame is left. How many does the cache hold when the lock is taken?",
            str(held),
            [(str(fault.before), ""), (str(fault.before + SLOTS), ""), ("2", "")],
            f"Below 2 it is filled up to {held}, not by {SLOTS}.",
        )
