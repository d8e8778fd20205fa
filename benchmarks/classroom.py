"""Measure a class on one machine: ``python -m benchmarks.classroom``, or with ``--students 10 --notebook FILE``.

Every student has a kernel of their own and runs the same notebook from top to bottom. They come one after another, two
a second, as when people open a link. All kernels stay until the last student has finished; then their memory is read.
RSS counts what kernels share, such as libraries, for each of them; PSS in equal parts, so the sum is what the class
takes. Needs Linux. The notebook server and the browser are not part of it.
"""

import argparse
import asyncio
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

from benchmarks.rollover import Row, show

NOTEBOOK = Path(__file__).resolve().parent.parent / "notebooks/01-a-guest-faults.ipynb"
GOAL = 130  # MiB for a kernel
BETWEEN = 0.5  # seconds from one student to the next
LONGEST = 600  # seconds for a cell


class Student(NamedTuple):
    """One student's run; memory is in MiB, 0 where the kernel is gone."""

    seconds: float
    failure: str
    pss: float
    rss: float


def memory(pid: int, file: str = "smaps_rollup") -> dict[str, float]:
    """Return the memory of a process in MiB, by the names that /proc has for it; nothing if the process is gone."""
    try:
        text = Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return {}
    lines = [line.split() for line in text.splitlines()]
    return {words[0].rstrip(":"): int(words[1]) / 1024 for words in lines if words[-1] == "kB"}


async def work(client: NotebookClient, wait: float, kernels: AsyncExitStack) -> tuple[float, str]:
    """Run a notebook after a while; return the seconds it took, and what went wrong."""
    await asyncio.sleep(wait)
    start, failure = time.perf_counter(), ""
    try:
        # A kernel warns that others on the machine might listen; here nobody does.
        await kernels.enter_async_context(client.async_setup_kernel(stderr=subprocess.DEVNULL))
        for index, cell in enumerate(client.nb.cells):
            await client.async_execute_cell(cell, index)
    except CellExecutionError as error:
        failure = f"{error.ename}: {error.evalue}"
    except (CellTimeoutError, RuntimeError) as error:
        failure = f"{type(error).__name__}: {error}"
    return time.perf_counter() - start, failure


async def lesson(path: Path, students: int) -> list[Student]:
    """Let so many students run a notebook at the same time."""
    options = {"timeout": LONGEST, "kernel_name": "python3", "resources": {"metadata": {"path": path.parent}}}
    clients = [NotebookClient(nbformat.read(path, 4), **options) for _ in range(students)]
    async with AsyncExitStack() as kernels:
        runs = await asyncio.gather(*(work(client, n * BETWEEN, kernels) for n, client in enumerate(clients)))
        used = [memory(client.km.provisioner.pid) if client.km else {} for client in clients]
    return [Student(*run, kernel.get("Pss", 0), kernel.get("Rss", 0)) for run, kernel in zip(runs, used, strict=True)]


def rows(path: Path, students: int) -> Iterator[Row]:
    """Run the lesson and yield what was measured."""
    done = asyncio.run(lesson(path, students))
    failures = [one.failure for one in done if one.failure]
    yield Row(f"{students} kernels, {path.name}: failures", str(len(failures)), "0", not failures)
    for failure in failures[:3]:
        yield Row("... for example", " ".join(failure.replace("|", "/").split()))
    seconds = [one.seconds for one in done]
    yield Row(
        "... from kernel start to last cell, median and slowest",
        f"{statistics.median(seconds):.1f} s, {max(seconds):.1f} s",
    )
    last = max(number * BETWEEN + one.seconds for number, one in enumerate(done))
    yield Row("... all, from the first kernel's start", f"{last:.1f} s")
    rss, pss = [one.rss for one in done], [one.pss for one in done]
    most = max(rss)
    shown = f"{statistics.median(rss):.0f} MiB, {most:.0f} MiB"
    yield Row("... RSS of a kernel, median and largest", shown, f"under {GOAL} MiB", not failures and most < GOAL)
    shown = f"{statistics.median(pss):.0f} MiB, {max(pss):.0f} MiB"
    yield Row("... PSS of a kernel, median and largest", shown, f"under {GOAL} MiB", not failures and max(pss) < GOAL)
    yield Row("... PSS of all kernels", f"{sum(pss) / 1024:.2f} GiB")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure a class on one machine.")
    parser.add_argument("--students", type=int, default=30, help="how many kernels at the same time (default: 30)")
    parser.add_argument("--notebook", type=Path, default=NOTEBOOK, help="what each runs (default: notebook 01)")
    options = parser.parse_args(arguments)
    if options.students < 1:
        parser.error(f"--students is {options.students}; allowed: 1 or more")
    show(rows(options.notebook, options.students))


if __name__ == "__main__":
    main()
