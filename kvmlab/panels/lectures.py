"""Three lectures: who does what in which minute, and the pages that a teacher opens, ready-made from runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from kvmlab.engine.kernel.tables import unmap_stage2_range
from kvmlab.files import directory, write
from kvmlab.panels.export import export
from kvmlab.panels.starts import RAM, grown_tables, one_guest
from kvmlab.scenes.peer import peer_questions
from kvmlab.scenes.stories import story
from kvmlab.scenes.table import Table
from kvmlab.session import Session

BIT, NEXT_REGION = 4, 0x20_0000
"""Width of a VMID in class, and how far the next region of 2 MiB is."""


class Page(NamedTuple):
    """A run to be shown.

    Attributes:
        title: what it shows.
        panel: which panel's picture.
        run: makes the session.
        command: number of the command at which to begin, from 0.
    """

    title: str
    panel: str
    run: Callable[[], Session]
    command: int = 0


class Part(NamedTuple):
    """Some minutes of a lecture.

    Attributes:
        minutes: how long.
        what: what happens.
        page: name of the page to open, or "".
        question: name of the question to ask, or "".
    """

    minutes: int
    what: str
    page: str = ""
    question: str = ""


@dataclass(frozen=True)
class Lecture:
    """A lecture of 50 minutes.

    Args:
        title: what it is about.
        due: what learners do before it.
        parts: in order.
        home: which notebooks they do after it.
    """

    title: str
    due: str
    parts: tuple[Part, ...]
    home: str


def _stores(*ipas: int, **config: int | str) -> Session:
    run = one_guest(**config)
    for number, ipa in enumerate(ipas):
        run.do("access", vm=0, ipa=ipa, access="write", value=number + 1)
    return run


def _read_then_write() -> Session:
    run = one_guest()
    for access in ("read", "write"):
        run.do("access", vm=0, ipa=RAM.ipa, access=access, value=7 if access == "write" else 0)
    return run


def _stale() -> Session:
    """Clear a leaf by the one function of the kernel that does not flush, and read again."""
    run = _stores(RAM.ipa, ncpus=1, tlb_sets=4, tlb_ways=2)
    unmap_stage2_range(run.machine.kvm(0), RAM.ipa, 0x1000)
    run.do("access", vm=0, ipa=RAM.ipa)
    return run


def _rollover() -> Session:
    """Let as many guests enter as there are numbers of `BIT` bits, and then one more."""
    run = one_guest(vmid_bits=BIT)
    run.do("access", vm=0, ipa=RAM.ipa, access="write", value=1)
    for guest in range(1, 1 << BIT):
        run.do("create_vm", slots=[RAM])
        run.do("enter", vm=guest, cpu=guest % 2)
    return run


def _ladder() -> Session:
    run = _stores(RAM.ipa, RAM.ipa + NEXT_REGION)
    run.do("swap_out", vm=0, hva=RAM.hva)
    return run


def _swap_out() -> Session:
    run = _stores(RAM.ipa)
    run.do("swap_out", vm=0, hva=RAM.hva)
    run.do("access", vm=0, ipa=RAM.ipa)
    return run


def _race(touched: int, host: str, at: str, steps: int | None = None, retry: str = "both") -> Session:
    """Let the guest fault at its first page while the host takes the page at `touched` bytes."""
    run = one_guest(retry=retry)
    run.do("access", vm=0, ipa=RAM.ipa + touched)
    guest = {"ipa": RAM.ipa, "access": "write", "value": 5}
    run.do("race", vm=0, guest=guest, host=host, args={"hva": RAM.hva + touched}, at=at, steps=steps)
    return run


PAGES: dict[str, Page] = {
    "first-store": Page("The first store of a guest", "fault", lambda: _stores(RAM.ipa), 1),
    "next-page": Page("The page beside it", "fault", lambda: _stores(RAM.ipa, RAM.ipa + 0x1000), 2),
    "read-then-write": Page("Read first, then write", "fault", _read_then_write, 2),
    "tables": Page("Tables that have grown", "tables", grown_tables),
    "stale": Page("A leaf is cleared, no TLB is told", "tlb", _stale, 1),
    "rollover": Page("The numbers run out", "vmids", _rollover, 2 << BIT),
    "ladder": Page("The last page of a region goes", "tables", _ladder, 3),
    "cache": Page("40 frames before the lock", "cache", lambda: _stores(RAM.ipa, RAM.ipa + NEXT_REGION), 1),
    "swap-out": Page("The host takes a page back", "notifiers", _swap_out, 2),
    "other-page": Page("Another page moves under a fault", "notifiers", lambda: _race(0x1000, "swap_out",
                       "before the lock"), 2),
    "range": Page("A range is open", "notifiers", lambda: _race(0x1000, "discard", "before the sample", 2), 2),
    "no-retry": Page("Without the retry test", "notifiers", lambda: _race(0, "swap_out", "before the lock",
                     retry="none"), 2),
}  # fmt: skip
"""What a teacher opens, by the name of the file."""

ASK = "question: alone 1 minute, vote, with a neighbour 2, vote, then the run decides"
LECTURES: dict[int, Lecture] = {
    1: Lecture(
        "From a store to a page",
        "practice “gfn”",
        (
            Part(4, "two lines of a log, kvm_guest_fault and kvm_userspace_exit: what happened between? Collect "
                    "guesses, answer none"),
            Part(6, "three houses, four addresses (the map of notebook 00); the class names one arrow after the other"),
            Part(6, ASK, question="P1"),
            Part(8, "worked example, whole and without questions: the first store, step by step, with the six labels",
                 "first-store"),
            Part(6, ASK, "next-page", "P2"),
            Part(8, "HPFAR and HSR: one decoded together, one in pairs (practice “fault-address”, “syndrome”)"),
            Part(6, ASK, "read-then-write", "P3"),
            Part(4, "the loop of notebook 01, drawn by the class from memory, then shown", "tables"),
            Part(2, "one line on paper: what is still unclear?"),
        ),
        "notebooks 01 and 03",
    ),
    2: Lecture(
        "Tags, tables, promises",
        "the first prediction of notebook 02, with a reason",
        (
            Part(4, "three from before (practice “fault-address”, “return-value”, “leaf”)"),
            Part(6, "the TLB: a store, a miss, an entry; then say what will be cleared, and stop before it", "stale"),
            Part(6, ASK, "stale", "P4"),
            Part(5, "VMID as tag, counter, generation: worked example with 4 bits", "rollover"),
            Part(6, ASK, "rollover", "P5"),
            Part(4, "how often: `kvmlab figures --only flush-frequency`. Linux 3.9 and 5.18 flush at the same rate, at "
                    "another cost; no microseconds of a rollover have been published, say so"),
            Part(4, "the ladder of tables, and the badge: 1 + live entries", "tables"),
            Part(6, ASK, "ladder", "P6"),
            Part(6, "own attempt first, in pairs, 3 minutes: “you hold a spinlock and need a table: what now?” Then "
                    "the tray of 40", "cache"),
            Part(3, "the three pictures side by side; one line: what is still unclear?"),
        ),
        "notebooks 02 and 04",
    ),
    3: Lecture(
        "The host takes pages back",
        "the first prediction of notebook 05, with a reason",
        (
            Part(4, "three from before (practice “vmid”, “page-count”, “top-up”)"),
            Part(5, "the host may take any page; who tells whom: worked example", "swap-out"),
            Part(6, ASK, "other-page", "P7"),
            Part(6, "sequence and count: worked example with one range, up to the sample", "range"),
            Part(6, ASK, "range", "P8"),
            Part(9, "hunt: the retry test is off. Pairs look for a bad schedule, 4 minutes; two pairs show theirs; "
                    "then the run", "no-retry"),
            Part(6, ASK, question="P9"),
            Part(4, "ten years in five fixes: the flush per page, page counts of the root, break-before-make, the "
                    "order of stores, the allocator of 5.18 (notebook 09 has the commits)"),
            Part(3, "how to read the real file: the table of notebook 09"),
            Part(1, "one line: what is still unclear?"),
        ),
        "notebooks 05, 07 and 09; 08 for those who present",
    ),
}  # fmt: skip


def timetable(lecture: int) -> Table:
    """Return what happens in which minute.

    Args:
        lecture: 1 to 3.
    """
    rows, start = [], 0
    for part in LECTURES[lecture].parts:
        end = start + part.minutes
        rows.append((f"{start}–{end}", f"{part.question} {part.what}".strip(), part.page and f"{part.page}.html"))
        start = end
    return Table(("minutes", "what", "page"), tuple(rows))


def write_lectures(out: str | PathLike[str]) -> Iterator[Path]:
    """Write the pages of all lectures, and an index with timetables and questions; each file when it is asked for.

    Args:
        out: the directory; made if it does not exist. Files of the same names are replaced.

    Raises:
        InputError: nothing can be written there.
    """
    folder, first = directory(out), dict[str, int]()
    for name, page in PAGES.items():
        run = page.run()
        scene = story(page.panel, run.machine).read(run.machine.stream)
        steps = (number for number, step in enumerate(scene.steps, 1) if step.command >= page.command)
        first[name] = next(steps, 1)
        yield export(scene, folder / f"{name}.html")
    yield write(folder / "index.html", _index(first).encode())


def _index(first: dict[str, int]) -> str:
    """Return the page from which a teacher goes through the lectures."""
    body = "".join(_told(number, lecture, first) for number, lecture in LECTURES.items())
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>kvmlab: three lectures</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 400 18px/1.45 system-ui, sans-serif; max-width: 60em; margin: auto; padding: 1em; }}
td, th {{ text-align: left; vertical-align: top; padding: .2em .8em .2em 0; }}
td:first-child {{ white-space: nowrap; }}
</style>
</head>
<body>
<main>
<h1>Three lectures on how a guest gets its memory</h1>
<p>Every page plays from disk, without kernel and network: → and ← step, ? lists the keys.</p>
{body}
</main>
</body>
</html>
"""


def _told(number: int, lecture: Lecture, first: dict[str, int]) -> str:
    rows, start = "", 0
    for part in lecture.parts:
        end = start + part.minutes
        page = part.page and f'<a href="{part.page}.html#step-{first[part.page]}">{escape(PAGES[part.page].title)}</a>'
        what = f"<b>{part.question}</b> " * bool(part.question) + escape(part.what)
        rows += f"<tr><td>{start}–{end}</td><td>{what}</td><td>{page}</td></tr>\n"
        start = end
    return (
        f"<h2>Lecture {number}: {escape(lecture.title)}</h2>\n<p>Due before it: {escape(lecture.due)}.</p>\n"
        f"<table><thead><tr><th>minutes</th><th>what</th><th>open</th></tr></thead>\n<tbody>{rows}</tbody></table>\n"
        f"{peer_questions(number)._repr_html_()}\n<p>At home: {escape(lecture.home)}.</p>\n"
    )
