"""``kvmlab sheet``: exercises on paper, and the key to them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

SUFFIXES = (".pdf", ".html")


def add(commands: Any) -> argparse.ArgumentParser:
    """Describe the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "sheet",
        help="write exercises as a printable sheet, and the key as another",
        description="Write a sheet of exercises, made from a seed, and the key to it: the same bytes each time.",
        epilog="In a notebook kl.practice(NAME, seed=N) shows the first one of each name on the sheet with seed N.",
    )
    parser.add_argument("--seed", type=int, default=1, help="another number, another sheet (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("sheet.pdf"), metavar="FILE", help="%(default)s; or .html")
    parser.add_argument("--key", type=Path, metavar="FILE", help="where the key goes, .pdf or .html; none if not given")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="NAME",
        help="kinds of exercise, or numbers of notebooks (03)",
    )
    parser.add_argument("--count", type=int, help="how many exercises (10, or one of each kind that is named)")
    return parser


def run(args: argparse.Namespace) -> int:
    """Write the sheet, and the key."""
    from kvmlab.engine.errors import InputError
    from kvmlab.exercises.sheet import choose, to_bytes
    from kvmlab.files import checked, ready, write

    targets = [(checked(args.out, SUFFIXES, "sheet.pdf"), False)]
    if args.key:
        targets.append((checked(args.key, SUFFIXES, "key.pdf"), True))
        if targets[0][0].resolve() == targets[1][0].resolve():
            raise InputError(f"key is {str(args.key)!r}, the same file as the sheet; allowed: another one")
    for file, _ in targets:
        ready(file)
    exercises = choose(args.seed, args.only, args.count)
    for file, key in targets:
        write(file, to_bytes(exercises, args.seed, key=key, kind=file.suffix.lower()[1:]))
        print(f"{file}: {'the key to ' * key}{len(exercises)} exercises")
    return 0
