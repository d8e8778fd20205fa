"""A report: what was answered, as a file that can be checked again from the seeds.

It is JSON with one exercise on each line, so that a complaint can name the line. The digest shows that the file was
changed after it was saved; it is no signature: who wants to can make a file that says whatever he wants.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import kvmlab
from kvmlab.engine.errors import InputError
from kvmlab.exercises.judge import check
from kvmlab.exercises.parts import NUMBER_MAX, SEED_MAX
from kvmlab.exercises.record import SHOWN, TRIES_LIMIT, Entry, Try
from kvmlab.exercises.template import TEMPLATES, exercise
from kvmlab.formats.checks import list_of, object_with, text, whole

FORMAT = "kvmlab report 1"
NOTEBOOKS = ("", *(f"{number:02}" for number in range(10)))
SIZE_LIMIT, ENTRIES_LIMIT, WORD_LIMIT = 1 << 21, 2000, 40


@dataclass(frozen=True)
class Report:
    """What a report file says.

    Attributes:
        version: of kvmlab that wrote it.
        notebook: "03", or "" for none.
        entries: the exercises.
        lines: the line of each.
        changed: whether the file is not as it was saved.
    """

    version: str
    notebook: str
    entries: tuple[Entry, ...]
    lines: tuple[int, ...]
    changed: bool


@dataclass(frozen=True)
class Finding:
    """What does not hold in a report.

    Attributes:
        line: where, from 1.
        words: what.
    """

    line: int
    words: str


def to_text(entries: Sequence[Entry], notebook: str = "") -> str:
    """Return a report of what was tried: exercises that were only looked at are left out.

    Args:
        entries: the exercises.
        notebook: which notebook it is of, or "".
    """
    rows = [
        {
            "template": entry.template,
            "seed": entry.seed,
            "tries": [{"given": list(one.given), "right": one.right} for one in entry.tries],
            "hints": entry.hints,
            "solved": entry.solved,
        }
        for entry in entries
        if entry.touched
    ]
    head = {"format": FORMAT, "version": kvmlab.__version__, "notebook": notebook}
    lines = ",\n".join(json.dumps(row) for row in rows)
    return f'{json.dumps(head)[:-1]}, "exercises": [\n{lines}\n], "digest": "{_digest(head, rows)}"}}\n'


def _digest(head: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    return sha256(json.dumps([head, rows], sort_keys=True).encode()).hexdigest()


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{name} is {str(value)[:WORD_LIMIT]!r}; allowed: true or false")
    return value


def _notebook(name: str, value: Any) -> str:
    if not isinstance(value, str) or value not in NOTEBOOKS:
        raise InputError(f"{name} is {_short(str(value))}; allowed: {', '.join(NOTEBOOKS[1:])}, or nothing")
    return value


_TRY = object_with({"given": list_of(whole(0, NUMBER_MAX), limit=64), "right": _flag})
_ENTRY = object_with(
    {
        "template": text,
        "seed": whole(0, SEED_MAX),
        "tries": list_of(_TRY, limit=TRIES_LIMIT),
        "hints": whole(0, SHOWN),
        "solved": _flag,
    }
)
_FILE = object_with(
    {
        "format": text,
        "version": text,
        "notebook": _notebook,
        "exercises": list_of(lambda _, value: value, limit=ENTRIES_LIMIT),
        "digest": text,
    }
)


def read(path: Path) -> tuple[Report, list[Finding]]:
    """Read a report and compute everything in it again.

    Args:
        path: the file. Nothing in it is ever run.

    Returns:
        The report, and what does not hold, by line.

    Raises:
        InputError: it is no report, or cannot be read; the message names file and line.
    """
    words = _load(path)
    try:
        value = json.loads(words)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    except (ValueError, RecursionError):  # a number too long, or brackets too deep
        raise InputError(f"{path}:1: not JSON that a report could be") from None
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise InputError(f'{path}:1: no report of kvmlab; it begins with "format": "{FORMAT}"')
    try:
        head = _FILE("report", value)
    except InputError as error:
        raise InputError(f"{path}:1: {error}") from None
    lines = _lines(words, len(head["exercises"]))
    entries: list[Entry] = []
    findings: list[Finding] = []
    said: list[bool] = []
    for row, line in zip(head["exercises"], lines, strict=True):
        try:
            checked = _ENTRY("exercise", row)
        except InputError as error:
            raise InputError(f"{path}:{line}: {error}") from None
        tries = [Try(tuple(one["given"]), one["right"]) for one in checked["tries"]]
        entries.append(Entry(checked["template"], checked["seed"], tries, checked["hints"]))
        said.append(checked["solved"])
    about = {key: head[key] for key in ("format", "version", "notebook")}
    changed = _digest(about, head["exercises"]) != head["digest"]
    if changed:
        findings.append(Finding(1, "the digest does not fit: the file was changed after it was saved"))
    if head["version"] != kvmlab.__version__:
        mine = kvmlab.__version__
        findings.append(Finding(1, f"made with kvmlab {_short(head['version'])}, checked with {mine}"))
    seen: set[tuple[str, int]] = set()
    for entry, line, solved in zip(entries, lines, said, strict=True):
        wrong = _verify(entry, solved, (entry.template, entry.seed) in seen)
        findings += [Finding(line, words) for words in wrong]
        seen.add((entry.template, entry.seed))
    return Report(head["version"], head["notebook"], tuple(entries), tuple(lines), changed), findings


def _load(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
        words = data.decode("utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{path}:1: cannot be read: {reason}") from None
    if len(data) > SIZE_LIMIT:
        raise InputError(f"{path}:1: larger than {SIZE_LIMIT} bytes, too large for a report")
    return words


def _lines(words: str, count: int) -> list[int]:
    """Return the line on which each exercise begins; 1 for all where the file is not written as `to_text` does."""
    decoder, lines = json.JSONDecoder(), []
    at = words.find("[", words.find('"exercises"')) + 1
    try:
        for _ in range(count):
            while words[at].isspace() or words[at] == ",":
                at += 1
            lines.append(words.count("\n", 0, at) + 1)
            _, at = decoder.raw_decode(words, at)
    except (ValueError, IndexError, RecursionError):
        return [1] * count
    return lines


def _verify(entry: Entry, solved: bool, again: bool) -> list[str]:
    """Return what does not hold of one exercise, by making and judging it again."""
    if entry.template not in TEMPLATES:
        return [f"no exercise is called {_short(entry.template)}"]
    name = f"{entry.template}, seed {entry.seed}"
    found = [f"{name}: stands there twice"] if again else []
    made = exercise(entry.template, entry.seed)
    for number, one in enumerate(entry.tries, 1):
        try:
            right = check(made, one.given).right
        except InputError as error:
            found.append(f"{name}, try {number}: no answer to this exercise: {error}")
            continue
        if right != one.right:
            found.append(f"{name}, try {number}: said to be {_word(one.right)}, but it is {_word(right)}")
    if any(one.right for one in entry.tries[:-1]):
        found.append(f"{name}: goes on after a right answer")
    if solved != entry.solved:
        found.append(f"{name}: said to be {_state(solved)}, but it is {_state(entry.solved)}")
    return found


def _word(right: bool) -> str:
    return "right" if right else "wrong"


def _state(solved: bool) -> str:
    return "solved" if solved else "not solved"


def _short(words: str) -> str:
    """Quote a word from a file: no control characters, and cut where it is long."""
    return repr(words if len(words) <= WORD_LIMIT else words[:WORD_LIMIT] + "…")
