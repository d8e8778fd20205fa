"""``kvmlab flush``: count full flushes for many numbers of guests, beside what theory says."""

from __future__ import annotations

import argparse
import signal
import sys
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from kvmlab.engine.errors import InputError, check_int

INTERRUPTED = 130


def add(commands: Any) -> argparse.ArgumentParser:
    """Describe the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "flush",
        help="count full TLB flushes for many numbers of guests, beside the exact law",
        description="Let guests enter one after the other and count how often VMIDs run out. Ctrl-C keeps the rows that"
        " are finished.",
        epilog="Schedules: round-robin (or round-robin:K, K entries in a turn), uniform, runs:K (K entries in a row,"
        " then a guest drawn from all), switches:K (then one drawn from all others), sticky:P (the same again with"
        " probability P), zipf:S (guest i in proportion to i**-S).",
    )
    parser.add_argument(
        "--guests", default="1:512", metavar="N|FIRST:LAST[:STEP]", help="numbers of guests (%(default)s)"
    )
    parser.add_argument("--schedule", default="uniform", metavar="NAME", help="who enters next (%(default)s)")
    parser.add_argument("--bits", type=int, default=8, help="width of a VMID, 2 to 16 (%(default)s)")
    parser.add_argument("--cpus", type=int, default=1, help="CPUs; each guest has one vCPU (%(default)s)")
    parser.add_argument("--entries", type=int, default=1_000_000, help="for each number of guests (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers (%(default)s)")
    parser.add_argument("--policy", default="3.9", help="whose allocator: 3.9 or 5.18 (%(default)s)")
    parser.add_argument("--cold-boot", action="store_true", help="count the flush of the very first entry (3.9 only)")
    parser.add_argument("--workers", type=int, default=1, help="processes to use (%(default)s)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="where to write; the table is printed if not given")
    return parser


def run(args: argparse.Namespace) -> int:
    """Sweep, and write or print what is finished."""
    from kvmlab.files import checked, ready, write
    from kvmlab.rollover.sweep import Plan, sweep, to_csv

    guests = numbers(args.guests)
    plan = Plan(args.schedule, args.entries, args.bits, args.cpus, args.seed, args.policy, args.cold_boot)
    file = args.csv and checked(args.csv, (".csv",), "flushes.csv")
    if file:
        ready(file)
    rows, interrupted = [], False
    with _workers(check_int("workers", args.workers, 1, 1024)) as workers:
        try:
            for row in sweep(plan, guests, workers=workers, progress=sys.stderr.isatty()):
                rows += [row]  # one by one: what is finished is kept
        except KeyboardInterrupt:
            interrupted = True
    table = to_csv(plan, rows)
    if file:
        write(file, table.encode())
        print(f"{file}: {len(rows)} of {len(guests)} numbers of guests")
    else:
        print(table, end="")
    return INTERRUPTED if interrupted else 0


def numbers(text: str) -> range:
    """Return the numbers of guests that a word such as ``300``, ``1:1024`` or ``256:512:8`` stands for.

    Args:
        text: one number, or first and last (which is included), and how far apart.

    Raises:
        InputError: it is none of these.
    """
    from kvmlab.rollover.theory import MAX_GUESTS

    try:
        first, *more = map(int, text.split(":"))
        last, step = (*more, 1) if len(more) == 1 else more or (first, 1)
    except ValueError:
        raise InputError(f"guests is {text!r}; allowed: a number, FIRST:LAST or FIRST:LAST:STEP") from None
    check_int("guests", first, 1, MAX_GUESTS)
    check_int("last number of guests", last, first, MAX_GUESTS)
    return range(first, last + 1, check_int("step of guests", step, 1, MAX_GUESTS))


def _workers(count: int) -> AbstractContextManager[Executor | None]:
    """Return so many processes, which leave Ctrl-C to this one."""
    if count == 1:
        return nullcontext()
    return ProcessPoolExecutor(
        count, get_context("spawn"), initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
    )
