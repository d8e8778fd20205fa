"""The ``kvmlab`` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import kvmlab


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0 good, 1 a mismatch, 2 bad input.

    Args:
        argv: the words after ``kvmlab``; those of the process if not given.
    """
    parser = argparse.ArgumentParser(prog="kvmlab", description=kvmlab.__doc__)
    parser.add_argument("--version", action="version", version=f"kvmlab {kvmlab.__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    lab = commands.add_parser("lab", help="open JupyterLab on the notebooks", add_help=False)
    lab.set_defaults(run=_lab)
    check = commands.add_parser(
        "conform",
        help="replay traces recorded from the real kernel and report every difference",
        description="Replay traces on the engine and compare every field. Exit status 0 only if nothing differs.",
    )
    check.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a trace: JSON Lines, kvmlab-trace/1")
    check.set_defaults(run=_conform)
    args, rest = parser.parse_known_args(argv)
    if rest and args.command != "lab":
        parser.error(f"unknown: {' '.join(rest)}")
    args.rest = rest
    status: int = args.run(args)
    return status


def _lab(args: argparse.Namespace) -> int:
    from kvmlab.lab import main as lab

    return lab(args.rest)


def _conform(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from kvmlab.formats.conform import conform

    bar = tqdm(args.files, unit="file", disable=not sys.stderr.isatty(), leave=False)
    report = conform(bar, tqdm.write)
    print(report)
    return 2 if report.errors else 0 if report.ok else 1
