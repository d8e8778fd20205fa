"""Say whether an answer is right, and if not, why."""

from __future__ import annotations

from collections.abc import Iterable

from kvmlab.engine.errors import InputError
from kvmlab.exercises.parts import Answer, Exercise, Fields, Order, Result, Wrong
from kvmlab.exercises.template import find
from kvmlab.scenes.misconceptions import MISCONCEPTIONS

NAMES = {"seq", "count", "hxfar", "gfn"}
"""Names in the kernel that look like words."""


def check(exercise: Exercise, given: Iterable[int]) -> Result:
    """Say whether an answer is right, and if not, why.

    Args:
        exercise: what was asked.
        given: whole numbers, as the exercise's form wants them.

    Raises:
        InputError: it is no answer of that form.

    >>> from kvmlab.exercises import exercise
    >>> check(exercise("gfn", 1), exercise("gfn", 1).answer).right
    True
    """
    try:
        answer = tuple(given)
    except TypeError:
        raise InputError(f"answer is {str(given)[:40]!r}; allowed: a list of numbers") from None
    exercise.form.verify(answer)
    if judge := find(exercise.template).judge:
        return judge(exercise, answer)
    if isinstance(exercise.form, Order):
        return _ordered(exercise, exercise.form, answer)
    if answer == exercise.answer:
        return Result(True, exercise.because)
    known = [wrong for wrong in exercise.wrong if wrong.answer == answer]
    for wrong in known or [wrong for wrong in exercise.wrong if _same_error(exercise, wrong, answer)]:
        return refute(wrong.here, wrong.belief)
    return Result(False, _unknown(exercise, answer))


def refute(here: str, belief: str) -> Result:
    """Return the result for a known error, with its card."""
    if not belief:
        return Result(False, sentence(here))
    card = MISCONCEPTIONS[belief]
    return Result(False, f"Many think: “{card.belief}” Here: {here} Instead: {card.truth}", belief)


def sentence(words: str) -> str:
    """Return words with a capital at the beginning, unless that is a name of the kernel's or a number.

    >>> sentence("that is a page"), sentence("seq is as it was"), sentence("page_count is 1")
    ('That is a page', 'seq is as it was', 'page_count is 1')
    """
    first = words.split(" ")[0].rstrip(",:")
    return words[0].upper() + words[1:] if first.isalpha() and first not in NAMES else words


def _same_error(exercise: Exercise, wrong: Wrong, given: Answer) -> bool:
    """Return whether an error explains an answer: all of it, or in a form with fields all that is wrong in it."""
    if not isinstance(exercise.form, Fields):
        return given == wrong.answer
    return all(mine in (right, error) for mine, right, error in zip(given, exercise.answer, wrong.answer, strict=True))


def _ordered(exercise: Exercise, form: Order, given: Answer) -> Result:
    """Judge an order by its rules: what must not be taken first, then what must come before what."""
    for rule in sorted(form.rules, key=lambda rule: rule.then >= 0):
        if rule.broken(given):
            return refute(rule.here, rule.belief)
    return Result(True, exercise.because)


def _unknown(exercise: Exercise, given: Answer) -> str:
    """Say what can be said of an answer that comes of no known error."""
    form = exercise.form
    if not isinstance(form, Fields):
        missed, extra = set(exercise.answer) - set(given), set(given) - set(exercise.answer)
        parts = [f"{len(missed)} missing" * bool(missed), f"{len(extra)} too many" * bool(extra)]
        return sentence(f"{' and '.join(filter(None, parts))}.")
    words = []
    for field, mine, right in zip(form.fields, given, exercise.answer, strict=True):
        if mine == right:
            words.append(f"{field.label} is right.")
        else:
            words.append(f"{field.label} is not {field.show(mine)}{_near(mine, right) if not field.choices else '.'}")
    return " ".join(map(sentence, words))


def _near(mine: int, right: int) -> str:
    """Say how a wrong number misses the right one, where that is typical of a slip."""
    if abs(mine - right) == 1:
        return ": one too " + ("many." if mine > right else "few.")
    if f"{mine}" == f"{right:x}":
        return ": those are its digits in hex; a number in hex is written with 0x."
    if mine and right and (mine >> 12 == right or right >> 12 == mine):
        return ": look at the unit, bytes or pages of 4096."
    return ": too large." if mine > right else ": too small."
