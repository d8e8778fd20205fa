"""What was behind pages that nobody drew: so that a page that is drawn late is right at the steps told before."""

from __future__ import annotations

from collections.abc import Iterator

from kvmlab.scenes.ioremap.picture import page_now
from kvmlab.scenes.ioremap.state import IoremapState, Slots, kind_behind
from kvmlab.scenes.moment import Event
from kvmlab.scenes.scene import Picture


class Past:
    """Every change of a VM's level-3 entries and memory slots, with the step that showed it first."""

    def __init__(self) -> None:
        """Begin with empty tables and no memory."""
        self._slots: list[tuple[int, Slots]] = [(0, {})]
        self._words: dict[int, list[tuple[int, int]]] = {}

    def note(self, event: Event, state: IoremapState, step: int) -> None:
        """Take in an event that has just been applied; `step` is the next one to be told."""
        if state.slots != self._slots[-1][1]:
            self._slots.append((step, dict(state.slots)))
        if event.name in ("tables/mapped", "tables/cleared") and state.owns(event):
            word = event.args.get("new", 0)
            self._words.setdefault(event.args["ipa"] >> 12, []).append((step, word))

    def of(self, gfn: int) -> Iterator[tuple[int, Picture]]:
        """Yield what a page's cell showed, and from which step on."""
        words = [(0, 0), *self._words.get(gfn, [])]
        for step in sorted({step for step, _ in (*words, *self._slots)}):
            word = [word for at, word in words if at <= step][-1]
            slots = [slots for at, slots in self._slots if at <= step][-1]
            yield step, page_now(gfn, kind_behind(word, gfn, slots), word)
