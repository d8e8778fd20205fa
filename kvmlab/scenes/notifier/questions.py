"""Questions of the notifier scene: right answers from the run, wrong ones that stand for common beliefs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from kvmlab.engine.hardware.descriptor import HAP_WRITE
from kvmlab.scenes.notifier.state import Fault, State
from kvmlab.scenes.question import Question, question

OFTEN = 2
"""How many times a kind of question is asked in a run."""


class Asks:
    """Asks each kind of question a few times in a run, and no more."""

    def __init__(self) -> None:
        """Begin with nothing asked."""
        self._asked: Counter[str] = Counter()

    def _ask(self, kind: str, *words: Any) -> Question | None:
        if self._asked[kind] >= OFTEN:
            return None
        made = question(*words)
        self._asked[kind] += made is not None
        return made

    def tested(self, state: State, a: Mapping[str, Any], elsewhere: bool) -> Question | None:
        """Ask what a test comes to that fails; `elsewhere`: only other pages have changed in the window."""
        fault = state.fault
        if fault is None or fault.pfn is None:
            return None
        maps, retries = f"map frame {fault.pfn:#x}", "map nothing: the guest faults again"
        loop = ("look the page up again, still in the kernel", "M39")
        moved = f"Sampled {a['sampled']}, seq {a['seq']}, count {a['count']}"
        if a["count"] and a["seq"] == a["sampled"]:
            because = "seq only counts ranges that have ended; count says that one is open."
            return self._ask(
                "open", f"{moved}. What will KVM do?", retries, [(f"{maps}: seq is unchanged", "M38"), loop], because
            )
        if elsewhere:
            because = "Both numbers belong to the VM: they do not say which page has changed."
            return self._ask(
                "elsewhere",
                f"{moved}; another page has changed. What will KVM do?",
                retries,
                [(f"{maps}: it was another page", "M37"), loop],
                because,
            )
        because = "The page was looked up without mmu_lock; the lock only makes the test safe."
        wrong = [(f"{maps}: both sides use mmu_lock", "M33"), loop]
        return self._ask("moved", f"{moved}. What will KVM do, with mmu_lock held?", retries, wrong, because)

    def returned(self, state: State, fault: Fault) -> Question | None:
        """Ask what the entry holds when KVM returns 1 after a retry."""
        word = state.word(fault.ipa)
        right = f"{word:#x}, as before" if word else "nothing: it is empty"
        would = f"frame {fault.pfn or 0:#x}, since 1 means done"
        because = "1 tells the run loop to go on with the guest; a retry returns it too, with nothing mapped."
        words = f"KVM returns 1 for the fault at {fault.ipa:#x}. What is in the stage-2 entry?"
        return self._ask("returned", words, right, [(would, "M15")], because)

    def cleared(self, cleared: Sequence[int], flushes: int, where: Sequence[int]) -> Question | None:
        """Ask how many entries go for one host page, or how often the TLB is flushed for a range."""
        pages = where[1] - where[0] >> 12 if len(where) > 1 else 1
        if pages == 1 and len(cleared) > 1:
            because = "The slots are searched one by one, and each that shows the host page is handled."
            return self._ask(
                "entries",
                "One host page changes. How many stage-2 entries does KVM clear?",
                str(len(cleared)),
                [("1", "M05"), ("0", "")],
                because,
            )
        if pages > 1:
            because = "Linux 3.9 flushes the whole VMID once for each guest page of the range, mapped or not."
            wrong = [("1", "M19"), (str(len(cleared)), ""), ("0", "")]
            return self._ask(
                "flushes", f"The range has {pages} host pages. How many TLB flushes?", str(flushes), wrong, because
            )
        return None

    def gives_way(self, cleared: Sequence[int]) -> Question | None:
        """Ask who gives way where the guest still maps the page."""
        if not cleared:
            return None
        return self._ask(
            "gives way",
            "The host's entry is gone, and the guest still maps the frame. Who gives way?",
            "KVM: the guest's entry is cleared",
            [("the host: guest memory is pinned", "M40"), ("nobody: each has a table of its own", "")],
            "A mapping pins nothing. The host tells KVM, and KVM must unmap.",
        )

    def changed(self, state: State, word: int) -> Question | None:
        """Ask what change_pte writes into an entry that is empty."""
        wrong = [("nothing: the page was not mapped", "M41"), (f"{word | HAP_WRITE:#x}: mapped, read-write", "M41")]
        because = "It enters the new frame read-only wherever the level 3 table exists."
        words = "change_pte names a new frame; the entry is empty. What does KVM write?"
        return self._ask("changed", words, f"{word:#x}: mapped, read-only", wrong, because)

    def given_away(self, state: State, pfn: int, ipa: int) -> Question | None:
        """Ask what the guest reaches once the host has given the frame away unnoticed."""
        because = "Nothing has changed the entry or the TLB, so an access ends where it did before."
        words = f"The host has freed frame {pfn:#x}. Where does IPA {ipa:#x} lead now?"
        wrong = [("nowhere: the guest's next touch faults", "M40"), ("to the page's new place", "M02")]
        return self._ask("given away", words, f"still to frame {pfn:#x}", wrong, because)
