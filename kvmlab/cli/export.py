"""``kvmlab export``: make a page of a saved run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add(commands: Any) -> argparse.ArgumentParser:
    """Describe the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "export",
        help="write a saved run as one HTML file that plays without kernel and network",
        description="Run a saved session again and write what it shows as one HTML file.",
    )
    parser.add_argument("scenario", type=Path, metavar="SCENARIO", help="a run saved with Session.save")
    parser.add_argument("page", type=Path, metavar="WALK.html", help="the file to write; replaced if it exists")
    parser.add_argument(
        "--panel",
        default="fault",
        metavar="PANEL",
        help="what to show: fault, tables, cache, vmids, tlb, notifiers or ioremap (default: %(default)s)",
    )
    parser.add_argument("--vm", type=int, default=0, help="which VM, where a panel shows one (default: %(default)s)")
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the session again and write the page."""
    from kvmlab.panels.export import export
    from kvmlab.scenes.stories import story
    from kvmlab.session import Session

    machine = Session.load(args.scenario).machine
    scene = story(args.panel, machine, args.vm).read(machine.stream)
    page = export(scene, args.page)
    print(f"{page}: {len(scene.steps)} steps, {page.stat().st_size / 1000:.0f} KB")
    return 0
