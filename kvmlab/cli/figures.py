"""``kvmlab figures``: write the figures for talks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add(commands: Any) -> argparse.ArgumentParser:
    """Describe the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "figures",
        help="write the figures for talks: SVG, PDF and PNG, for slides and columns, light and dark",
        description="Write the figures for talks. The same version writes the same bytes each time.",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write; made if it does not exist")
    parser.add_argument("--list", action="store_true", help="say what figures there are")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these figures")
    parser.add_argument("--kinds", nargs="+", metavar="KIND", help="svg, pdf, png (all)")
    parser.add_argument("--sizes", nargs="+", metavar="SIZE", help="slide, column (both)")
    parser.add_argument("--themes", nargs="+", metavar="THEME", help="light, dark (both)")
    return parser


def run(args: argparse.Namespace) -> int:
    """List the figures, or write them."""
    from tqdm import tqdm

    from kvmlab.engine.errors import InputError
    from kvmlab.figures.catalogue import chosen, describe, write_all

    names = chosen(args.only)
    if args.list:
        print("\n".join(f"{name:18} {describe(name)}" for name in names))
        return 0
    if args.out is None:
        raise InputError("--out is missing: say in which directory to write, or --list to see what there is")
    files = write_all(args.out, names, args.kinds, args.sizes, args.themes)
    bar = tqdm(files, total=files.total, unit="file", disable=not sys.stderr.isatty(), leave=False)
    print(f"{args.out}: {sum(1 for _ in bar)} files")
    return 0
