"""``kvmlab check``: compute the reports of a class again, and say what does not hold."""

from __future__ import annotations

import argparse
import csv
import sys
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kvmlab.exercises.report import Report

COLUMNS = ("file", "notebook", "tried", "solved", "first try", "hints", "shown", "state")
GOOD, DIFFERS, BAD = 0, 1, 2


def add(commands: Any) -> argparse.ArgumentParser:
    """Describe the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "check",
        help="check reports of exercises: every answer is judged again from its seed",
        description="Make every exercise of each report again from its seed, judge each answer again, and print one row"
        " for each file. A file that was changed, or is no report, is said to be so, with the line.",
        epilog="Exit status: 0 all holds, 1 something does not, 2 a file is no report. The digest in a report shows a"
        " careless change; it is no signature.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a report that was saved in a notebook")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table there too")
    return parser


def run(args: argparse.Namespace) -> int:
    """Check the reports and print the table."""
    from tqdm import tqdm

    from kvmlab.engine.errors import InputError
    from kvmlab.exercises.report import read
    from kvmlab.files import checked, ready, write

    table = args.csv and checked(args.csv, (".csv",), "class.csv")
    if table:
        ready(table)
    rows: list[tuple[str, ...]] = []
    status = GOOD
    for path in tqdm(args.files, unit="file", disable=not sys.stderr.isatty() or len(args.files) < 2, leave=False):
        name = _plain(str(path))
        try:
            report, findings = read(path)
        except InputError as error:
            tqdm.write(_plain(str(error)), file=sys.stderr)
            rows.append((name, *[""] * 6, "no report"))
            status = BAD
            continue
        for finding in findings:
            tqdm.write(_plain(f"{path}:{finding.line}: {finding.words}"), file=sys.stderr)
        state = "holds" if not findings else "changed" if report.changed else "does not hold"
        rows.append((name, *_row(report), state))
        status = max(status, DIFFERS if findings else GOOD)
    _print(rows)
    if table:
        write(table, _csv(rows).encode())
    return status


def _row(report: Report) -> tuple[str, ...]:
    """Return what a report comes to; `shown` counts exercises of which the answer was opened."""
    entries = report.entries
    first = sum(bool(entry.solved and entry.tries[0].right) for entry in entries)
    shown = sum(entry.hints > 3 for entry in entries)
    hints = sum(min(entry.hints, 3) for entry in entries)
    counts = (len(entries), sum(entry.solved for entry in entries), first, hints, shown)
    return report.notebook or "-", *map(str, counts)


def _print(rows: list[tuple[str, ...]]) -> None:
    lines = [COLUMNS, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    for line in lines:
        cells = (
            cell.rjust(w) if 1 < n < 7 else cell.ljust(w) for n, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        print("  ".join(cells).rstrip())


def _csv(rows: list[tuple[str, ...]]) -> str:
    """Return the table as CSV; a cell that a spreadsheet would take for a formula begins with an apostrophe."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([f"'{cell}" if cell[:1] in ("=", "+", "@", "\t") else cell for cell in row] for row in rows)
    return text.getvalue()


def _plain(words: str) -> str:
    """Return words for a terminal: what could steer it is shown as what it is."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in words)
