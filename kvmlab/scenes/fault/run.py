"""What a run touches of a VM's tables, and how its accesses are bracketed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from kvmlab.scenes.fault.whose import Event, Whose
from kvmlab.scenes.moment import Path, path_of

NUMBER = {0: "no", 1: "one", 2: "two"}


def touched(events: Iterable[Event], vm: int) -> tuple[dict[Path, None], dict[Path, None]]:
    """Return the entries of a VM's tables that a run reads or writes, and those under which it links a table.

    Both are in the order in which they are met first, each entry after those above it.
    """
    rows: dict[Path, None] = {}
    tables: dict[Path, None] = {}
    whose = Whose(vm)
    for event in events:
        if event.kind == "write" or not whose.take(event):
            continue
        if event.name in ("walk/level", "tables/linked", "tables/unlinked"):
            path = path_of(event.args["ipa"], event.args["level"])
        elif event.name in ("tables/mapped", "tables/cleared", "tables/refused"):
            path = path_of(event.args["ipa"])
        else:
            continue
        rows.update((path[:n], None) for n in range(1, len(path) + 1))
        if event.name == "tables/linked":
            tables[path] = None
    return rows, tables


@dataclass
class Bracket:
    """The steps of an access or of an ioremap, as the score will bracket them.

    Attributes:
        task: who does it.
        kind: what it is called.
        steps: the numbers of its steps.
        faults, links: how often it faulted, and how many tables it linked.
    """

    task: str
    kind: str
    steps: list[int] = field(default_factory=list)
    faults: int = 0
    links: int = 0

    def outcome(self) -> str:
        """Return what it came to, in two words."""
        tables = f"{NUMBER.get(self.links, self.links)} table{'' if self.links == 1 else 's'}"
        if self.kind == "ioremap":
            return tables
        return {0: "no fault", 1: tables}.get(self.faults, f"{self.faults} faults")
