"""Measure the engine: ``python benchmarks/engine.py``. Medians of interleaved repeats; compare ratios, not seconds."""

import importlib.util
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from kvmlab.engine import Config, Machine
from kvmlab.engine.hardware.walker import walk
from kvmlab.engine.kernel.cache import mmu_topup_memory_cache
from kvmlab.engine.kernel.tables import stage2_set_pte
from kvmlab.formats.conform import conform

ROOT = Path(__file__).resolve().parent.parent
REPEATS = 5
IMPORT = """
import sys, time
start = time.perf_counter()
import kvmlab, kvmlab.engine
print((time.perf_counter() - start) * 1e3)
print(sum(name.split(".")[0] == "kvmlab" for name in sys.modules), len(sys.modules))
print(*sorted({name.split(".")[0] for name in sys.modules} & {"numpy", "matplotlib", "ipywidgets", "graphviz"}))
"""


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def map_pages(machine: Machine, pages: int) -> None:
    kvm = machine.kvm(0)
    cache, allocator = kvm.vcpus[0].mmu_page_cache, machine.linux.pages
    for ipa in range(0, pages << 12, 4096):
        if cache.nobjs < 2:
            mmu_topup_memory_cache(cache, allocator, 2, 40)
        stage2_set_pte(kvm, cache, ipa, 0xA000_0000 + ipa | 0x7FF, False)


def machine_with_vm(*, recording: bool) -> Machine:
    machine = Machine(Config(recording=recording))
    machine.create_vm()
    return machine


def row(what: str, value: str, goal: str = "") -> None:
    print(f"| {what} | {value} | {goal} |")


def main() -> None:
    print("| measure | value | goal |\n|---|---|---|")
    traces = sorted((ROOT / "tests/golden").glob("*/*.jsonl"))
    conform(traces)
    seconds = statistics.median(timed(lambda: conform(traces)) for _ in range(REPEATS))
    report = conform(traces)
    done = report.operations + report.events
    row("conform", f"{done / seconds:,.0f} operations and events per second ({seconds:.2f} s)")

    plain, recorded, back, forward, per_write = [], [], [], [], 0.0
    for _ in range(REPEATS):
        quiet, loud = machine_with_vm(recording=False), machine_with_vm(recording=True)
        plain.append(timed(lambda m=quiet: map_pages(m, 1 << 14)))
        start = len(loud.stream)
        recorded.append(timed(lambda m=loud: map_pages(m, 1 << 14)))
        end = len(loud.stream)
        back.append(timed(lambda m=loud, to=start: m.seek(to)))
        forward.append(timed(lambda m=loud, to=end: m.seek(to)))
        per_write = loud.stream.nbytes / sum(1 for _ in loud.stream.writes())
    ratio = statistics.median(r / p for r, p in zip(recorded, plain, strict=True))
    row("recorded stage2_set_pte / unrecorded", f"{ratio:.2f}", "at most 3")
    row(
        "step back / step forward",
        f"{statistics.median(b / f for b, f in zip(back, forward, strict=True)):.2f}",
        "at most 1",
    )
    row("bytes per recorded write", f"{per_write:.0f}", "at most 64")

    gib4 = []
    for _ in range(REPEATS):
        machine = machine_with_vm(recording=False)
        gib4.append(timed(lambda m=machine: map_pages(m, 1 << 20)))
    tables = machine.linux.pages.nr_live * 4096
    tracemalloc.start()
    map_pages(machine_with_vm(recording=False), 1 << 17)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    row("4 GiB mapped page by page, unrecorded", f"{statistics.median(gib4):.2f} s", "under 2 s")
    row("... its table frames", f"{tables / 1e6:.1f} MB", "8.4 MB (2054 frames)")
    row("... peak memory for 512 MiB", f"{peak / 1e6:.1f} MB")

    memory, root = machine.linux.memory, machine.kvm(0).pgd
    walks = statistics.median(
        timed(lambda: [walk(memory, root, i * 0x67000 & 0xFFFF_FFFF) for i in range(10_000)]) for _ in range(REPEATS)
    )
    row("10,000 walks", f"{walks:.3f} s", "under 0.15 s")

    runs = [
        subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True, cwd=ROOT).stdout
        for _ in range(REPEATS)
    ]
    heavy = runs[0].splitlines()[2:] or ["none"]
    row(
        "import kvmlab, kvmlab.engine", f"{statistics.median(float(r.split()[0]) for r in runs):.0f} ms", "under 150 ms"
    )
    row("... heavy modules it pulls in", heavy[0] or "none", "none")
    assert importlib.util.find_spec("kvmlab")

    lines = {path: len(path.read_text().splitlines()) for path in sorted((ROOT / "kvmlab/engine").rglob("*.py"))}
    long = [(count, path.name) for path, count in lines.items()]
    row(
        "engine",
        f"{sum(lines.values())} lines in {len(lines)} files; longest {max(long)[1]}, {max(long)[0]}",
        "60 to 250 a file",
    )


if __name__ == "__main__":
    main()
