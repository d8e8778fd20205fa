"""An exercise in a notebook: the task, a place for the answer, and what is said to it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import anywidget
import traitlets

from kvmlab.engine import InputError
from kvmlab.exercises import SEED_MAX, TEMPLATES, Exercise, check, exercise
from kvmlab.exercises.record import RECORD, SHOWN, Entry, Try
from kvmlab.panels.answers import describe, parse_answer

STATIC = files("kvmlab.panels") / "static" / "practice"
FIRST_SEED = 1
VALUES_LIMIT, VALUE_LIMIT = 64, 400
"""How many values, and how long ones, an answer from the browser may have."""


def practice(name: str, seed: int | None = None) -> PracticePanel:
    """Show an exercise; it can be left alone, and nothing after it minds.

    Args:
        name: what it is about: "gfn", "descriptor", "faults", ... A wrong name is answered with the list.
        seed: which variant comes first, 0 to 2^31 - 1; always the same one if not given.

    Returns:
        A widget: let it be the last line of a cell.

    Raises:
        InputError: there is no such exercise or seed.
    """
    return PracticePanel(exercise(name, FIRST_SEED if seed is None else seed))


def style() -> str:
    """Return the stylesheet of exercises and progress."""
    return (STATIC / "practice.css").read_text(encoding="utf-8")


class PracticePanel(anywidget.AnyWidget):
    """A task, a form for its answer, and three buttons: Check, Hint, Another.

    Args:
        first: the exercise to begin with.

    Attributes:
        exercise: the exercise shown.
        entry: what has been tried of it in this session.
        shown: the exercise as the browser gets it, without its answer.
        said: what is said to the last answer, and its mood: "right", "wrong" or "".
        hints: those that are open, the answer if it is, and the name of the button that opens the next; "" for none.
    """

    _esm = (STATIC / "practice.js").read_text(encoding="utf-8")
    _css = style()
    shown = traitlets.Dict().tag(sync=True)
    said = traitlets.Dict().tag(sync=True)
    hints = traitlets.Dict().tag(sync=True)
    exercise: Exercise
    entry: Entry

    def __init__(self, first: Exercise) -> None:
        """Show an exercise."""
        super().__init__(**self._show(first))
        self.on_msg(self._heard)

    def _show(self, one: Exercise) -> dict[str, dict[str, Any]]:
        """Take an exercise, and return what is to be seen of it."""
        self.exercise, self.entry = one, RECORD.see(one.template, one.seed)
        about = {
            "title": TEMPLATES[one.template].title,
            "note": f"({one.template}, seed {one.seed})",
            "task": one.task,
            "given": list(one.given),
            "form": describe(one.form),
        }
        said = {"words": "Solved before in this session." if self.entry.solved else "", "mood": ""}
        return {"shown": about, "said": said, "hints": self._opened()}

    def _opened(self) -> dict[str, Any]:
        opened, one = self.entry.hints, self.exercise
        answer = f"The answer: {one.form.show(one.answer)}. {one.because}" if opened >= SHOWN else ""
        names = ("Hint", "Hint 2 of 3", "Hint 3 of 3", "Show the answer", "")
        return {
            "opened": list(one.hints[:opened]),
            "answer": answer,
            "next": "" if self.entry.done else names[opened],
        }

    def check(self, values: Sequence[str]) -> None:
        """Judge an answer; what is none is said to be so, and does not count.

        Args:
            values: what was typed or chosen, see `parse_answer`.
        """
        try:
            given = parse_answer(self.exercise.form, values)
            result = check(self.exercise, given)
        except InputError as error:
            self.said = {"words": f"Not counted: {error}", "mood": ""}
            return
        RECORD.add(self.entry, Try(given, result.right))
        sign = "✓ Right." if result.right else "✗ Not right."
        self.said = {"words": f"{sign} {result.feedback}", "mood": "right" if result.right else "wrong"}
        self.hints = self._opened()

    def hint(self) -> None:
        """Open the next hint; after the third, the answer."""
        RECORD.open_hint(self.entry)
        self.hints = self._opened()

    def another(self) -> None:
        """Go on to the next seed."""
        one = exercise(self.exercise.template, (self.exercise.seed + 1) % (SEED_MAX + 1))
        for name, value in self._show(one).items():
            setattr(self, name, value)

    def _heard(self, _: object, content: Any, __: object) -> None:
        """Take a message from the browser; it may hold anything."""
        match content:
            case {"do": "check", "values": list(values)} if len(values) <= VALUES_LIMIT and all(
                isinstance(value, str) and len(value) <= VALUE_LIMIT for value in values
            ):
                self.check(values)
            case {"do": "hint"}:
                self.hint()
            case {"do": "another"}:
                self.another()
