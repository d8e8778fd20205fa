"""Read an answer that somebody typed or ticked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kvmlab.engine import InputError
from kvmlab.exercises.parts import SCHEDULE_LIMIT, Answer, Field, Fields, Form, Order, Schedule, Several
from kvmlab.panels.controls import parse_number

BETWEEN = " ,.;>-"
"""What may stand between the letters of a schedule."""


def describe(form: Form) -> dict[str, Any]:
    """Return a form as plain data for the browser."""
    if isinstance(form, Fields):
        fields = [{"label": field.label, "choices": list(field.choices), "hex": field.hex} for field in form.fields]
        return {"kind": "fields", "fields": fields}
    if isinstance(form, Several):
        return {"kind": "several", "choices": list(form.choices)}
    if isinstance(form, Order):
        return {"kind": "order", "steps": list(form.steps), "count": form.count}
    return {"kind": "schedule", "letters": list(form.letters)}


def parse_answer(form: Form, values: Sequence[str]) -> Answer:
    """Return an answer as numbers.

    Args:
        form: of the exercise.
        values: for each field what was typed, or the number of the choice; for several choices the numbers of those
            that are ticked; for an order the number of the step at each place; for a schedule its letters.

    Raises:
        InputError: something is missing, or is no number; the message says what.

    >>> parse_answer(Several(("a", "b", "c")), ["0", "2"])
    (0, 2)
    """
    if isinstance(form, Fields):
        given = [*values, *[""] * (len(form.fields) - len(values))]
        return tuple(_value(field, typed) for field, typed in zip(form.fields, given, strict=False))
    if isinstance(form, Several):
        if not values:
            raise InputError("nothing is ticked: tick all that are right; at least one is")
        return tuple(sorted(_number("choice", value) for value in values))
    if isinstance(form, Order):
        return tuple(_number(f"step {place}", value) for place, value in enumerate(values, 1))
    return _schedule(form, values[0] if values else "")


def _value(field: Field, typed: str) -> int:
    if field.choices:
        return _number(field.label, typed)
    if not typed.strip():
        raise InputError(f"{field.label} is empty: write a number")
    return parse_number(field.label, typed)


def _number(name: str, value: str) -> int:
    if not value:
        raise InputError(f"{name} is open: choose one")
    return parse_number(name, value)


def _schedule(form: Schedule, typed: str) -> Answer:
    letters = [letter for letter in typed.upper() if letter not in BETWEEN]
    known = " or ".join(f"{letter} for {task}" for letter, task in zip(form.letters, form.tasks, strict=True))
    if not letters:
        raise InputError(f"schedule is empty: write a letter for each step, {known}")
    if len(letters) > SCHEDULE_LIMIT:
        raise InputError(f"schedule has {len(letters)} letters; allowed: at most {SCHEDULE_LIMIT}")
    if strange := [letter for letter in letters if letter not in form.letters]:
        raise InputError(f"schedule has {strange[0]!r}; allowed: {known}")
    return tuple(form.letters.index(letter) for letter in letters)
