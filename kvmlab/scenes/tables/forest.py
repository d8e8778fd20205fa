"""The tables of some VMs at one moment: changes put in one by one, so that they can be drawn again."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from kvmlab.scenes.moment import Event, Path, path_of

Spot = tuple[int, Path]
"""A VM's number and indices from level 1 down: an entry, or the table under it; () is the level 1 table."""

Put = tuple[str, Any, Any]
"""A change: what ("word", "count", "table", "leaked", "last"), which one, and its new value."""

FRAME, FRAME_ENTRIES = 4096, 512


def frame_of(pa: int) -> int:
    """Return the frame that a physical address lies in."""
    return pa & -FRAME


class Forest:
    """What the tables hold.

    Attributes:
        words: physical address of an entry to its descriptor; zeros are left out.
        counts: frame to page_count.
        tables: table to its physical address, while the tree holds it, or for good if it leaked.
        leaked: physical addresses of tables that nobody can free any more.
        last: the entry last written.
    """

    def __init__(self) -> None:
        """Start with no table."""
        self.words: dict[int, int] = {}
        self.counts: dict[int, int] = {}
        self.tables: dict[Spot, int] = {}
        self.leaked: set[int] = set()
        self.last: Spot | None = None
        self._owners: dict[int, tuple[Spot, int]] = {}

    def put(self, what: str, key: Any, value: Any) -> None:
        """Change one thing."""
        if what == "word":
            self.words[key] = value
            if not value:
                del self.words[key]
        elif what == "count":
            self.counts[key] = value
        elif what == "leaked":
            self.leaked.add(key)
        elif what == "last":
            self.last = key
        elif value:
            self.tables[key] = value
            self._owners.update(self._frames(key, value))
        else:
            for frame, owner in self._frames(key, self.tables.pop(key)):
                if self._owners.get(frame) == owner:
                    del self._owners[frame]

    @staticmethod
    def _frames(spot: Spot, pa: int) -> Iterator[tuple[int, tuple[Spot, int]]]:
        """Yield the frames of a table with the index of the first entry in each."""
        yield pa, (spot, 0)
        if not spot[1]:
            yield pa + FRAME, (spot, FRAME_ENTRIES)

    def owner(self, pa: int) -> Spot | None:
        """Return the table that a frame belongs to."""
        owner = self._owners.get(frame_of(pa))
        return owner[0] if owner else None

    def entry(self, pa: int) -> Spot | None:
        """Return the entry at a physical address."""
        owner = self._owners.get(frame_of(pa))
        if not owner:
            return None
        (vm, path), first = owner
        return vm, (*path, first + (pa - frame_of(pa)) // 8)

    def word(self, spot: Spot) -> int:
        """Return an entry's descriptor, 0 if its table does not exist."""
        vm, path = spot
        table = self.tables.get((vm, path[:-1]))
        return self.words.get(table + 8 * path[-1], 0) if table else 0

    def used(self, spot: Spot, first: int, last: int) -> list[tuple[int, int]]:
        """Return index and descriptor of a table's entries `first` to `last` that are not 0."""
        if not (table := self.tables.get(spot)):
            return []
        words = self.words
        return [(index, word) for index in range(first, last + 1) if (word := words.get(table + 8 * index))]

    def refs(self, spot: Spot) -> tuple[int, ...]:
        """Return the page_count of each frame of a table."""
        pa = self.tables[spot]
        return tuple(self.counts.get(frame, 0) for frame, _ in self._frames(spot, pa))

    def puts(self, event: Event, vms: Collection[int]) -> list[Put]:
        """Return what an event changes for these VMs; the forest stays as it is.

        Differs: a table that leaks stays in sight, though nothing in the kernel points to it any more.
        """
        if event.kind == "write":
            bank, _, rest = event.name.partition("[0x")
            what = {"mem": "word", "page_count": "count"}.get(bank)
            return [(what, int(rest[:-1], 16), event.args["new"])] if what else []
        a = event.args
        if event.kind == "command":
            return []
        match event.name:
            case "tables/created" if a["vm"] in vms:
                return [("table", (a["vm"], ()), a["pgd"])]
            case "tables/linked" | "tables/unlinked":
                owner = self.owner(a["entry"])
                if owner is None:
                    return []
                spot = (owner[0], path_of(a["ipa"], a["level"]))
                known = event.name == "tables/linked" or spot in self.tables
                table = [("table", spot, a["table"] if event.name == "tables/linked" else 0)] if known else []
                return [("last", spot, None), *table]
            case "tables/mapped" | "tables/cleared":
                owner = self.owner(a["entry"])
                return [("last", (owner[0], path_of(a["ipa"])), None)] if owner else []
            case "kernel/leaked":
                return [("leaked", a["pa"], True)]
            case "tables/destroyed" if a["vm"] in vms:
                return list(self._ended(a["vm"]))
        return []

    def _ended(self, vm: int) -> Iterator[Put]:
        """Yield what the end of a VM leaves: the level 1 table goes, unless it leaked; what still hangs in it leaks."""
        for (number, path), pa in self.tables.items():
            if number == vm:
                if path:
                    yield "leaked", pa, True
                elif pa not in self.leaked:
                    yield "table", (vm, ()), 0
