"""Templates: each makes one kind of exercise, a new one for each seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from random import Random
from typing import NamedTuple

from kvmlab.engine.errors import InputError, check_int
from kvmlab.exercises.parts import SEED_MAX, Answer, Draft, Exercise, Field, Fields, Result, Wrong
from kvmlab.scenes.question import question

DRAWS = 300
"""How often a template may draw again until all answers differ."""

Judge = Callable[[Exercise, Answer], Result]


class Template(NamedTuple):
    """One kind of exercise.

    Attributes:
        name: what a notebook calls it.
        title: what it is about, in a few words.
        notebooks: where it belongs, "00" to "09".
        make: makes a draft, or None if what was drawn does not make a good one.
        judge: decides on an answer where more than one is right; None where there is one.
    """

    name: str
    title: str
    notebooks: tuple[str, ...]
    make: Callable[[Random], Draft | None]
    judge: Judge | None = None


TEMPLATES: dict[str, Template] = {}
"""By name."""


def template(
    name: str, title: str, *notebooks: str, judge: Judge | None = None
) -> Callable[[Callable[[Random], Draft | None]], Callable[[Random], Draft | None]]:
    """Enter a function that makes drafts as a template."""

    def enter(make: Callable[[Random], Draft | None]) -> Callable[[Random], Draft | None]:
        TEMPLATES[name] = Template(name, title, notebooks, make, judge)
        return make

    return enter


def find(name: object) -> Template:
    """Return a template by its name.

    Raises:
        InputError: there is none of that name; the message lists them.
    """
    if not isinstance(name, str) or name not in TEMPLATES:
        raise InputError(f"name is {str(name)[:40]!r}; allowed: {', '.join(TEMPLATES)}")
    return TEMPLATES[name]


def exercise(name: str, seed: int) -> Exercise:
    """Make an exercise: the same one each time for the same name and seed.

    Args:
        name: of a template: "descriptor", "faults", ...
        seed: 0 to 2^31 - 1.

    Raises:
        InputError: no such template or seed.

    >>> exercise("gfn", 1) == exercise("gfn", 1), exercise("gfn", 1) == exercise("gfn", 2)
    (True, False)
    """
    kind = find(name)
    check_int("seed", seed, 0, SEED_MAX)
    for attempt in range(DRAWS):
        draft = kind.make(Random(f"{name} {seed} {attempt}"))
        if draft is not None and _differ(draft):
            parts = {field.name: getattr(draft, field.name) for field in fields(Draft)}
            return Exercise(**parts, template=name, seed=seed)
    raise AssertionError(f"template {name} makes nothing of seed {seed}")


def _differ(draft: Draft) -> bool:
    answers = [draft.answer, *(wrong.answer for wrong in draft.wrong)]
    return len(answers) > 2 and len(set(answers)) == len(answers)


def choice(right: str, wrong: Iterable[tuple[str, str, str]]) -> tuple[Fields, Answer, tuple[Wrong, ...]] | None:
    """Return a form with one choice, its answer and the wrong ones; None if two say the same.

    Args:
        right: the right choice.
        wrong: wrong ones: the words, what the error is, the belief behind it or "".
    """
    given = list(wrong)
    asked = question("", right, [(words, belief) for words, _, belief in given], "")
    if asked is None or len(asked.choices) != 1 + len(given):
        return None
    place = asked.choices.index
    wrongs = tuple(Wrong((place(words),), here, belief) for words, here, belief in given)
    return Fields((Field("answer", asked.choices),)), (asked.right,), wrongs


def numbers(*labels: str) -> Fields:
    """Return a form with a number for each label; those that begin with ``0x`` are shown in hex."""
    return Fields(tuple(Field(label.removeprefix("0x "), hex=label.startswith("0x ")) for label in labels))


def keep(answer: Answer, wrong: Sequence[Wrong]) -> tuple[Wrong, ...]:
    """Return the wrong answers that this time are wrong, the first of each: for errors that do not always show."""
    seen = {answer}
    kept = []
    for one in wrong:
        if one.answer not in seen:
            seen.add(one.answer)
            kept.append(one)
    return tuple(kept)
