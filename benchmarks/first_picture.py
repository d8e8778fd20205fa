"""Measure what a learner on Binder waits for: ``python -m benchmarks.first_picture [NOTEBOOK ...]``.

From the start of the first code cell until the first picture comes from the kernel, on one CPU, with 2 GB and an
empty home: nothing is kept there from before, such as Matplotlib's list of fonts. The 2 GB are a limit on the data of
the process (RLIMIT_DATA, which counts what it allocates), for which no right is needed, as there is for control groups.
Needs Linux. What the browser adds is in ``benchmarks.panel_latency``.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nbformat
from jupyter_client.manager import KernelManager

from benchmarks.classroom import memory
from benchmarks.rollover import Row, show, under

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
PICTURES = {"image/svg+xml", "image/png", "application/vnd.jupyter.widget-view+json"}
BUDGET = 2 * 10**9  # bytes
GOAL = 10  # seconds
LONGEST = 120  # seconds for a cell


class Wait(NamedTuple):
    """What one learner waited for; seconds, and MiB."""

    kernel: float
    picture: float
    peak: float


def limit() -> None:
    """Keep this process, and those that it starts, to one CPU and to the budget of memory."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    resource.setrlimit(resource.RLIMIT_DATA, (BUDGET, BUDGET))


def is_picture(message: dict) -> bool:
    return not PICTURES.isdisjoint(message["content"].get("data", {}))


def wait_for(path: Path) -> Wait | None:
    """Run the cells of a notebook until there is a picture; None if there is none."""
    notebook = nbformat.read(path, 4)
    seen: list[float] = []
    with tempfile.TemporaryDirectory() as home:
        own = os.environ | {"HOME": home, "IPYTHONDIR": f"{home}/ipython", "MPLCONFIGDIR": f"{home}/matplotlib"}
        kernel = KernelManager(kernel_name="python3")
        start = time.perf_counter()
        kernel.start_kernel(env=own, cwd=str(path.parent), stderr=subprocess.DEVNULL)
        client = kernel.client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=LONGEST)
            ready = time.perf_counter()

            def look(message: dict) -> None:
                if is_picture(message):
                    seen.append(time.perf_counter())

            for cell in notebook.cells:
                if cell.cell_type == "code" and not seen:
                    answer = client.execute_interactive(cell.source, output_hook=look, timeout=LONGEST)
                    assert answer["content"]["status"] == "ok", answer["content"]
            peak = memory(kernel.provisioner.pid, "status")["VmHWM"]
        finally:
            client.stop_channels()
            kernel.shutdown_kernel(now=True)
    return Wait(ready - start, seen[0] - ready, peak) if seen else None


def rows(paths: list[Path]) -> Iterator[Row]:
    """Yield what was measured for each notebook."""
    for path in paths:
        wait = wait_for(path)
        if wait is None:
            yield Row(f"{path.name}: no picture", "")
            continue
        yield under(f"{path.name}: first cell to first picture", wait.picture, GOAL)
        yield Row("... before it, starting the kernel", f"{wait.kernel:.2f} s")
        yield Row("... peak memory of the kernel", f"{wait.peak:.0f} MiB")


def main() -> None:
    limit()
    show(rows([Path(name) for name in sys.argv[1:]] or sorted(NOTEBOOKS.glob("0[123]*.ipynb"))))


if __name__ == "__main__":
    main()
