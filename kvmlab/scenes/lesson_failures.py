"""What a failed page allocation leaves behind: one row for each allocation that could fail."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

from kvmlab.engine import Access, InputError, Machine
from kvmlab.engine.kernel.errno import strerror
from kvmlab.scenes.pgd import pgd_graph

RAM = (0x8000_0000, 64 << 20, 0x4000_0000)
"""Memory of the guest: IPA, bytes, host address."""
COMMANDS = ("access", "ioremap")
HEADS = ("fails", "returns", "pages mapped", "table frames", "in the vCPU's cache", "once more returns")


@dataclass(frozen=True)
class Failure:
    """How a command ended in which one allocation failed.

    Attributes:
        k: which allocation of the command failed, from 1; 0 for none.
        ret: what the kernel's function returned: 0, 1 or a negative error.
        mapped: pages that the guest's tables map afterwards.
        tables: frames that hold tables, the two of level 1 included.
        cached: frames in the memory cache of vCPU 0.
        again: what the same command returns the second time, when nothing fails.
    """

    k: int
    ret: int
    mapped: int
    tables: int
    cached: int
    again: int


@dataclass(frozen=True)
class Failures:
    """Rows of a table, for a notebook.

    Attributes:
        rows: one for each failure tried, in the order asked for.
    """

    rows: tuple[Failure, ...]

    def cells(self) -> list[list[str]]:
        """Return the table's words, row by row, without its head."""
        return [
            [
                f"allocation {row.k}" if row.k else "none",
                strerror(row.ret),
                str(row.mapped),
                str(row.tables),
                str(row.cached),
                strerror(row.again),
            ]
            for row in self.rows
        ]

    def __str__(self) -> str:
        """Return the table as text."""
        return "\n".join(" | ".join(line) for line in [list(HEADS), *self.cells()])

    def _repr_html_(self) -> str:
        """Return the table for a notebook."""
        head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in HEADS)
        body = "".join(
            "<tr>"
            + f"<th scope='row' style='text-align:left'>{escape(line[0])}</th>"
            + "".join(f"<td>{escape(word)}</td>" for word in line[1:])
            + "</tr>"
            for line in self.cells()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def what_if_fails(ks: Iterable[int], command: str, **args: Any) -> Failures:
    """Give a new guest a command, once for each allocation that is to fail, and look at what stays.

    Args:
        ks: which allocation of the command fails, from 1; 0 for none.
        command: "access" or "ioremap".
        args: its arguments, without ``vm``. The guest has 64 MiB of memory at IPA 0x80000000 and has not run.

    Raises:
        InputError: no such command, or an argument is wrong.

    Source:
        mmu_topup_memory_cache, user_mem_abort and kvm_phys_addr_ioremap, arch/arm/kvm/mmu.c, Linux 3.9.

    >>> print(what_if_fails([1, 3], "ioremap", ipa=0x301F_F000, pa=0x1C00_0000, size=0x4000))
    fails | returns | pages mapped | table frames | in the vCPU's cache | once more returns
    allocation 1 | -ENOMEM | 0 | 2 | 0 | 0
    allocation 3 | -ENOMEM | 1 | 4 | 0 | -EFAULT
    """
    if command not in COMMANDS:
        raise InputError(f"command is {command!r}; allowed: {', '.join(COMMANDS)}")
    return Failures(tuple(_try(k, command, args) for k in ks))


def _try(k: int, command: str, args: dict[str, Any]) -> Failure:
    machine = Machine()
    vm = machine.create_vm([RAM])
    cache = machine.kvm(vm).vcpus[0].mmu_page_cache
    machine.fail_alloc(k)
    ret = _returned(machine.do(command, vm=vm, **args))
    leaves = (entry for table in pgd_graph(machine, vm=vm).tables for entry in table.entries if entry.level == 3)
    mapped = sum(entry.last - entry.first + 1 for entry in leaves)
    cached = cache.nobjs
    tables = machine.linux.pages.nr_live - cached
    machine.fail_alloc(0)
    return Failure(k, ret, mapped, tables, cached, _returned(machine.do(command, vm=vm, **args)))


def _returned(result: Access | int) -> int:
    return result.ret if isinstance(result, Access) else result
