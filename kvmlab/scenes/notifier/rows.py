"""Which pages the notifier scene draws: those that a run meets, while there is room."""

from __future__ import annotations

from collections.abc import Sequence

from kvmlab.scenes.notifier.stage import MOST_ROWS, HostPage
from kvmlab.scenes.notifier.state import State

MANY = 512
"""Pages of a range or a slot that are looked at one by one, at most."""


class Rows:
    """The pages that are drawn, in the order in which a run meets them.

    Attributes:
        left_out: host pages for which there was no room.
    """

    def __init__(self) -> None:
        """Begin with nothing drawn."""
        self._pages: dict[int, HostPage] = {}
        self.left_out: set[int] = set()

    @property
    def pages(self) -> Sequence[HostPage]:
        """The pages, top to bottom."""
        return tuple(self._pages.values())

    @property
    def count(self) -> int:
        """How many rows they take."""
        return sum(page.rows for page in self._pages.values())

    def meet(self, state: State, hva: int) -> None:
        """Give a host page its rows, one for each guest page that shows it, or count it."""
        if hva in self._pages or hva in self.left_out:
            return
        page = HostPage(hva, state.ipas_of(hva))
        if self.count + page.rows <= MOST_ROWS:
            self._pages[hva] = page
        else:
            self.left_out.add(hva)

    def meet_guest(self, state: State, ipa: int) -> None:
        """Give the host page behind a guest page its rows."""
        hva = state.hva_of(ipa)
        if hva is not None:
            self.meet(state, hva)

    def grow(self, state: State) -> None:
        """Give the guest pages that a new slot brings rows of their own, where there is room."""
        for page in self._pages.values():
            for ipa in state.ipas_of(page.hva):
                if ipa not in page.ipas and (not page.ipas or self.count < MOST_ROWS):
                    page.ipas.append(ipa)
