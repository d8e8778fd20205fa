"""Exercises on paper: a sheet with room for answers, and the key to it, as text lines and as one page of HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from random import Random
from typing import NamedTuple

import kvmlab
from kvmlab.engine.errors import InputError, check_int
from kvmlab.exercises.parts import SEED_MAX, Exercise, Field, Fields, Order, Several
from kvmlab.exercises.template import TEMPLATES, Template, exercise, find

COUNT, COUNT_MAX = 10, 200
BLANK, WIDE_BLANK = "_" * 18, "_" * 44
CSS = """
body { font: 11pt/1.4 "DejaVu Sans", Arial, sans-serif; color: #000; background: #fff; max-width: 46em; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 15pt; } h2 { font-size: 11.5pt; margin: 1.4em 0 .2em; } p { margin: .2em 0 .4em; }
section { break-inside: avoid; } small { font-weight: 400; }
.given { font-family: "DejaVu Sans Mono", monospace; font-size: 9.5pt; margin: .2em 0 .5em 1em; overflow-wrap: anywhere; }
.answer { margin-left: 1em; }
"""  # noqa: E501


class Line(NamedTuple):
    """A paragraph of a sheet.

    Attributes:
        kind: "title", "head", "text", "given" or "answer".
        words: plain text.
    """

    kind: str
    words: str


def choose(seed: int, only: Sequence[str] = (), count: int | None = None) -> list[Exercise]:
    """Return the exercises of a sheet: the same ones each time.

    Args:
        seed: 0 to 2^31 - 1; also the seed of each exercise, so `kl.practice(name, seed)` shows it in a notebook.
        only: names of exercises, and numbers of notebooks ("03"), to choose from; all if empty.
        count: how many, 1 to 200; with more than there are kinds, further rounds have the next seeds. One of each that
            is named, or 10 of all, if not given.

    Raises:
        InputError: no such exercise, seed or count.
    """
    check_int("seed", seed, 0, SEED_MAX)
    kinds = _kinds(only)
    number = (len(kinds) if only else COUNT) if count is None else check_int("count", count, 1, COUNT_MAX)
    drawn = Random(f"sheet {seed}").sample(kinds, min(number, len(kinds)))
    first = [kind.name for kind in kinds if kind in drawn]
    rounds = -(-number // len(kinds))
    check_int("seed", seed, 0, SEED_MAX - rounds)
    names = (first + [kind.name for kind in kinds] * (rounds - 1))[:number]
    return [exercise(name, seed + place // len(kinds)) for place, name in enumerate(names)]


def _kinds(only: Sequence[str]) -> list[Template]:
    """Return the templates that are named, in the order of the notebooks."""
    kinds = sorted(TEMPLATES.values(), key=lambda kind: kind.notebooks[0])
    if not only:
        return kinds
    numbers = {kind.notebooks[0] for kind in kinds}
    for word in only:
        if word not in numbers:
            find(word)
    return [kind for kind in kinds if kind.name in only or kind.notebooks[0] in only]


def lines(exercises: Sequence[Exercise], seed: int, *, key: bool) -> list[list[Line]]:
    """Return a sheet, or its key, as paragraphs: those of each exercise together.

    Args:
        exercises: from `choose`.
        seed: of the sheet.
        key: the answers instead of the room for them.
    """
    title = f"{'Key to the exercises' if key else 'Exercises'}: how KVM/ARM gives guests memory (sheet {seed})"
    blocks = [[Line("title", title)]]
    if not key:
        blocks[0].append(Line("text", f"Name: {WIDE_BLANK}"))
    for number, one in enumerate(exercises, 1):
        head = f"{number}. {TEMPLATES[one.template].title} ({one.template}, seed {one.seed})"
        if key:
            body = [Line("answer", words) for words in _answer(one)] + [Line("text", one.because)]
        else:
            body = [Line("text", one.task), *(Line("given", words) for words in one.given)]
            body += [Line("answer", words) for words in _room(one)]
        blocks.append([Line("head", head), *body])
    return blocks


def _answer(one: Exercise) -> list[str]:
    if isinstance(one.form, Order):
        return one.form.show(one.answer).split("; ")
    return [one.form.show(one.answer)]


def _room(one: Exercise) -> list[str]:
    """Return the lines on which the answer is written."""
    form = one.form
    if isinstance(form, Fields):
        return [words for field in form.fields for words in _field(field, alone=len(form.fields) == 1)]
    if isinstance(form, Several):
        return ["all that are right:", *(f"☐ {words}" for words in form.choices)]
    if isinstance(form, Order):
        return [f"number {form.count} of them:", *(f"___ {words}" for words in form.steps)]
    return [f"schedule: {WIDE_BLANK}"]


def _field(field: Field, *, alone: bool) -> list[str]:
    if not field.choices:
        return [f"{field.label}: {BLANK}"]
    if alone:
        return [f"☐ {words}" for words in field.choices]
    return [f"{field.label}:  " + "   ".join(f"☐ {words}" for words in field.choices)]


def to_html(exercises: Sequence[Exercise], seed: int, *, key: bool) -> bytes:
    """Return a sheet, or its key, as one file of HTML that needs nothing else.

    Args:
        exercises: from `choose`.
        seed: of the sheet.
        key: the answers instead of the room for them.
    """
    blocks = lines(exercises, seed, key=key)
    title = escape(blocks[0][0].words)
    tags = {"title": "h1", "head": "h2"}
    body = "\n".join(
        "<section>"
        + "".join(
            f"<{tag}{'' if tag != 'p' else f' class={line.kind}'}>{escape(line.words)}</{tag}>"
            for line in block
            for tag in [tags.get(line.kind, "p")]
        )
        + "</section>"
        for block in blocks
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="generator" content="kvmlab {kvmlab.__version__}"><style>{CSS}</style></head>\n'
        f"<body>\n{body}\n</body></html>\n"
    ).encode()


def to_bytes(exercises: Sequence[Exercise], seed: int, *, key: bool, kind: str) -> bytes:
    """Return a sheet, or its key, as a file: the same bytes each time.

    Args:
        exercises: from `choose`.
        seed: of the sheet.
        key: the answers instead of the room for them.
        kind: "pdf" or "html".

    Raises:
        InputError: the kind is another.
    """
    if kind == "html":
        return to_html(exercises, seed, key=key)
    if kind != "pdf":
        raise InputError(f"kind is {kind!r}; allowed: pdf, html")
    from kvmlab.exercises.paper import to_pdf

    return to_pdf(lines(exercises, seed, key=key))
