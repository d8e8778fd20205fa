"""Say how often VMIDs run out: the words of each step, the numbers, and the text for those who cannot see the curve."""

from __future__ import annotations

import math

from kvmlab.rollover.schedules import SCHEDULES
from kvmlab.rollover.survey import APPROXIMATE, PER, Survey
from kvmlab.rollover.theory import BURST, MANY, Gap, Number

SHORT = {key: one.short for key, one in SCHEDULES.items()}
"""What the curves are called where they end."""


ROOMY = 44
"""A title up to here leaves room for one more word in two lines of a small panel."""


def title(found: Survey) -> str:
    """Return what the setting comes to, in one line."""
    one = found.setting
    if one.guests <= one.numbers:
        return f"{_guests(one.guests)}, {one.numbers} VMIDs: no full flush"
    gap = found.gap()
    counted = f"{rate(found.run.rate)} flushes per {PER}" if one.guests in found.counted else "a flush in more than"
    times = f"one flush in {gap.mean:.0f}" if gap else counted
    order = ", few busy" if one.schedule == "zipf" else f" {SHORT[one.schedule]}"
    said = f"{one.guests} guests{order}: {times}"
    if not gap and one.guests not in found.counted:
        return f"{said} {one.entries} entries"
    return said if len(said) > ROOMY else f"{said} entries"


def why(found: Survey) -> str:
    """Return why it is so, in one sentence or two."""
    one = found.setting
    if one.guests <= one.numbers:
        return (
            f"{{c|{_guests(one.guests)}, {one.numbers} VMIDs}}: each guest keeps its number. "
            "{e|No flush} after the one at the very first entry after boot; this zero is exact."
        )
    gap = found.gap()
    if one.schedule == "round-robin":
        return (
            "{c|Whoever is next has lost its number}, so every entry takes a new one: "
            f"{{e|{one.numbers} entries use up {one.numbers} numbers}}, however many guests wait."
        )
    if one.schedule == "uniform":
        return (
            f"{{c|A guest that is drawn again keeps its number}}, so a generation lasts "
            f"{{e|{_mean(gap)} entries on average}}. The more guests, the rarer that is."
        )
    if one.schedule == "runs":
        return (
            f"{{c|Only the first of {BURST} entries in a row can need a number}}, so a generation lasts "
            f"{{e|about {BURST} times as long}} as in random order: {_mean(gap)} entries."
        )
    lasts = f"lasts about {_mean(gap)} entries" if gap else "lasts long; no formula says how long"
    return (
        "{c|A few guests do most of the entering} and need one number each; the others rarely come. "
        f"{{e|A generation {lasts}}}."
    )


def numbers(found: Survey) -> list[str]:
    """Return the setting's numbers, one line each: from the law, where runs should lie, and what was counted."""
    one, gap, run = found.setting, found.gap(), found.run
    said = []
    if one.cpus > 1:
        others = "guest on the other CPU enters" if one.cpus == 2 else f"guests on the {one.cpus - 1} other CPUs enter"
        said.append(f"at each rollover the {others} again at once; these come on top")
    if one.guests <= one.numbers:
        said.append("exact: 0 after the first entry; the gap has no end")
    elif gap is None:
        said.append("no formula on several CPUs: simulated only")
    else:
        kind = "approximate" if one.schedule in APPROXIMATE else "exact"
        said.append(f"{kind}: {rate(gap.rate)} per {PER} entries, one in {gap.mean:.2f}")
        if one.entries < MANY * gap.mean:
            said.append(f"{one.entries} entries are too few to say between which rates a run should lie")
        elif gap.variance and not math.isnan(gap.variance):
            low, high = gap.interval(one.entries)
            said.append(f"95 % of runs of {one.entries} entries: {rate(low)} to {rate(high)}")
    flushes = run.rollovers
    times = "1 flush" if flushes == 1 else f"{flushes} flushes"
    seen = f"{rate(run.rate)} per {PER} entries, one in {run.gap.mean:.2f}, " if run.gaps > 0 else ""
    counted = f"{seen}{times}" if flushes else "no flush"
    said.append(f"simulated: {counted} in {run.entries}")
    return said


def label(found: Survey) -> str:
    """Return what the picture shows, for those who cannot see it."""
    one = found.setting
    said = [
        f"Full TLB flushes per {PER} guest entries against 1 to {one.most} guests, {one.vmid_bits}-bit VMIDs, "
        f"CPUs: {one.cpus}. Exactly 0 up to {one.numbers} guests."
    ]
    for key, line in found.lines.items():
        if line:
            (_, first), (_, last) = line[0], line[-1]
            kind = "about " if key in APPROXIMATE else ""
            at = f"{kind}{rate(first.rate)} at {one.numbers + 1}, {rate(last.rate)} at {one.most}"
            said.append(f"{SCHEDULES[key].name}: {at}.")
    counted = ", ".join(f"{rate(run.rate)} at {n}" for n, run in found.counted.items())
    said.append(f"Simulated {SHORT[one.schedule]}: {counted or 'too few entries to see a gap'}.")
    said.append(f"Here: {title(found)}.")
    return " ".join(said)


def end(found: Survey, key: str) -> str:
    """Return what stands at the end of a curve."""
    line = found.lines[key]
    if not line:
        return "simulated only"
    mean = line[-1][1].mean
    return f"always one in {mean:.0f}" if key == "round-robin" else f"at {line[-1][0]}: one in {mean:.0f}"


def rate(value: Number) -> str:
    """Return a rate per entry as one per 1,000, with four figures; the exact zero as 0."""
    per = PER * float(value)
    return f"{per:#.4g}" if per else "0"


def _mean(gap: Gap | None) -> str:
    return f"{gap.mean:.0f}" if gap else "?"


def _guests(count: int) -> str:
    return "1 guest" if count == 1 else f"{count} guests"
