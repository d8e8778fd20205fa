"""The nine questions of the lectures: asked, voted on, talked over with a neighbour, voted on again, then run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from kvmlab.engine.errors import InputError
from kvmlab.scenes.misconceptions import MISCONCEPTIONS
from kvmlab.scenes.table import Table

LETTERS = "ABCD"


class Answer(NamedTuple):
    """One of the four answers.

    Attributes:
        text: as it is read out.
        belief: the misconception that makes it tempting; "" for the right answer and for a plain slip.
        tempts: why somebody takes it, where no misconception says it; "" for the right answer.
    """

    text: str
    belief: str = ""
    tempts: str = ""

    @property
    def right(self) -> bool:
        """Whether it is the right answer."""
        return not self.belief and not self.tempts

    @property
    def why(self) -> str:
        """Why it is wrong, in words for the class; "" for the right answer."""
        if self.belief:
            known = MISCONCEPTIONS[self.belief]
            return f"{self.belief}, “{known.belief}” {known.truth}"
        return self.tempts


@dataclass(frozen=True)
class PeerQuestion:
    """A question for a class.

    Args:
        lecture: 1 to 3.
        asks: the situation and the question.
        answers: four, one of them right.
        because: why the right one is right.
        after: what to ask next, with the answer.
        page: the page of `kvmlab lectures` whose run decides it; "" where none does.
    """

    lecture: int
    asks: str
    answers: tuple[Answer, ...]
    because: str
    after: str = ""
    page: str = ""

    @property
    def right(self) -> str:
        """The letter of the right answer."""
        return next(letter for letter, answer in zip(LETTERS, self.answers, strict=True) if answer.right)


QUESTIONS: dict[str, PeerQuestion] = {
    "P1": PeerQuestion(
        1,
        "A guest program reads an address that its own kernel has not mapped. The guest's own tables lie in pages "
        "that KVM has mapped. Who gets control first?",
        (
            Answer("the guest's kernel"),
            Answer("KVM, through Hyp mode", "M09"),
            Answer("the host's page-fault handler", "M08"),
            Answer("nobody, the walker fills it in", "M07"),
        ),
        "It is a fault of stage 1, and those belong to the guest.",
        "And if one of the guest's tables lay in a page that is missing in stage 2? (B: the walk itself needs stage 2. "
        "HSR has S1PTW set.)",
    ),
    "P2": PeerQuestion(
        1,
        "After the first write, to IPA 0x80000000, the guest writes to 0x80001000. How many new table frames and TLB "
        "flushes does that make?",
        (
            Answer("1 and 0", tempts="One table for each page? A level 3 table has room for 512 pages, here 2 MiB."),
            Answer("0 and 1", "M18"),
            Answer("0 and 0"),
            Answer("2 and 1", tempts="Two frames was the first fault: now level 2 and level 3 are there."),
        ),
        "The tables of this 2 MiB exist, and an entry that was absent cannot be in a TLB.",
        page="next-page",
    ),
    "P3": PeerQuestion(
        1,
        "The guest only reads a fresh page; the host page behind it may be written. What does Linux 3.9 install?",
        (
            Answer("a read-write leaf, and it marks the page dirty", "M12"),
            Answer("a read-only leaf"),
            Answer("nothing until the first write", "M03"),
            Answer("a read-write leaf, not marked dirty", "M12"),
        ),
        "A read asks the host for a page to read, and 3.9 on ARM is given no more than that.",
        "It now writes. What happens? (A permission fault; the leaf becomes read-write, the page dirty, and one flush "
        "of the VMID follows.)",
        "read-then-write",
    ),
    "P4": PeerQuestion(
        2,
        "KVM has cleared a leaf and has not flushed yet. A CPU that used the page a moment ago reads it again.",
        (
            Answer("it must fault", "M17"),
            Answer("it may still read the old page"),
            Answer("it reads zeros", tempts="An empty entry is no page of zeros; and the CPU does not look at it."),
            Answer("it waits for the flush", "M32"),
        ),
        "The TLB has a copy of the finished walk, and nobody has told it.",
        page="stale",
    ),
    "P5": PeerQuestion(
        2,
        "Generation 2 has given out all 255 numbers. Guest number 256 enters. What happens?",
        (
            Answer("only it waits", tempts="Nobody waits for a number: a new generation has 255 new ones."),
            Answer("the guest that was idle longest gives its number up", "M26"),
            Answer("all lose their numbers, TLBs are flushed, tables are built again", "M25"),
            Answer("all lose their numbers, TLBs are flushed, tables stay"),
        ),
        "One counter goes up, so no number given out before is good any more; tables do not hold numbers.",
        page="rollover",
    ),
    "P6": PeerQuestion(
        2,
        "One page is mapped in this region of 2 MiB, others in the next region of the same GiB. That one page is "
        "unmapped. How many frames go back to the allocator?",
        (
            Answer("0, the table stays", "M28"),
            Answer("1"),
            Answer("2", tempts="The level 2 table still has an entry: the one for the region beside it."),
            Answer("2, one of them the guest's page", "M40"),
        ),
        "The level 3 table is empty and goes; the level 2 table is not.",
        page="ladder",
    ),
    "P7": PeerQuestion(
        3,
        "A fault has looked page X up. Before it gets the lock, the host invalidates another page Y of the same VM, "
        "completely. What does the fault do?",
        (
            Answer("it maps X", "M37"),
            Answer("it returns to the guest with nothing mapped"),
            Answer("it looks X up again in the kernel", "M39"),
            Answer("it returns an error to QEMU", "M10"),
        ),
        "The sequence has moved, and it says nothing about which page moved it.",
        page="other-page",
    ),
    "P8": PeerQuestion(
        3,
        "Why is there a count besides the sequence?",
        (
            Answer("no reason", "M38"),
            Answer("the sequence might wrap", tempts="It is an unsigned long, and a fault is short."),
            Answer("a fault that samples after range_start and tests before range_end sees the same sequence"),
            Answer("it counts mapped pages", "M27"),
        ),
        "range_start leaves the sequence alone; only range_end moves it.",
        page="range",
    ),
    "P9": PeerQuestion(
        3,
        "update_vttbr stores the VM's generation, its VMID and its VTTBR, which holds the VMID too. Another vCPU of "
        "the VM tests the generation without the lock, and then uses VTTBR. Which order of the stores is safe?",
        (
            Answer(
                "generation, VMID, VTTBR",
                tempts="This is the order of 3.9: a reader can see the new generation and the old VTTBR.",
            ),
            Answer(
                "VMID, generation, VTTBR",
                tempts="VTTBR is still last, and it is what the reader uses once the generation looks right.",
            ),
            Answer("VMID, VTTBR, generation"),
            Answer("any, a spinlock is held", "M32"),
        ),
        "What is tested must be stored after what is used.",
    ),
}
"""By name. Which is right, and which page decides, is checked against the engine."""


@dataclass(frozen=True, repr=False)
class Questions:
    """Questions as a notebook shows them: the answers are folded away.

    Args:
        names: of `QUESTIONS`.
    """

    names: tuple[str, ...]

    def __str__(self) -> str:
        """Return them as text, with the answers."""
        return "\n\n".join(f"{name}. {_text(QUESTIONS[name])}" for name in self.names)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return them for a notebook or a page."""
        return "".join(_html(name, QUESTIONS[name]) for name in self.names)


def peer_questions(which: int | str | Iterable[str]) -> Questions:
    """Return questions to show to a class, or to read before it.

    Args:
        which: a lecture, 1 to 3; or a name, "P1" to "P9"; or several names.

    Raises:
        InputError: there is no such lecture or question.

    >>> peer_questions("P6").names
    ('P6',)
    """
    if isinstance(which, int):
        names = tuple(name for name, question in QUESTIONS.items() if question.lecture == which)
        if not names:
            raise InputError(f"lecture is {which}; allowed: 1 to 3")
        return Questions(names)
    names = (which,) if isinstance(which, str) else tuple(which)
    for name in names:
        if name not in QUESTIONS:
            raise InputError(f"question is {name!r}; allowed: {', '.join(QUESTIONS)}")
    return Questions(names)


def cards(names: Iterable[str] | None = None) -> Table:
    """Return misconceptions as cards: what many think, and what holds instead.

    Args:
        names: "M01" and so on; all if not given.

    Raises:
        InputError: there is no such one.
    """
    chosen = list(MISCONCEPTIONS if names is None else names)
    if unknown := [name for name in chosen if name not in MISCONCEPTIONS]:
        raise InputError(f"misconception is {unknown[0]!r}; allowed: {', '.join(MISCONCEPTIONS)}")
    rows = tuple((name, MISCONCEPTIONS[name].belief, MISCONCEPTIONS[name].truth) for name in chosen)
    return Table(("card", "many think", "instead"), rows)


def _text(question: PeerQuestion) -> str:
    lines = [question.asks]
    for letter, answer in zip(LETTERS, question.answers, strict=True):
        lines.append(f"{letter}. {answer.text}" + (f" ({answer.why})" if answer.why else " (right)"))
    return "\n".join([*lines, f"{question.right}: {question.because}", *filter(None, [question.after])])


def _html(name: str, question: PeerQuestion) -> str:
    choices = "".join(
        f"<li><b>{letter}</b> {escape(answer.text)}</li>"
        for letter, answer in zip(LETTERS, question.answers, strict=True)
    )
    wrong = "".join(
        f"<li><b>{letter}</b> {escape(answer.why)}</li>"
        for letter, answer in zip(LETTERS, question.answers, strict=True)
        if not answer.right
    )
    after = f"<p><b>Then ask:</b> {escape(question.after)}</p>" if question.after else ""
    return (
        f'<section style="margin-bottom:1.5em"><p><b>{name}.</b> {escape(question.asks)}</p>'
        f'<ul style="list-style:none">{choices}</ul>'
        f"<details><summary>Answer to {name}, and why each wrong one tempts</summary>"
        f"<p><b>{question.right}</b> {escape(question.because)}</p><ul>{wrong}</ul>{after}</details></section>"
    )
