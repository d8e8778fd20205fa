"""``kvmlab conform``: replay traces recorded from the real kernel."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add(commands: Any) -> argparse.ArgumentParser:
    """Describe the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "conform",
        help="replay traces recorded from the real kernel and report every difference",
        description="Replay traces on the engine and compare every field. Exit status 0 only if nothing differs.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a trace: JSON Lines, kvmlab-trace/1")
    return parser


def run(args: argparse.Namespace) -> int:
    """Replay the traces and print what differs."""
    from tqdm import tqdm

    from kvmlab.formats.conform import conform

    bar = tqdm(args.files, unit="file", disable=not sys.stderr.isatty(), leave=False)
    report = conform(bar, tqdm.write)
    print(report)
    return 2 if report.errors else 0 if report.ok else 1
