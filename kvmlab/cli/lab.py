"""``kvmlab lab``: open JupyterLab on the notebooks."""

from __future__ import annotations

import argparse
from typing import Any


def add(commands: Any) -> argparse.ArgumentParser:
    """Describe the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "lab", help="open JupyterLab on the notebooks", add_help=False
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Start JupyterLab; its own options are passed on."""
    from kvmlab.lab import main as lab

    return lab(args.rest)
