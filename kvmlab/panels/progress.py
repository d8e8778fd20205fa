"""What has been tried and solved in this session, and a button that saves it as a report."""

from __future__ import annotations

from html import escape
from os import PathLike
from pathlib import Path

import ipywidgets as widgets

from kvmlab.engine import InputError
from kvmlab.exercises import TEMPLATES
from kvmlab.exercises.record import RECORD, Entry
from kvmlab.exercises.report import NOTEBOOKS, read, to_text
from kvmlab.files import checked, ready, write
from kvmlab.panels.controls import push
from kvmlab.panels.practice import style


def progress(notebook: str = "") -> ProgressPanel:
    """Show what has been tried and solved since the kernel started.

    Args:
        notebook: number of the notebook, "00" to "09": it names the report, ``report-03.json``.

    Returns:
        A widget: let it be the last line of a cell.

    Raises:
        InputError: there is no such notebook.
    """
    if notebook not in NOTEBOOKS:
        raise InputError(f"notebook is {notebook!r}; allowed: {', '.join(NOTEBOOKS[1:])}")
    return ProgressPanel(notebook)


class ProgressPanel(widgets.VBox):
    """A table that follows the exercises, and a button.

    Args:
        notebook: its number, or "".

    Attributes:
        table: the table.
        save_button: writes the report.
        message: where it was written.
    """

    def __init__(self, notebook: str) -> None:
        """Show the record as it is, and follow it."""
        self.notebook = notebook
        self.table = widgets.HTML()
        self.message = widgets.HTML(layout=widgets.Layout(min_height="2em"))
        self.save_button = push("Save report", self._pushed, "9em", tooltip="write a file that a teacher can check")
        self.save_button.layout.align_self = "flex-start"
        super().__init__([self.table, self.save_button, self.message])
        RECORD.on_change(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the record as it is now."""
        self.table.value = f"<style>{style()}</style>{_table(RECORD.entries)}"
        self.save_button.disabled = not any(entry.touched for entry in RECORD.entries)

    def save(self, path: str | PathLike[str] | None = None) -> Path:
        """Write the report. What a report of that name held already is kept: it may be of an earlier session.

        Args:
            path: the file, which ends in ``.json``; ``report-03.json`` in the notebook's folder if not given.

        Returns:
            The path.

        Raises:
            InputError: nothing can be written there, or what is there is another file; the message says why.
        """
        name = f"report-{self.notebook}.json" if self.notebook else "report.json"
        file = checked(name if path is None else path, (".json",), "report.json")
        ready(file)
        if file.exists():
            RECORD.absorb(_earlier(file))
        return write(file, to_text(RECORD.entries, self.notebook).encode())

    def _pushed(self) -> None:
        try:
            said = f"saved: {self.save().resolve()}"
        except InputError as error:
            said = f"not saved: {error}"
        self.message.value = f'<div role="status" class="kvmlab-progress-said">{escape(said)}</div>'


def _earlier(file: Path) -> tuple[Entry, ...]:
    """Return the exercises of a report that is to be written anew.

    Raises:
        InputError: it is no report, or one that does not hold.
    """
    try:
        report, findings = read(file)
    except InputError:
        findings = None
    if findings != []:
        raise InputError(
            f"{file.name} is there already and is no report as it was saved: move it, or choose another name"
        )
    return report.entries


def _table(entries: list[Entry]) -> str:
    """Return the record as a table: one row for each kind of exercise, in the order in which they came."""
    kinds: dict[str, list[Entry]] = {}
    for entry in entries:
        kinds.setdefault(entry.template, []).append(entry)
    if not kinds:
        return '<p class="kvmlab-progress-said">No exercise has been shown so far: run the cells above.</p>'
    rows = []
    for name, some in kinds.items():
        tried, solved = sum(entry.touched for entry in some), sum(entry.solved for entry in some)
        state = "not tried yet" if not tried else "✓ solved" if solved else "tried"
        hints = sum(entry.hints for entry in some)
        cells = (TEMPLATES[name].title, state, solved, tried, hints)
        first, *others = (escape(str(cell)) for cell in cells)
        rows.append(f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in others)}</tr>')
    heads = "".join(f'<th scope="col">{word}</th>' for word in ("exercise", "state", "solved", "tried", "hints"))
    solved = sum(any(entry.solved for entry in some) for some in kinds.values())
    caption = f"<caption>{solved} of {len(kinds)} kinds of exercise solved</caption>"
    return (
        f'<table class="kvmlab-progress">{caption}<thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )
