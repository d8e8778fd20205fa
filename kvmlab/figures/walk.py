"""Draw one stage-2 walk: an address cut into indices, and the arithmetic that finds each descriptor."""

from __future__ import annotations

from matplotlib import style

from kvmlab.engine import Machine
from kvmlab.engine.hardware.cpu import VTTBR_VMID_SHIFT
from kvmlab.engine.hardware.syndrome import encode_hpfar
from kvmlab.engine.hardware.walker import Step
from kvmlab.figures.canvas import MONO_LETTER, Canvas
from kvmlab.figures.marks import leaf_box
from kvmlab.figures.style import Look, Slide, new_figure
from kvmlab.figures.walk_data import IPA, LEVELS, WORD, WalkData, in_words, walk_data, why_not
from kvmlab.scenes.pgd import KIND_WORDS
from kvmlab.session import Session


@style.context("default")
def walk(
    theme: str = "light",
    size: str = "slide",
    *,
    ipa: int = IPA,
    access: str = "read",
    run: Session | Machine | None = None,
    vm: int = 0,
) -> Slide:
    """Show a stage-2 walk of one IPA, with the arithmetic from each index to the address of its descriptor.

    Source:
        The walk of the engine (`kvmlab.engine.hardware.walker.walk`) through the tables of a run; the cut 10, 9, 9, 12
        is that of VTCR as Linux 3.9 sets it (arch/arm/kvm/init.S; ARM DDI 0406C, B3.6).

    Args:
        theme: "light" or "dark".
        size: "slide" or "column".
        ipa: 0 to 2**40 - 1; where nothing is mapped, the walk breaks off.
        access: "read", "write" or "fetch"; a page that forbids it gives a permission fault.
        run: whose tables; if not given, a guest that wrote two pages, read one, and has a device.
        vm: number of the VM.

    Raises:
        InputError: an argument is out of range, or there is no such theme, size or VM.
    """
    look, data = Look(theme, size), walk_data(ipa, access=access, run=run, vm=vm)
    found = data.found
    if found.fault:
        title = f"IPA {ipa:#x}: {found.fault} fault at level {found.level}"
        why = why_not(data)
    else:
        reads = len(found.steps)
        title = f"{reads} reads take {ipa:#x} to {found.pa:#x}"
        why = (
            "A descriptor is 8 bytes, so each index times 8, added to the base of its table, is an address to read; "
            "what stands there is the base for the next level."
        )
    figure = new_figure(
        look,
        title=title,
        why=why,
        alt=in_words(data),
        source=f"Linux 3.9, VM {vm}, {access} of IPA {ipa:#x}, walked by the engine",
        height=(COLUMN_TOP + COLUMN_ROW * (len(found.steps) + 1) + 6) / 72,
    )
    (_on_slide if look.measure.headed else _in_column)(Canvas(figure, look), data)
    return figure


def _bits(canvas: Canvas, data: WalkData, lefts: tuple[float, ...], cell: float, y: float, high: float) -> None:
    """Draw the bits of the address, part by part, with their numbers above."""
    small = canvas.look.measure.small
    for place, ((name, top, low), x) in enumerate(zip(data.cuts, lefts, strict=True)):
        wide, used = cell * (top - low + 1), data.reaches(place)
        canvas.words(x, y - 0.35 * small, f"{top}", size=small, colour="ink3", down="baseline")
        canvas.words(x + wide, y - 0.35 * small, f"{low}", size=small, colour="ink3", across="right", down="baseline")
        canvas.words(
            x + wide / 2, y - 0.35 * small, name, size=small, bold=True, across="center", down="baseline",
        )  # fmt: skip
        for bit in range(top, low - 1, -1):
            at, set_ = x + cell * (top - bit), data.ipa >> bit & 1
            canvas.box(at, y, cell, high, fill="guest-t" if set_ else "none", edge="line2", width=0.8)
            ink = "ink" if used else "ink3"
            canvas.words(
                at + cell / 2, y + high / 2, f"{set_}", size=small, mono=True, bold=bool(set_), across="center",
                colour=ink,
            )  # fmt: skip


LEFTS, CELL = (1.0, 232.0, 443.0, 660.0), 17.9
CELLS_Y, CELLS_HIGH, INDEX_Y, ROOT_Y, CARD_Y = 22.0, 28.0, 72.0, 117.0, 134.0
LINE, BOX = 33.0, 44.0
BOX_Y = CARD_Y + 4 * LINE + 8
COLUMN_TOP, COLUMN_ROW, COLUMN_BOX = 46.0, 22.0, 16.0


def _on_slide(canvas: Canvas, data: WalkData) -> None:
    size, found = canvas.look.measure, data.found
    _bits(canvas, data, LEFTS, CELL, CELLS_Y, CELLS_HIGH)
    widths = [CELL * (top - low + 1) for _, top, low in data.cuts]
    for place, ((_, top, low), x, wide) in enumerate(zip(data.cuts, LEFTS, widths, strict=True)):
        value = data.value(top, low)
        said = f"= {value}" if place < len(LEVELS) else f"= {value:#x}"
        hue = "guest" if data.reaches(place) else "ink3"
        canvas.words(x, INDEX_Y, said, size=size.text + 3, bold=True, mono=True, colour=hue)
        canvas.words(x + wide, INDEX_Y, f"of {1 << top - low + 1}", size=size.small, across="right", colour="ink3")
    root = f"VTTBR {data.vttbr:#018x} = VMID {data.vttbr >> VTTBR_VMID_SHIFT}, root {data.root:#x}"
    if not data.vttbr:
        root = f"root {data.root:#x}; the guest has not run yet, VTTBR is 0"
    canvas.words(LEFTS[0], ROOT_Y, root, size=size.small, mono=True, colour="ink2")
    for step, x, wide in zip(found.steps, LEFTS, widths, strict=False):
        _card(canvas, data, step, x, wide)
    last = len(found.steps) - 1
    right = LEFTS[last] + widths[last]
    if found.fault:
        _fault(canvas, data, LEFTS[last], right)
        return
    _joined(canvas, right, LEFTS[3])
    x, wide = LEFTS[3], widths[3]
    _sum(canvas, x, wide, (data.says(found.steps[-1]), f"{data.page:#x}"), ("+ offset", f"{data.offset:#x}"))
    ink, said = _goal(canvas, data, (x, BOX_Y, wide, BOX)), f"PA {found.pa:#x}"
    canvas.words(x + 10, BOX_Y + BOX / 2, said, size=size.text, bold=True, mono=True, colour=ink)


def _sum(canvas: Canvas, x: float, wide: float, *lines: tuple[str, str]) -> None:
    """Write a sum, line under line, with a rule under its parts."""
    small = canvas.look.measure.small
    for number, (label, value) in enumerate(lines):
        y = CARD_Y + LINE * (number + 0.5)
        canvas.words(x + 6, y, label, size=small, colour="ink2")
        canvas.words(x + wide - 6, y, value, size=small, mono=True, across="right")
    bottom = CARD_Y + LINE * len(lines)
    canvas.line(((x, bottom), (x + wide, bottom)), colour="line2", width=1.4)


def _card(canvas: Canvas, data: WalkData, step: Step, x: float, wide: float) -> None:
    """Draw how the address of a descriptor comes about, and the descriptor under it."""
    small, kind = canvas.look.measure.small, data.kind(step)
    _sum(canvas, x, wide, ("base", f"{data.base(step):#x}"), (f"+ {WORD} × {step.index}", f"{WORD * step.index:#x}"))
    address, holds = CARD_Y + 2.6 * LINE, CARD_Y + 3.65 * LINE
    canvas.words(x + 6, address, "address", size=small, colour="ink2")
    canvas.words(x + wide - 6, address, f"{step.entry:#x}", size=small, mono=True, bold=True, across="right")
    canvas.words(x + 6, holds, "holds", size=small, colour="ink2")
    said = f"{data.says(step)} {KIND_WORDS[kind]}" if kind in ("rw", "ro", "dev") else data.says(step)
    canvas.words(x + wide - 6, holds, said, size=small, bold=True, across="right")
    _descriptor(canvas, step, kind, (x, BOX_Y, wide, BOX), canvas.look.measure.text)
    if step != data.found.steps[-1]:
        _joined(canvas, x + wide, LEFTS[step.level])


def _descriptor(
    canvas: Canvas, step: Step, kind: str, place: tuple[float, float, float, float], letters: float
) -> None:
    """Draw a descriptor with the ring of what the walker reads."""
    x, y, wide, high = place
    ink, empty = "ink", kind == "inv"
    if kind == "table":
        canvas.box(x, y, wide, high, fill="kern-t", edge="kern")
    elif not empty:
        ink = leaf_box(canvas, kind, x, y, wide, high)
    canvas.box(x, y, wide, high, edge="hw", width=2.4, dashed=empty, cut=high / 3 if kind == "dev" else 0)
    said, pad = f"{step.descriptor:#x}", canvas.look.line(10)
    if canvas.width_of(said, size=letters, mono=True) > wide - 2 * pad:
        letters = canvas.look.measure.small
    canvas.words(x + pad, y + high / 2, said, size=letters, bold=True, mono=True, colour=ink)


def _goal(canvas: Canvas, data: WalkData, place: tuple[float, float, float, float]) -> str:
    """Draw where the walk has led to, and return the token of the words on it."""
    kind, high = data.kind(data.found.steps[-1]), place[3]
    ink = leaf_box(canvas, kind, *place)
    canvas.box(*place, edge="now", width=3, cut=high / 3 if kind == "dev" else 0)
    return ink


def _joined(canvas: Canvas, x: float, end: float) -> None:
    """Draw the thick path from a descriptor up to the base of the next column."""
    middle, y, top = (x + end) / 2, BOX_Y + BOX / 2, CARD_Y + LINE / 2
    canvas.line(((x, y), (middle, y), (middle, top), (end - 8, top)), colour="hw", width=2.4)
    canvas.arrow((end - 9, top), (end, top), colour="hw", width=2.4)


def _fault(canvas: Canvas, data: WalkData, x: float, right: float) -> None:
    """Draw where the walk breaks off, and what the CPU tells KVM."""
    size, y = canvas.look.measure, BOX_Y + BOX / 2
    canvas.line(((right, y), (right + 18, y)), colour="hw", width=2.4)
    canvas.cross(right + 25, y, 7)
    said, told = f"{data.found.fault} fault, level {data.found.level}", f"HPFAR {encode_hpfar(data.ipa):#x}"
    wide = canvas.width_of(said, size=size.text) + 24
    whole = wide + 20 + canvas.width_of(told, size=size.small, mono=True)
    left, top, high = min(x + 5, canvas.width - whole), BOX_Y + BOX + 14, 32
    canvas.teeth(left, top, wide, high)
    canvas.words(left + wide / 2, top + high / 2, said, size=size.text, bold=True, across="center", colour="on-now")
    canvas.words(left + wide + 16, top + high / 2, told, size=size.small, mono=True)


def _in_column(canvas: Canvas, data: WalkData) -> None:
    small, found, high = canvas.look.measure.small, data.found, COLUMN_BOX
    cell, gap = 5.55, 6.3
    lefts, x = [], 0.8
    for _, top, low in data.cuts:
        lefts.append(x)
        x += cell * (top - low + 1) + gap
    _bits(canvas, data, tuple(lefts), cell, 11, 12)
    for place, ((_, top, low), left) in enumerate(zip(data.cuts, lefts, strict=True)):
        value = data.value(top, low)
        said = f"= {value}" if place < len(LEVELS) else f"= {value:#x}"
        hue = "guest" if data.reaches(place) else "ink3"
        canvas.words(left, 32, said, size=canvas.look.measure.text, bold=True, mono=True, colour=hue)
    wide = 15 * MONO_LETTER * small + 14
    left, y = canvas.width - wide - 1, COLUMN_TOP + high / 2
    for step in found.steps:
        said = f"{data.base(step):#x} + {WORD} × {step.index}"
        if canvas.width_of(full := f"{said} = {step.entry:#x}", size=small, mono=True) < left - 20:
            said = full
        canvas.words(1, y, f"{step.level}", size=small, bold=True)
        canvas.words(12, y, said, size=small, mono=True)
        canvas.arrow((canvas.width_of(said, size=small, mono=True) + 15, y), (left, y), colour="hw", width=2.4)
        _descriptor(canvas, step, data.kind(step), (left, y - high / 2, wide, high), small)
        y += COLUMN_ROW
    if found.fault:
        said = f"{found.fault} fault, level {found.level}"
        wide = canvas.width_of(said) + 12
        left = canvas.width - wide - 4
        canvas.cross(left - 12, y, 4)
        canvas.teeth(left, y - high / 2, wide, high)
        canvas.words(left + wide / 2, y, said, bold=True, across="center", colour="on-now")
        return
    canvas.words(1, y, f"{data.page:#x} + {data.offset:#x}", size=small, mono=True)
    canvas.words(left - 6, y, "PA =", size=small, bold=True, across="right")
    ink = _goal(canvas, data, (left, y - high / 2, wide, high))
    canvas.words(left + canvas.look.line(10), y, f"{found.pa:#x}", size=small, bold=True, mono=True, colour=ink)
