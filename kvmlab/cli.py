"""The ``kvmlab`` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import kvmlab
from kvmlab.engine.errors import InputError


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
    walk = commands.add_parser(
        "export",
        help="write a saved run as one HTML file that plays without kernel and network",
        description="Run a saved session again and write what it shows as one HTML file.",
    )
    walk.add_argument("scenario", type=Path, metavar="SCENARIO", help="a run saved with Session.save")
    walk.add_argument("page", type=Path, metavar="WALK.html", help="the file to write; replaced if it exists")
    walk.add_argument(
        "--panel",
        default="fault",
        metavar="PANEL",
        help="what to show: fault, tables, cache, vmids, tlb, notifiers or ioremap (default: %(default)s)",
    )
    walk.add_argument("--vm", type=int, default=0, help="which VM, where a panel shows one (default: %(default)s)")
    walk.set_defaults(run=_export)
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


def _export(args: argparse.Namespace) -> int:
    from kvmlab.panels.export import export
    from kvmlab.scenes.stories import story
    from kvmlab.session import Session

    machine = Session.load(args.scenario).machine
    scene = story(args.panel, machine, args.vm).read(machine.stream)
    page = export(scene, args.page)
    print(f"{page}: {len(scene.steps)} steps, {page.stat().st_size / 1000:.0f} KB")
    return 0
