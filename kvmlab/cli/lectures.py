"""``kvmlab lectures``: make the pages that a teacher opens in the lectures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add(commands: Any) -> argparse.ArgumentParser:
    """Describe the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "lectures",
        help="write the pages of three lectures, with timetable and questions, to be opened from disk",
        description="Run what three lectures show and write each run as one HTML file; begin with index.html.",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="where to write; made if need be")
    return parser


def run(args: argparse.Namespace) -> int:
    """Write the pages."""
    from tqdm import tqdm

    from kvmlab.panels.lectures import PAGES, write_lectures

    files = write_lectures(args.out)
    bar = tqdm(files, total=len(PAGES) + 1, unit="file", disable=not sys.stderr.isatty(), leave=False)
    size = sum(path.stat().st_size for path in bar)
    print(f"{args.out}: {len(PAGES) + 1} files, {size / 1000:.0f} KB; begin with index.html")
    return 0
