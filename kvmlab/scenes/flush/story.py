"""Tell how often VMIDs run out, as a curve that is built up schedule by schedule and ends at one setting."""

from __future__ import annotations

from dataclasses import dataclass

from kvmlab.rollover.survey import APPROXIMATE, Survey
from kvmlab.rollover.theory import BURST
from kvmlab.scenes.flush import words
from kvmlab.scenes.flush.picture import markup
from kvmlab.scenes.question import Question, question
from kvmlab.scenes.scene import Picture, Scene, Step, changes

PARTS = ("zero", "cliff", "round-robin", "uniform", "runs", "zipf", "found")
"""What the picture is built up from, in order."""
FN = "update_vttbr()"


@dataclass(frozen=True)
class Telling:
    """One step: its words, the parts that are seen, and the part it is about."""

    title: str
    why: str
    seen: tuple[str, ...]
    about: str = ""
    log: tuple[str, ...] = ()
    ask: Question | None = None


def flush_scene(found: Survey) -> Scene:
    """Return the curve as a scene: one step for each schedule, and the last for the setting itself.

    Args:
        found: what theory and counting have given.
    """
    one = found.setting
    steps: list[Step] = []
    shown: Picture = {}
    for number, told in enumerate(_tellings(found)):
        picture = {part: ("" if part in told.seen else "off", "") for part in PARTS}
        before = shown or dict.fromkeys(picture, ("", ""))
        shown = picture
        steps.append(
            Step(
                actor="kern",
                label="IS THERE ROOM",
                fn=FN,
                title=told.title,
                why=told.why,
                log=tuple(("kern", line) for line in told.log),
                patches=changes(before, picture),
                now=(told.about,) if told.about else (),
                mark="curve" if told.about else None,
                command=number,
                ask=told.ask,
            )
        )
    return Scene(
        name="flush",
        title="How often must every TLB be flushed?",
        markup=markup(found),
        steps=tuple(steps),
        lanes=(("kern", "kernel"),),
        jump="curve",
        source=f"Linux 3.9 · {one.vmid_bits}-bit VMIDs · CPUs: {one.cpus} · after the very first entry"
        " · dashed: approximate",
    ).check()


def _tellings(found: Survey) -> list[Telling]:
    one = found.setting
    numbers, most = one.numbers, one.most
    random = found.lines["uniform"][0][1].mean
    seen: tuple[str, ...] = ()
    told = [
        Telling(
            f"How often do {numbers} VMIDs run out?",
            "A full flush comes when {c|a guest needs a number} and none is left. "
            "{e|How often} depends on how many guests run, and in which order.",
            seen,
        )
    ]

    def tell(part: str, title: str, why: str, ask: Question | None = None, *log: str) -> None:
        nonlocal seen
        seen = (*seen, part, *(("cliff",) if part == "round-robin" else ()))
        told.append(Telling(title, why, seen, part, log, ask))

    def rates(key: str) -> str:
        line = found.lines[key]
        if not line:
            return "no formula on several CPUs"
        kind = "about " if key in APPROXIMATE else ""
        first, last = (words.rate(gap.rate) for gap in (line[0][1], line[-1][1]))
        return f"{words.SHORT[key]}: {kind}{first} per 1000 at {numbers + 1} guests, {last} at {most}"

    tell(
        "zero",
        f"Up to {numbers} guests: never",
        f"{{c|{numbers} numbers}}, one for each guest, and it keeps it. "
        "{e|No flush} after the one at the very first entry after boot; this zero is exact.",
        question(
            f"{numbers} guests run for days. How often are all TLBs flushed, after the first entry?",
            "never",
            [(f"once in {numbers} entries", "M24"), ("at every switch from guest to guest", "")],
            f"Number 0 is the host's, so {numbers} are left: one for each of these guests.",
        ),
    )
    tell(
        "round-robin",
        f"{numbers + 1} guests in turn: one flush every {numbers} entries",
        "{c|One guest too many}, and whoever is next has always just lost its number. "
        "{e|From never to the most there can be} in a single step.",
        question(
            f"{numbers + 1} guests enter in turn, over and over. A full flush every how many entries?",
            str(numbers),
            [(str(numbers + 1), "M24"), (str(numbers * (numbers + 1)), "")],
            "Whoever is next in turn has always just lost its number, so every entry takes a new one.",
        ),
        rates("round-robin"),
    )
    tell(
        "uniform",
        "In random order it is a slope, not a wall",
        "{c|Some guests come back before the last number is taken}, and need no new one. "
        f"So {{e|a generation lasts longer}}: {random:.0f} entries with {numbers + 1} guests.",
        question(
            f"Now the {numbers + 1} guests enter in random order. Are there more flushes than in turn, or fewer?",
            "fewer",
            [("more", ""), ("as many: there is one guest too many", "")],
            "A guest that is drawn again in the same generation needs no new number.",
        ),
        rates("uniform"),
    )
    tell(
        "runs",
        f"In bursts of {BURST} entries: {BURST} times as rare",
        f"{{c|Only the first of {BURST} entries in a row can need a number}}. The other {BURST - 1} "
        "{e|cost nothing}: the guest still has it.",
        None,
        rates("runs"),
    )
    tell(
        "zipf",
        "A few busy guests, many that hardly ever run",
        "{c|The busy guests need one number each}, like all others. {e|A generation lasts} until enough of the rare "
        "guests have come.",
        None,
        rates("zipf"),
    )
    told.append(Telling(words.title(found), words.why(found), PARTS, "found", tuple(words.numbers(found))))
    return told
