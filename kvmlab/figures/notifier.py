"""Draw the path of an MMU notifier: from a host that changes a page to the guest that notices."""

from __future__ import annotations

from matplotlib import style

from kvmlab.figures.canvas import Canvas
from kvmlab.figures.notifier_data import CAUSES, PathData, Row, path_data
from kvmlab.figures.style import Look, Slide, new_figure
from kvmlab.scenes.scene import Actor


@style.context("default")
def notifier_path(theme: str = "light", size: str = "slide", *, event: str = "swap_out") -> Slide:
    """Show a notifier's path from host to guest: the host changes a page, and KVM's entry and the TLB follow.

    Source:
        The events of one run of the engine (arch/arm/kvm/mmu.c and virt/kvm/kvm_main.c, Linux 3.9); the page that the
        host changes is one that the guest wrote before. The notifiers' names are without kvm_mmu_notifier_.

    Args:
        theme: "light" or "dark".
        size: "slide" or "column".
        event: what the host does: "swap_out", "discard", "protect", "ksm_merge" or "host_write".

    Raises:
        InputError: there is no such theme, size or event.
    """
    look, data = Look(theme, size), path_data(event)
    ends = "the guest's next read faults" if data.faults else "the guest reads without a fault"
    ranged = any("range" in row.title for row in data.rows)
    figure = new_figure(
        look,
        title=f"{CAUSES[event].does}: {ends}",
        why="The guest reaches the host's pages through KVM's stage-2 tables, so the host has to tell KVM of a change: "
        + (
            "while count is not 0 no fault may map, and a changed seq makes it retry."
            if ranged
            else "the entry and its copies in the TLBs go before the frame is used again."
        ),
        alt=_alt(data),
        source=f"Linux 3.9, host event {event}, one guest page, in the engine",
        sub=f"Linux 3.9, event {event}, in the engine · calls without their prefix kvm_mmu_notifier_",
        height=(COLUMN_HEAD + COLUMN_ROW * len(data.rows) + 10) / 72,
    )
    _draw(Canvas(figure, look), data)
    return figure


def _alt(data: PathData) -> str:
    who = {"host": "host", "kern": "KVM", "hw": "hardware", "guest": "guest"}
    steps = " ".join(f"{n}, {who[row.lane]}: {row.title}, {row.value}." for n, row in enumerate(data.rows, 1))
    return f"{steps} mmu_notifier_seq was {data.seq[0]} before and is {data.seq[1]} after."


LANES: dict[Actor, tuple[str, str]] = {
    "host": ("host", "host"), "kern": ("KVM", "KVM"), "hw": ("hardware", "HW"), "guest": ("guest", "guest"),
}  # fmt: skip
WIDTHS = {"host": 56.0, "kern": 56.0, "hw": 86.0, "guest": 62.0}
HEAD, TITLES, VALUES = 26.0, 278.0, 550.0
COLUMN_WIDTHS = {"host": 20.0, "kern": 21.0, "hw": 19.0, "guest": 25.0}
COLUMN_HEAD, COLUMN_ROW = 13.0, 20.0


def _draw(canvas: Canvas, data: PathData) -> None:
    full, small = canvas.look.measure.headed, canvas.look.measure.small
    widths = WIDTHS if full else COLUMN_WIDTHS
    head = HEAD if full else COLUMN_HEAD
    row = (canvas.height - head - 2) / len(data.rows) if full else COLUMN_ROW
    left, middles = 1.0, {}
    bottom = head + row * len(data.rows)
    for number, (lane, wide) in enumerate(widths.items()):
        middles[lane] = left + wide / 2
        if number % 2 == 0:
            canvas.box(left, 0, wide, bottom, fill="band", edge="none", above=0)
        said = LANES[lane][0 if full else 1]  # type: ignore[index]
        canvas.words(left + wide / 2, head / 2, said, size=small, bold=True, across="center", colour=lane)
        left += wide
    text = TITLES if full else left + 6
    split = head + row * data.again
    canvas.line(((1, split), (canvas.width, split)), colour="line2", width=1.2, dashed=True)
    spots = [(middles[r.lane], head + row * (number + 0.5)) for number, r in enumerate(data.rows)]
    canvas.line(spots, colour="ink", width=2)
    for number, (r, (x, y)) in enumerate(zip(data.rows, spots, strict=True), 1):
        canvas.disc(x, y, 0.78 * small, fill=r.lane, edge="paper", width=1.5)
        canvas.words(x, y, f"{number}", size=small, across="center", colour=f"on-{r.lane}")
        if full:
            _line(canvas, r, (text, y), (VALUES, y), row - 4)
        else:
            _line(canvas, r, (text, y - 4.7), (text, y + 4.7), 9.4)


def _line(canvas: Canvas, row: Row, title: tuple[float, float], value: tuple[float, float], high: float) -> None:
    """Write a step, with the mark of what it changes."""
    small = canvas.look.measure.small
    pad = small / 2
    if row.mark:
        x, y = value
        wide = canvas.width_of(row.value, size=small, mono=True) + 2 * pad
        if row.mark == "event":
            canvas.teeth(x - pad, y - high / 2, wide, high)
        else:
            canvas.box(x - pad, y - high / 2, wide, high, fill="kern-t", edge="now", width=3)
    ink = "on-now" if row.mark == "event" else "ink"
    canvas.words(*title, row.title, size=small, bold=True)
    canvas.words(*value, row.value, size=small, mono=True, colour=ink)
