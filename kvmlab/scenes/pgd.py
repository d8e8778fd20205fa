"""The tables of a guest as a Graphviz graph: a drawing to look at, and a ``.source`` to take away and style."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any, Protocol

import graphviz

from kvmlab.engine.hardware.descriptor import ADDRESS_MASK, kind_of
from kvmlab.scenes.fault.layout import ENTRIES
from kvmlab.scenes.moment import Event, Moment, Path, leaf_kind
from kvmlab.scenes.pgd_drawing import DARK, LIGHT, Colours, own_drawing

THEME_RULE = (
    "<style>body[data-jp-theme-light=false] .kvmlab-tree-light,"
    "body:not([data-jp-theme-light=false]) .kvmlab-tree-dark{display:none}</style>"
)
KIND_WORDS = {"rw": "RW", "ro": "RO", "dev": "DEV", "inv": "invalid"}


class HasStream(Protocol):
    """A machine, or whatever else has a stream of events and stands at one of them."""

    @property
    def stream(self) -> Any:
        """The stream."""


@dataclass(frozen=True)
class Entry:
    """A row of the drawing: one entry, or a run of entries alike.

    Args:
        first: index of the first.
        last: index of the last; the same for a single entry.
        word: descriptor of the first.
        level: 1 to 3.
    """

    first: int
    last: int
    word: int
    level: int

    @property
    def kind(self) -> str:
        """The kind: "tab" for a link to a table, else as `leaf_kind` says."""
        return "tab" if kind_of(self.word, self.level) == "table" else leaf_kind(self.word)

    @property
    def words(self) -> str:
        """What the entry says, in a few characters."""
        if self.kind == "tab":
            return f"{self.word:#x}"
        pfn = (self.word & ADDRESS_MASK) >> 12
        run = f"–{pfn + self.last - self.first:#x}" if self.last > self.first else ""
        return f"pfn {pfn:#x}{run} {KIND_WORDS[self.kind]}"

    @property
    def index(self) -> str:
        """The index or the run of indices."""
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"


@dataclass(frozen=True)
class Node:
    """A table.

    Args:
        path: the entries above it; () for the level-1 table.
        pa: its physical address.
        refs: its page_count, of each frame.
        entries: what is in it, empty entries left out.
    """

    path: Path
    pa: int
    refs: tuple[int, ...]
    entries: tuple[Entry, ...]

    @property
    def id(self) -> str:
        """The node's id in the graph: ``t``, ``t2``, ``t2.0`` ..."""
        return "t" + ".".join(map(str, self.path))

    @property
    def title(self) -> str:
        """Its heading."""
        name = ("pgd", "level 2", "level 3")[len(self.path)]
        return f"{name} {self.pa:#x} · refs {' · '.join(map(str, self.refs))}"


def pgd_tables(moment: Moment, path: Path = ()) -> Iterator[Node]:
    """Yield the tables of a VM at a moment, each before those under it."""
    pa, level = moment.table_at(path), len(path) + 1
    if not pa:
        return
    words = [(index, moment.cells.get(f"mem[{pa + 8 * index:#x}]", 0)) for index in range(ENTRIES[len(path)])]
    entries = tuple(_runs([(index, word) for index, word in words if word], level))
    frames = (pa, pa + 4096) if level == 1 else (pa,)
    yield Node(path, pa, tuple(moment.page_count(frame) for frame in frames), entries)
    for entry in entries:
        if entry.kind == "tab":
            yield from pgd_tables(moment, (*path, entry.first))


def _runs(words: list[tuple[int, int]], level: int) -> Iterator[Entry]:
    run: list[tuple[int, int]] = []
    for index, word in words:
        if run and not (level == 3 and index == run[-1][0] + 1 and word == run[-1][1] + 4096):
            yield Entry(run[0][0], run[-1][0], run[0][1], level)
            run = []
        run.append((index, word))
    if run:
        yield Entry(run[0][0], run[-1][0], run[0][1], level)


def pgd_graph(run: HasStream | Iterable[Event], *, vm: int = 0) -> PgdGraph:
    """Return the tables of a VM as a graph, left to right, one table a node, one row a port.

    Args:
        run: a machine (the moment it stands at), or events (the moment after the last).
        vm: number of the VM.

    Returns:
        A `graphviz.Digraph`: ``.source`` is its text, ``.render()`` makes a file. As the last line of a cell it draws
        itself, with Graphviz if ``dot`` is installed and else on its own.
    """
    stream = getattr(run, "stream", None)
    events: Iterable[Event] = run if stream is None else (stream[i] for i in range(stream.cursor))  # type: ignore[assignment]
    moment = Moment(vm=vm)
    for event in events:
        moment.apply(event)
    return PgdGraph(tuple(pgd_tables(moment)))


class PgdGraph(graphviz.Digraph):
    """The graph of a VM's tables.

    Args:
        nodes: the tables.
        colours: what it is coloured with.
    """

    def __init__(self, nodes: tuple[Node, ...], colours: Colours = LIGHT) -> None:
        """Write the graph's text."""
        super().__init__(
            "pgd",
            graph_attr={"rankdir": "LR", "bgcolor": colours.paper, "nodesep": "0.15", "ranksep": "0.6"},
            node_attr={"shape": "plain", "fontname": "monospace", "fontsize": "11"},
            edge_attr={"color": colours.kernel},
        )
        self.tables, self.colours = nodes, colours
        for node in nodes:
            self.node(node.id, label=_label(node, colours), tooltip=node.title)
        for node in nodes:
            for entry in node.entries:
                if entry.kind == "tab":
                    self.edge(f"{node.id}:r{entry.first}:e", f"{node.id}{'.' if node.path else ''}{entry.first}:h:w")

    def text(self) -> str:
        """Return the tables in words, one entry a line."""
        lines = []
        for node in self.tables:
            lines.append("  " * len(node.path) + node.title)
            lines += ["  " * len(node.path) + f"  [{entry.index}] {entry.words}" for entry in node.entries]
        return "\n".join(lines) or "no tables"

    def drawing(self) -> str:
        """Return an SVG picture, drawn with ``dot`` or without it; it says in words what it shows."""
        try:
            drawn: str = self.pipe(format="svg", encoding="utf-8")
        except graphviz.ExecutableNotFound:
            drawn = own_drawing(self.tables, self.colours)
        return drawn.replace("<svg ", f'<svg role="img" aria-label="{escape(self._alt())}" ', 1)

    def _alt(self) -> str:
        return "Tables of a guest. " + "; ".join(line.strip() for line in self.text().splitlines())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **_: Any) -> dict[str, str]:
        """Return pictures in light and dark colours, of which the notebook's theme takes one, and the words."""
        drawings = {"light": self.drawing(), "dark": PgdGraph(self.tables, DARK).drawing()}
        pictures = (
            f'<img class="kvmlab-tree-{theme}" alt="{escape(self._alt())}" style="max-width:100%;height:auto" '
            f'src="data:image/svg+xml;base64,{b64encode(drawn.encode()).decode()}">'
            for theme, drawn in drawings.items()
        )
        html = THEME_RULE + "".join(pictures)
        return {"text/html": html, "image/svg+xml": drawings["light"], "text/plain": self.text()}


def _label(node: Node, colours: Colours) -> str:
    rows = "".join(_label_row(entry, colours) for entry in node.entries)
    empty = "" if rows else f'<tr><td align="left"><font color="{colours.ink}">all empty</font></td></tr>'
    head = f'<tr><td port="h" align="left"><font color="{colours.kernel}"><b>{escape(node.title)}</b></font></td></tr>'
    style = f'border="1" cellborder="0" cellspacing="2" color="{colours.kernel}" bgcolor="{colours.paper}"'
    return f"<<table {style}>{head}{rows}{empty}</table>>"


def _label_row(entry: Entry, colours: Colours) -> str:
    fill, ink = colours.fill(entry.kind)
    words = f'<font color="{ink}">{entry.index}  {escape(entry.words)}</font>'
    return f'<tr><td port="r{entry.first}" bgcolor="{fill}" align="left">{words}</td></tr>'
