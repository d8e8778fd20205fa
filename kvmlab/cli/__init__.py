"""The ``kvmlab`` command: one file for each of its words."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import kvmlab
from kvmlab.cli import check, conform, export, figures, flush, lab, lectures, sheet
from kvmlab.engine.errors import InputError

COMMANDS = (lab, sheet, check, lectures, export, flush, figures, conform)
"""Each has `add`, which describes its arguments, and `run`, which does it and returns the exit status."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0 good, 1 a mismatch, 2 bad input, 130 interrupted.

    Args:
        argv: the words after ``kvmlab``; those of the process if not given.
    """
    parser = argparse.ArgumentParser(prog="kvmlab", description=kvmlab.__doc__)
    parser.add_argument("--version", action="version", version=f"kvmlab {kvmlab.__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add(commands).set_defaults(run=command.run)
    args, rest = parser.parse_known_args(argv)
    if rest and args.command != "lab":
        parser.error(f"unknown: {' '.join(rest)}")
    args.rest = rest
    try:
        status: int = args.run(args)
    except InputError as error:
        print(f"kvmlab: {error}", file=sys.stderr)
        return 2
    return status
