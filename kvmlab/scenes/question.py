"""A question before a step: what will happen? The choices stand for what people often believe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kvmlab.scenes.misconceptions import MISCONCEPTIONS

ASK_LIMIT, CHOICE_LIMIT, BECAUSE_LIMIT = 120, 70, 160


@dataclass(frozen=True)
class Question:
    """What a learner may be asked before a step that has a consequence.

    Args:
        ask: the question, at most 120 characters.
        choices: two to four answers, at most 70 characters each; the order does not give the right one away.
        beliefs: for each choice the key of the misconception it stands for, or "" (right, or a plain slip).
        right: number of the choice that the run will show to be right, from 0.
        because: why it is so, at most 160 characters.
    """

    ask: str
    choices: tuple[str, ...]
    beliefs: tuple[str, ...]
    right: int
    because: str


def question(ask: str, right: str, wrong: Iterable[tuple[str, str]], because: str) -> Question | None:
    """Return a question, or None if a wrong answer happens to say the same as the right one and none is left.

    Args:
        ask: the question.
        right: the right answer, computed from the run.
        wrong: wrong answers, each with the key of the misconception ("M07") that leads to it, or "".
        because: why the right answer is right.

    >>> question("How many?", "2", [("1", ""), ("2", "M03")], "...").choices
    ('1', '2')
    """
    answers = {right: ""}
    for words, belief in wrong:
        answers.setdefault(words, belief)
    if len(answers) < 2:
        return None
    choices = tuple(sorted(answers, key=_order))
    return Question(ask, choices, tuple(answers[words] for words in choices), choices.index(right), because)


def _order(words: str) -> tuple[int, str]:
    """Put numbers in order of size, words in order of the alphabet."""
    first = words.split()[0] if words.split() else ""
    try:
        return int(first, 0), words
    except ValueError:
        return 1 << 64, words


def check_question(one: Question) -> str:
    """Return what is wrong with a question, or "" if it keeps the rules."""
    if len(one.ask) > ASK_LIMIT or len(one.because) > BECAUSE_LIMIT or any(len(c) > CHOICE_LIMIT for c in one.choices):
        return "too long"
    if not 2 <= len(one.choices) <= 4 or len(set(one.choices)) != len(one.choices):
        return "two to four different choices"
    if len(one.beliefs) != len(one.choices) or not 0 <= one.right < len(one.choices) or one.beliefs[one.right]:
        return "one belief for each choice, none for the right one"
    strange = [belief for belief in one.beliefs if belief and belief not in MISCONCEPTIONS]
    return f"no misconception is called {strange}" if strange else ""
