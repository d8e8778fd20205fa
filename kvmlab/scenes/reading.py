"""The real code beside the model: which kernel function is where in kvmlab, what is simplified, what changed later.

Nothing of it is typed in here. The tables are made of the engine's docstrings, which name their source and say what
differs, and of its list of later fixes.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType
from typing import Any, NamedTuple

import kvmlab
from kvmlab.engine import InputError
from kvmlab.engine.kernel.fixes import FIXES
from kvmlab.scenes import sources
from kvmlab.scenes.sources import BROWSER, source_of
from kvmlab.scenes.table import Cell, Table

ROOT = Path(kvmlab.__file__).parent.parent
"""The folder that holds the package."""
SAME = "nothing"
ARCH = "arch/arm/kvm/"
_SECTIONS = re.compile(r"Source:(?P<source>.*?)(?:Differs:(?P<differs>.*))?\Z", re.DOTALL)
_FILE = re.compile(r"\b[\w-]+(?:/[\w-]+)+\.[chS]\b")
_RELEASE = re.compile(r"Linux (\d+\.\d+)")
_COMMIT = re.compile(r"\b[0-9a-f]{12}\b")


class Counterpart(NamedTuple):
    """A function of the kernel and what stands for it in kvmlab.

    Attributes:
        function: its name in the kernel.
        file: its file there; for a kernel after Linux 3.9 the whole address, which names the version.
        name: of the function in kvmlab.
        module: path of the module, from the folder that holds the package.
        line: where the function begins, from 1.
        differs: what is simplified; "nothing" if nothing is.
        commits: those that the module names as its source, 12 digits each.
    """

    function: str
    file: str
    name: str
    module: str
    line: int
    differs: str
    commits: tuple[str, ...]


@cache
def counterparts() -> tuple[Counterpart, ...]:
    """Return every kernel function that the engine stands for, by file, in the order of the engine's code."""
    engine = import_module("kvmlab.engine")
    modules = [import_module(found.name) for found in walk_packages(engine.__path__, "kvmlab.engine.")]
    found = [one for module in modules for one in _of_module(module)]
    return tuple(sorted(found, key=lambda one: ("://" in one.file, one.file, one.module, one.line)))


def counterpart(function: str) -> Counterpart:
    """Return what stands for a kernel function.

    Args:
        function: its name in the kernel.

    Raises:
        InputError: kvmlab has none; the message says what is known of the function.

    >>> counterpart("stage2_set_pte").module
    'kvmlab/engine/kernel/tables.py'
    """
    for one in counterparts():
        if one.function == function:
            return one
    where = source_of(function)
    hint = f"it stands in {where}, and the model does without it" if where else "see counterparts()"
    raise InputError(f"function is {function!r}, which has no counterpart; {hint}")


def left_out() -> tuple[str, ...]:
    """Return functions of arch/arm/kvm that a panel names although no function of the engine stands for them."""
    present = {one.function for one in counterparts()}
    return tuple(name for name, file in sources.OF_FUNCTION.items() if file.startswith(ARCH) and name not in present)


def _of_module(module: ModuleType) -> Iterator[Counterpart]:
    about = _sections(module)
    release = _RELEASE.search(about["source"])
    for name, function in _functions(module):
        own = _sections(function)
        words = re.findall(r"\w+", own["source"])
        known = [word for word in words if word == name or word in sources.OF_FUNCTION]
        if name not in known and (source_of(name) or "").startswith(ARCH):
            known.append(name)
        for kernel in dict.fromkeys(known):
            found = _FILE.findall(own["source"]) or _FILE.findall(about["source"])
            file = source_of(kernel) or (found[0] if found else "")
            if "://" not in file and release and release[1] != "3.9":
                file = BROWSER.replace("v3.9", f"v{release[1]}") + file
            yield Counterpart(
                kernel, file, name, Path(inspect.getfile(module)).relative_to(ROOT).as_posix(),
                inspect.getsourcelines(function)[1], _differences(own["differs"], about["differs"]),
                tuple(_COMMIT.findall(about["source"])),
            )  # fmt: skip


def _functions(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield the functions and methods that a module defines."""
    for name, thing in vars(module).items():
        if getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(thing):
            yield name, thing
        elif inspect.isclass(thing):
            yield from ((key, method) for key, method in vars(thing).items() if inspect.isfunction(method))


def _sections(thing: Any) -> dict[str, str]:
    """Return what a docstring says after Source and Differs; "" where it says nothing."""
    found = _SECTIONS.search(inspect.getdoc(thing) or "")
    parts = found.groupdict() if found else {"source": "", "differs": ""}
    return {name: " ".join((text or "").split(">>>")[0].replace("``", "").split()) for name, text in parts.items()}


def _differences(*said: str) -> str:
    """Return what differs in a function and in all of its module, each thing once."""
    clauses = [clause.strip().rstrip(".") for one in said for clause in one.split(";")]
    real = dict.fromkeys(clause for clause in clauses if clause not in ("", SAME))
    words = {clause: set(clause.split()) for clause in real}
    once = [one for one in real if not any(words[one] < words[other] for other in real)]
    return "; ".join(once) or SAME


def reading_table(file: str | None = None) -> Table:
    """Return the kernel's functions beside those of kvmlab.

    Args:
        file: only those whose file begins so, such as "arch/arm/kvm/mmu.c"; all if not given.

    Raises:
        InputError: no function of such a file has a counterpart; the message names the files.
    """
    chosen = [one for one in counterparts() if file is None or one.file.startswith(file)]
    if not chosen:
        raise InputError(f"file is {file!r}; allowed: {', '.join(dict.fromkeys(one.file for one in counterparts()))}")
    rows = tuple((one.function, link(one.file), _place(one), one.differs) for one in chosen)
    return Table(("kernel function", "its file", "in kvmlab", "what differs"), rows)


def _place(one: Counterpart) -> str:
    return f"{one.module}:{one.line}" + (f", {one.name}" if one.name != one.function else "")


def link(file: str) -> Cell:
    """Return a kernel file's name with the address where it can be read, in the release that has it."""
    if "://" not in file:
        return (file, BROWSER + file) if file else file
    release, _, path = file.partition("/linux/")[2].partition("/source/")
    return f"{path} ({release})", file


def later_table() -> Table:
    """Return what upstream changed later, as far as the model can switch it on with ``Config(fixes=...)``."""
    rows = tuple((name, fix.wart, fix.instead, fix.source) for name, fix in FIXES.items())
    return Table(("switch", "Linux 3.9", "with the switch on", "changed by"), rows)
