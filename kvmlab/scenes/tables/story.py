"""The tables scene: the tree of tables of one or more guests, how it grows and shrinks, and one entry taken apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from kvmlab.engine.hardware.descriptor import decode
from kvmlab.scenes.moment import Event
from kvmlab.scenes.scene import Patch, Picture, Scene, Step, changes
from kvmlab.scenes.tables.forest import Forest, Put, Spot
from kvmlab.scenes.tables.layout import Layout, Line, View, lay_out, part
from kvmlab.scenes.tables.narrator import Narrator, Told
from kvmlab.scenes.tables.picture import card_now, entry_now, field_place, row_now, who_now, whole
from kvmlab.scenes.tables.rows import Row
from kvmlab.scenes.tables.stage import DUMP_ROWS, markup
from kvmlab.scenes.tables.words import Sign

TITLE = "The stage-2 tables of a guest: how the tree grows and shrinks"
SOURCE = "Linux 3.9 · every value is computed by the engine · rows are the entries that the run uses"


def tables_scene(events: Iterable[Event], *, vms: Sequence[int] = (0,), view: View | None = None) -> Scene:
    """Return a run as the tables scene shows it.

    Args:
        events: the stream, from its beginning.
        vms: numbers of the VMs to show.
        view: what is unfolded, and the entry to decode.
    """
    return TablesStory(vms, view).read(events)


class TablesStory:
    """Reads a run and tells it as a scene; events are read once, pictures are made anew where the layout changes.

    Args:
        vms: numbers of the VMs to show; what others do is not told.
        view: what is unfolded, and the entry to decode; it may change between two calls of `scene`.

    Attributes:
        seen: how many events have been read.
        view: as given.
    """

    def __init__(self, vms: Sequence[int] = (0,), view: View | None = None) -> None:
        """Begin with nothing read."""
        self.seen = 0
        self.view = view or View()
        self._narrator = Narrator(vms)
        self._layout: Layout | None = None
        self._markup = ""
        self._picked: Spot | None = None
        self._forest = Forest()
        self._shown: Picture = {}
        self._steps: list[Step] = []

    def read(self, events: Iterable[Event]) -> Scene:
        """Take in what happened next, complete commands only, and return the scene of everything so far.

        Args:
            events: the events that follow those read before.
        """
        for event in events:
            self._narrator.take(event)
        self._narrator.close()
        self.seen = self._narrator.seen
        return self.scene()

    def scene(self) -> Scene:
        """Return the scene of what has been read, as the view wants it."""
        layout = lay_out(self._narrator.touched, self._narrator.forest, self.view)
        if layout != self._layout or self.view.picked != self._picked:
            self._layout, self._picked, self._markup = layout, self.view.picked, markup(layout)
            self._forest, self._shown, self._steps = Forest(), whole(Forest(), layout, self.view), []
        for told in self._narrator.told[len(self._steps) :]:
            self._steps.append(self._drawn(told, layout))
        return Scene(
            name="tables",
            title=TITLE,
            markup=self._markup,
            steps=tuple(self._steps),
            groups=tuple(self._narrator.groups),
            jump="flush, freed table or error",
            source=SOURCE,
        ).check()

    def find(self, name: str) -> Spot | Row | None:
        """Return what an id stands for: a table's head (its place), an entry, a row of entries, or None."""
        for spot, card in self._layout.cards.items() if self._layout else ():
            if name == part("h", spot):
                return spot
            for line in card.lines:
                if name == line.id:
                    return line.row if line.row.inside else (spot[0], (*spot[1], line.row.first))
        return None

    def drawn(self, spot: Spot) -> bool:
        """Return whether a table is drawn."""
        return self._layout is not None and spot in self._layout.cards

    # -- one step --------------------------------------------------------------------------------------------------

    def _drawn(self, told: Told, layout: Layout) -> Step:
        new = self._put(told.puts, layout)
        tale = told.tale
        new |= who_now(tale.actor, told.doing, told.flushes) | entry_now(self._forest, self.view)
        patches: tuple[Patch, ...]
        if self._steps:
            patches = changes({name: self._shown[name] for name in new}, new)
            self._shown.update(new)
        else:
            self._shown.update(new)
            patches = changes(dict.fromkeys(self._shown, ("", "")), self._shown)
        now = tuple(dict.fromkeys(name for sign in tale.now for name in self._ids(sign, layout)))
        cause = tuple(dict.fromkeys(name for sign in tale.cause for name in self._ids(sign, layout)))
        return Step(
            actor=tale.actor,
            label=told.label,
            fn=tale.fn,
            title=tale.title,
            why=tale.why,
            log=told.log,
            patches=patches,
            now=now,
            cause=cause,
            mark=tale.mark,
            command=told.command,
            event=told.event,
            fast=told.fast,
            ask=told.ask,
        )

    def _put(self, puts: list[Put], layout: Layout) -> Picture:
        """Change the tables, and return the parts that show something else by it."""
        forest, entries, tables = self._forest, set[Spot](), set[Spot]()
        last = forest.last
        for what, key, value in puts:
            forest.put(what, key, value)
            if what == "word":
                if entry := forest.entry(key):
                    entries.add(entry)
            elif what == "table":
                tables.add(key)
                entries |= {(key[0], (*key[1], line.row.first)) for line in self._lines(key, layout)}
            elif owner := forest.owner(key) if what != "last" else None:
                tables.add(owner)
        if last != forest.last:
            entries |= {spot for spot in (last, forest.last) if spot}
        lines = {(table, line.id): line for entry in entries for table, line in _rows(entry, layout)}
        new: Picture = {}
        for spot in tables | entries:
            if spot in layout.cards:
                new |= card_now(forest, layout.cards[spot])
        for (table, _), line in lines.items():
            new |= row_now(forest, table, line, layout, self.view)
        return new

    @staticmethod
    def _lines(spot: Spot, layout: Layout) -> tuple[Line, ...]:
        card = layout.cards.get(spot)
        return card.lines if card else ()

    def _ids(self, sign: Sign, layout: Layout) -> Iterator[str]:
        """Yield the ids of a part that a step is about, as far as it is drawn."""
        kind, spot, more = sign
        name: str | None
        picked = self.view.picked or self._forest.last
        if kind == "f":
            name = "w.f"
        elif kind == "r":
            name = layout.seen(spot)
        elif kind == "x":
            name = f"x{spot[1][-1] % DUMP_ROWS}" if picked == spot else None
        elif kind == "d":
            fields = decode(self._forest.word(spot), len(spot[1])).fields
            at = next(number for number, one in enumerate(fields) if one.name == more)
            name = f"d{field_place(fields, at)}" if picked == spot else None
        elif kind in ("l", "n"):
            name = part(kind, spot) if spot in layout.cards and (spot[1] or kind == "n") else None
        else:
            name = part("t", spot) if spot in layout.cards else layout.seen(spot)
        if name:
            yield name


def _rows(entry: Spot, layout: Layout) -> Iterator[tuple[Spot, Line]]:
    """Yield the rows that an entry shows in, with their tables; of an entry that is not drawn, those above it."""
    vm, path = entry
    while path:
        found = [((vm, path[:-1]), line) for line in layout.lines_of((vm, path))]
        yield from found
        if found:
            return
        path = path[:-1]
