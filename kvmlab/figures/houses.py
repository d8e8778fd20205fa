"""Draw the map of the machine: who lives where, and which address is said at which door."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib import style

from kvmlab.engine import Machine, Slot
from kvmlab.figures.canvas import Canvas
from kvmlab.figures.style import Look, Slide, new_figure

ROOMS = {
    "guest": ("guest", ("its program", "its kernel", "stage-1 tables")),
    "hw": ("hardware", ("CPU", "TLB", "walker")),
    "kern": ("kernel: KVM", ("memory slots", "stage-2 tables", "VMIDs")),
    "host": ("host", ("QEMU's memory", "page tables", "free frames")),
}
"""Who lives where, by the token of its colour: name and rooms."""


@dataclass(frozen=True)
class Addresses:
    """One store, by its four addresses.

    Args:
        va: what the guest's program uses.
        ipa: what stage 1 makes of it.
        hva: where the slot says it lies in the host process.
        pa: where it is in RAM.
    """

    va: int
    ipa: int
    hva: int
    pa: int


def four_addresses() -> Addresses:
    """Return the addresses of the first store of a guest, read off the events of a run."""
    machine = Machine()
    vm = machine.create_vm([Slot(ipa=0x8000_0000, size=16 << 20, hva=0x4000_0000)])
    machine.access(vm, 0x8000_0000, "write", value=42)
    events = {event.name: event.args for event in machine.stream}
    return Addresses(
        events["kvm_guest_fault"]["hxfar"],
        events["kvm_guest_fault"]["ipa"],
        events["slot/found"]["hva"],
        events["ram/stored"]["pa"],
    )


@style.context("default")
def machine_map(theme: str = "light", size: str = "slide") -> Slide:
    """Show the guest, the three houses it depends on, and which of the four addresses is said at which door.

    Source:
        A guest's first store, run by the engine with stage 1 off; addresses are those of its events.

    Args:
        theme: "light" or "dark".
        size: "slide" or "column".

    Raises:
        InputError: there is no such theme or size.
    """
    look, found = Look(theme, size), four_addresses()
    doors = _doors(found)
    figure = new_figure(
        look,
        title="A guest, three houses, four addresses",
        why=(
            "The guest speaks in VA and IPA, the host process in HVA, RAM in PA. KVM knows which belong together, and "
            "writes it down where the hardware reads it: in stage-2 tables."
        ),
        alt="A map. "
        + " ".join(f"{name}: {', '.join(rooms)}." for name, rooms in ROOMS.values())
        + " One store: "
        + " ".join(f"{number}. {door.alt}" for number, door in enumerate(doors, 1)),
        source="Linux 3.9 on ARM; the first store of a guest, run by the engine, stage 1 off, so VA and IPA are equal",
        height=COLUMN / 72,
    )
    canvas = Canvas(figure, look)
    (_on_slide if look.measure.headed else _in_column)(canvas, doors)
    return figure


@dataclass(frozen=True)
class Door:
    """What is said from one house to the next.

    Args:
        kind: of address.
        value: the address.
        says: in words, short.
        alt: the same as a sentence.
    """

    kind: str
    value: int
    says: str
    alt: str


def _doors(found: Addresses) -> tuple[Door, ...]:
    return (
        Door("VA", found.va, "store here", f"The guest's program stores to VA {found.va:#x}."),
        Door("IPA", found.ipa, "no entry: fault", f"No stage-2 entry for IPA {found.ipa:#x}: a fault goes to KVM."),
        Door("HVA", found.hva, "which page?", f"KVM asks the host for the page at HVA {found.hva:#x}."),
        Door("PA", found.pa, "this frame", f"The host answers with the frame at PA {found.pa:#x}."),
        Door("PA", found.pa, "new entry", f"KVM writes PA {found.pa:#x} into a stage-2 entry."),
        Door("PA", found.pa, "store again", f"The guest stores again, and the walk ends at PA {found.pa:#x} in RAM."),
    )


WAYS = (("guest", "hw"), ("hw", "kern"), ("kern", "host"), ("host", "kern"), ("kern", "hw"), ("hw", "ram"))
"""From whom to whom each door leads."""
HOUSES = ("guest", "hw", "kern", "host")


def _on_slide(canvas: Canvas, doors: tuple[Door, ...]) -> None:
    wide, top, high, roof = 133.0, 44.0, 172.0, 34.0
    gap = (canvas.width - 4 * wide - 4) / 3
    left = {name: 2 + number * (wide + gap) for number, name in enumerate(HOUSES)}
    for name, x in left.items():
        _house(canvas, name, x, top, wide, high, roof)
    small = canvas.look.measure.small
    below = canvas.height - 46
    canvas.box(left["hw"], below, wide, 44, fill="band", edge="hw", width=2)
    canvas.words(left["hw"] + wide / 2, below + 22, "RAM", bold=True, across="center", colour="hw")
    for number, (door, (start, end)) in enumerate(zip(doors, WAYS, strict=True), 1):
        if end == "ram":
            x = left["hw"] + wide / 2
            canvas.arrow((x, top + high), (x, below), width=2.6, colour="host")
            _said(canvas, x + 12, (top + high + below) / 2, number, door, small, "left")
            continue
        forth = left[start] < left[end]
        a, b = (start, end) if forth else (end, start)
        x1, x2 = left[a] + wide, left[b]
        y = top + high * (0.3 if forth else 0.8)
        ends = ((x1, y), (x2, y)) if forth else ((x2, y), (x1, y))
        canvas.arrow(*ends, width=2.6, colour=COLOURS[door.kind])
        _said(canvas, (x1 + x2) / 2, y, number, door, small, "center")


COLOURS = {"VA": "guest", "IPA": "hw", "HVA": "kern", "PA": "host"}
"""The colour of an address: of the house that says it."""


def _said(canvas: Canvas, x: float, y: float, number: int, door: Door, small: float, across: str) -> None:
    """Write what is said at a door: number and kind above the arrow, address and words below it."""
    y += 0.0 if across == "center" else -0.3 * small
    canvas.words(x, y - 1.2 * small, f"{number}  {door.kind}", size=small + 3, bold=True, across=across,
                 colour=COLOURS[door.kind])  # fmt: skip
    lift = 0.0 if across == "center" else 0.8 * small
    canvas.words(x, y + small - lift, f"{door.value:#x}", size=small, mono=True, across=across)
    canvas.words(x, y + 2.4 * small - lift, door.says, size=small, colour="ink2", across=across)


def _house(canvas: Canvas, name: str, x: float, y: float, wide: float, high: float, roof: float) -> None:
    """Draw a house with its rooms; the guest, who owns nothing here, has no roof."""
    said, rooms = ROOMS[name]
    small = canvas.look.measure.small
    canvas.box(x, y, wide, high, fill=f"{name}-t", edge=name, width=2, dashed=name == "guest")
    if name != "guest":
        canvas.line(((x, y), (x + wide / 2, y - roof), (x + wide, y)), colour=name, width=3)
    canvas.words(x + wide / 2, y + 1.3 * small, said, size=small + 3, bold=True, across="center", colour=name)
    for number, room in enumerate(rooms):
        canvas.words(x + wide / 2, y + high - (2.6 - number) * 1.9 * small + 4, room, size=small, across="center")


COLUMN = 190.0
"""Height of the figure for a column of a paper, points."""


def _in_column(canvas: Canvas, doors: tuple[Door, ...]) -> None:
    """Tell the same as a list of doors: a column has no room for houses side by side."""
    small = canvas.look.measure.small
    step = (canvas.height - 4) / len(doors)
    for number, (door, (start, end)) in enumerate(zip(doors, WAYS, strict=True)):
        y = 2 + (number + 0.5) * step
        names = [ROOMS[one][0].partition(":")[0] if one in ROOMS else "RAM" for one in (start, end)]
        canvas.words(2, y, f"{number + 1}", size=small, bold=True)
        canvas.words(14, y, f"{names[0]} → {names[1]}", size=small)
        canvas.words(104, y, door.kind, size=small, bold=True, colour=COLOURS[door.kind])
        canvas.words(126, y, f"{door.value:#x}", size=small, mono=True)
        canvas.words(178, y, door.says, size=small, colour="ink2")
