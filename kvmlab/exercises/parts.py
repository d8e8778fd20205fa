"""What an exercise is: plain data, made from a template and a seed. Whoever shows it, shows the same."""

from __future__ import annotations

from dataclasses import dataclass

from kvmlab.engine.errors import InputError, check_int

Answer = tuple[int, ...]
"""Every answer is a few whole numbers; what they stand for, the form says."""

SEED_MAX = (1 << 31) - 1
NUMBER_MAX = (1 << 64) - 1
SCHEDULE_LIMIT = 64


@dataclass(frozen=True)
class Field:
    """One thing that is asked for.

    Attributes:
        label: what it is.
        choices: what to choose from; none for a number.
        hex: whether the number is shown in hex. It may be typed either way.
    """

    label: str
    choices: tuple[str, ...] = ()
    hex: bool = False

    def show(self, value: int) -> str:
        """Return an answer to this field in words."""
        if self.choices:
            return self.choices[value]
        return f"{value:#x}" if self.hex else str(value)


@dataclass(frozen=True)
class Fields:
    """Numbers, or choices, one for each field; the answer has one number for each: the number, or which choice."""

    fields: tuple[Field, ...]

    @property
    def choices(self) -> tuple[str, ...]:
        """What to choose from, if it is one choice; else nothing."""
        return self.fields[0].choices if len(self.fields) == 1 else ()

    def verify(self, given: Answer) -> None:
        """Refuse what is no answer of this form."""
        check_int("number of answers", len(given), len(self.fields), len(self.fields))
        for field, value in zip(self.fields, given, strict=True):
            check_int(field.label, value, 0, len(field.choices) - 1 if field.choices else NUMBER_MAX)

    def show(self, given: Answer) -> str:
        """Return an answer in words."""
        if len(self.fields) == 1:
            return self.fields[0].show(given[0])
        return ", ".join(f"{f.label}: {f.show(value)}" for f, value in zip(self.fields, given, strict=True))


@dataclass(frozen=True)
class Several:
    """All of the choices that are true; the answer is their numbers, in order. At least one is."""

    choices: tuple[str, ...]

    def verify(self, given: Answer) -> None:
        """Refuse what is no answer of this form."""
        check_int("number of choices", len(given), 1, len(self.choices))
        for value in given:
            check_int("choice", value, 0, len(self.choices) - 1)
        if list(given) != sorted(set(given)):
            raise InputError("choices: each is named once, in order")

    def show(self, given: Answer) -> str:
        """Return an answer in words."""
        return "; ".join(self.choices[value] for value in given)


@dataclass(frozen=True)
class Rule:
    """What an order must keep.

    Attributes:
        first: number of a step; a step without `then` is a wrong one, which must not be taken.
        then: number of a step that comes after it, or -1.
        here: why.
        belief: key of the misconception that breaks it, or "".
    """

    first: int
    then: int
    here: str
    belief: str = ""

    def broken(self, given: Answer) -> bool:
        """Return whether an order breaks the rule."""
        if self.then < 0:
            return self.first in given
        return not (self.first in given and self.then in given and given.index(self.first) < given.index(self.then))


@dataclass(frozen=True)
class Order:
    """The right ones of some steps, in a right order: there may be several. The answer is their numbers."""

    steps: tuple[str, ...]
    count: int
    rules: tuple[Rule, ...]

    def verify(self, given: Answer) -> None:
        """Refuse what is no answer of this form."""
        check_int("number of steps", len(given), self.count, self.count)
        for value in given:
            check_int("step", value, 0, len(self.steps) - 1)
        if len(set(given)) != len(given):
            raise InputError("steps: the same step stands twice")

    def show(self, given: Answer) -> str:
        """Return an answer in words."""
        return "; ".join(f"{place}. {self.steps[value]}" for place, value in enumerate(given, 1))


@dataclass(frozen=True)
class Schedule:
    """The order in which two tasks take their steps, one letter a step; the answer is the tasks' numbers.

    Attributes:
        tasks: their names.
        rival: what the host does in the race.
        retry: the test that the fault makes, see `Config.retry`.
    """

    tasks: tuple[str, ...]
    rival: str
    retry: str

    @property
    def letters(self) -> str:
        """The first letter of each task, by which it is written."""
        return "".join(task[0].upper() for task in self.tasks)

    def verify(self, given: Answer) -> None:
        """Refuse what is no answer of this form."""
        check_int("number of steps", len(given), 1, SCHEDULE_LIMIT)
        for value in given:
            check_int("task", value, 0, len(self.tasks) - 1)

    def show(self, given: Answer) -> str:
        """Return an answer in words."""
        return " ".join(self.letters[value] for value in given)


Form = Fields | Several | Order | Schedule


@dataclass(frozen=True)
class Wrong:
    """An answer that an error leads to.

    Attributes:
        answer: what comes out.
        here: what the error was, in this exercise; it does not give the right answer away.
        belief: key of the misconception behind it ("M06"), or "" for a slip.
    """

    answer: Answer
    here: str
    belief: str = ""


@dataclass(frozen=True)
class Draft:
    """An exercise without its template and seed: what a template makes.

    Attributes:
        task: what to do, in sentences.
        given: lines of what is known.
        form: how it is answered.
        answer: the right one, computed by the engine.
        wrong: answers that errors lead to.
        hints: three, from a nudge to nearly the answer.
        because: why the right answer is right.
    """

    task: str
    given: tuple[str, ...]
    form: Form
    answer: Answer
    wrong: tuple[Wrong, ...]
    hints: tuple[str, str, str]
    because: str


@dataclass(frozen=True)
class Exercise(Draft):
    """An exercise: a template's draft, with the name of the template and the seed that made it."""

    template: str
    seed: int


@dataclass(frozen=True)
class Result:
    """What an answer came to.

    Attributes:
        right: whether it is right.
        feedback: why, in sentences; for a known error what it was, not the right answer.
        misconception: key of the belief behind a wrong answer ("M06"), or "".
    """

    right: bool
    feedback: str
    misconception: str = ""
