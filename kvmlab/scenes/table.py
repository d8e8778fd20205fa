"""A table for a notebook: plain rows, drawn as HTML or told as text."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

Cell = str | tuple[str, str]
"""A text, or a text and the address it links to."""


@dataclass(frozen=True, repr=False)
class Table:
    """Rows under a head; the first column names the row and is code.

    Args:
        head: names of the columns.
        rows: as many cells each.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def __str__(self) -> str:
        """Return the table as text."""
        lines = [self.head, *(tuple(cell if isinstance(cell, str) else cell[0] for cell in row) for row in self.rows)]
        return "\n".join(" | ".join(line) for line in lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return the table for a notebook."""
        look = "style='text-align:left;vertical-align:top;white-space:normal'"
        head = "".join(f"<th scope='col' {look}>{escape(name)}</th>" for name in self.head)
        body = ""
        for first, *rest in self.rows:
            cells = "".join(f"<td {look}>{_html(cell)}</td>" for cell in rest)
            body += f"<tr><th scope='row' {look}><code>{_html(first)}</code></th>{cells}</tr>"
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _html(cell: Cell) -> str:
    if isinstance(cell, str):
        return escape(cell)
    text, address = cell
    return f'<a href="{escape(address)}" target="_blank" rel="noopener">{escape(text)}</a>'
