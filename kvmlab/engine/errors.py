"""The two errors a user of the engine can meet; anything else that is raised is a bug of kvmlab."""

from collections.abc import Iterable
from difflib import get_close_matches

HEAD, TAIL = 240, 150
"""How much of a long message is kept, at its beginning and at its end, where it says what is allowed."""


class InputError(ValueError):
    """What was asked for makes no sense; nothing has been changed.

    The message names the argument, its value and what is allowed; of a value that is very long, not all of it.
    """

    def __init__(self, message: str) -> None:
        """Say what is wrong."""
        long = len(message) > HEAD + TAIL
        super().__init__(f"{message[:HEAD]} … {message[-TAIL:]}" if long else message)


class KernelBug(Exception):
    """The modelled kernel hit ``BUG()`` or followed a bad pointer; the machine is as the kernel left it.

    Attributes:
        where: the kernel function.
        condition: what did not hold.
    """

    def __init__(self, where: str, condition: str) -> None:
        """Say where the kernel stopped and why."""
        super().__init__(f"kernel BUG in {where}: {condition}")
        self.where = where
        self.condition = condition


def did_you_mean(name: object, allowed: Iterable[str]) -> str:
    """Return what to add to a message about a name that is not allowed: the nearest one that is, or nothing.

    Args:
        name: what was given.
        allowed: the names that are allowed.
    """
    near = get_close_matches(str(name), list(allowed), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def check_int(name: str, value: object, low: int, high: int, *, multiple: int = 1) -> int:
    """Return ``value`` if it is a whole number in ``low..high``, both included.

    Args:
        name: what the message calls the value.
        value: the value to test.
        low: smallest allowed.
        high: largest allowed.
        multiple: the value must be divisible by this.

    Raises:
        InputError: otherwise, naming the value and the range.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{name} must be a whole number, not {value!r}")
    if not low <= value <= high:
        allowed = f"{_number(low)} to {_number(high)}" if low <= high else "none: there is no such thing yet"
        raise InputError(f"{name} is {_number(value)}; allowed: {allowed}")
    if value % multiple:
        raise InputError(f"{name} is {_number(value)}; it must be a multiple of {_number(multiple)}")
    return value


def _number(value: int) -> str:
    """Write small numbers in decimal and addresses in hex, as the kernel does."""
    return f"{value:#x}" if value > 0xFFFF else str(value)
