"""A run beside the code: for each event, which functions of the kernel were being executed when it was made."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from types import FrameType
from typing import Any, NamedTuple

from kvmlab.engine import InputError, Machine
from kvmlab.scenes.reading import ROOT, counterparts
from kvmlab.scenes.sources import source_of
from kvmlab.scenes.table import Table

OUTSIDE = "not in the kernel"
"""Where the guest and the hardware act, and where a command comes from."""


class Called(NamedTuple):
    """An event of a run, and who made it.

    Attributes:
        seq: its place in the stream, from 0.
        event: its name.
        args: its arguments.
        path: the kernel's functions that were being executed, outermost first; () for the hardware and the guest.
        place: module and line that made it, such as "kvmlab/engine/kernel/abort.py:138".
    """

    seq: int
    event: str
    args: dict[str, Any]
    path: tuple[str, ...]
    place: str


def watch(machine: Machine, command: str, **args: Any) -> list[Called]:
    """Run a command and return what happened, each event with the functions that led to it.

    Args:
        machine: a machine that records.
        command: "access", "ioremap", "swap_out", ...
        args: its arguments, by name.

    Raises:
        InputError: the command is refused; the machine is as it was.

    >>> machine = Machine()
    >>> vm = machine.create_vm([(0x8000_0000, 1 << 20, 0x4000_0000)])
    >>> calls = watch(machine, "access", vm=vm, ipa=0x8000_0000, access="write")
    >>> [one.path for one in calls if one.event == "tables/mapped"]
    [('kvm_handle_guest_abort', 'user_mem_abort', 'stage2_set_pte')]
    """
    operation = machine.begin(command, **args)
    stream, called = machine.stream, list[Called]()
    mark = stream.mark

    def watched(name: str, **what: Any) -> None:
        frames = list(_stack(sys._getframe(1)))
        mark(name, **what)
        path = tuple(found for frame in reversed(frames) if (found := _kernel_name(frame.f_code.co_name)))
        called.append(Called(len(stream) - 1, name, what, path, _place(frames[0])))

    stream.mark = watched  # type: ignore[method-assign]
    try:
        machine.run(operation)
    finally:
        del stream.mark
    return called


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield the engine's frames, innermost first."""
    engine = str(ROOT / "kvmlab" / "engine")
    while frame is not None:
        if frame.f_code.co_filename.startswith(engine):
            yield frame
        frame = frame.f_back


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename.removeprefix(str(ROOT))[1:]}:{frame.f_lineno}".replace("\\", "/")


@cache
def _kernel_name(name: str) -> str:
    """Return the kernel's name of a function of the engine; "" if it stands for none."""
    if source_of(name):
        return name
    return next((one.function for one in counterparts() if one.name == name), "")


def calls_table(called: Sequence[Called], within: str | None = None) -> Table:
    """Return a watched run as a table: one row an event, equal ones in turn counted.

    Args:
        called: from `watch`.
        within: only what happened in this function of the kernel, and below it.

    Raises:
        InputError: nothing happened in it; the message names where something did.
    """
    chosen = [one for one in called if within is None or within in one.path]
    if not chosen:
        names = ", ".join(sorted({name for one in called for name in one.path}))
        raise InputError(f"within is {within!r}; allowed: {names}")
    rows = []
    for (event, path, place), run in groupby(chosen, key=lambda one: (one.event, one.path, one.place)):
        first, *more = run
        times = f" × {len(more) + 1}" if more else ""
        below = path[path.index(within) :] if within else path
        rows.append((event + times, " › ".join(below) or OUTSIDE, _said(first.args), place))
    return Table(("event", "in which function", "what it says", "line in kvmlab"), tuple(rows))


def _said(args: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_word(value)}" for name, value in args.items())


def _word(value: Any) -> str:
    return f"{value:#x}" if type(value) is int and value > 0xFFF else str(value)
