"""Controls: fields, buttons and choices, all alike in every panel, and the numbers that people type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from kvmlab.engine import InputError

DIGITS_LIMIT = 60
_NARROW = {"description_width": "auto"}


def text_field(name: str, value: str, width: str) -> widgets.Text:
    """Return a field for a line of text; it carries the CSS class ``kvmlab-<name>``."""
    field = widgets.Text(value=value, description=name, style=_NARROW, layout=widgets.Layout(width=width))
    return _classed(field, name)


def number_field(name: str, value: int, width: str = "9em") -> widgets.IntText:
    """Return a field for a whole number."""
    field = widgets.IntText(value=value, description=name, style=_NARROW, layout=widgets.Layout(width=width))
    return _classed(field, name)


def choice(name: str, options: Sequence[Any], width: str, **more: Any) -> widgets.Dropdown:
    """Return a choice among options: values, or (label, value) pairs."""
    field = widgets.Dropdown(
        options=options, description=name, style=_NARROW, layout=widgets.Layout(width=width), **more
    )
    return _classed(field, name)


def push(
    name: str, action: Callable[[], object], width: str, *, primary: bool = False, tooltip: str = ""
) -> widgets.Button:
    """Return a button that does something; it is as wide as its name needs, and at least of this width."""
    button = widgets.Button(
        description=name,
        button_style="primary" if primary else "",
        tooltip=tooltip or name,
        layout=widgets.Layout(width="auto", min_width=width),
    )
    button.on_click(lambda _: action())
    return _classed(button, name)


def on_enter(field: widgets.Text, action: Callable[[], object]) -> None:
    """Do something when Enter is pressed in a field."""

    def heard(_: widgets.Widget, content: dict[str, str], __: object) -> None:
        if content.get("event") == "submit":
            action()

    field.on_msg(heard)


def parse_number(name: str, text: str) -> int:
    """Return the number that somebody typed, in hex with 0x or in decimal.

    Args:
        name: what it is, for the message.
        text: what was typed; blanks around it and underscores between digits do not matter.

    Raises:
        InputError: it is not a number.

    >>> hex(parse_number("IPA", " 0x8000_1000 "))
    '0x80001000'
    """
    short = text.strip()[:DIGITS_LIMIT]
    try:
        return int(short, 0)
    except ValueError:
        raise InputError(f"{name} is {short!r}; write a number, such as 0x80001000 or 4096") from None


def _classed(widget: Any, name: str) -> Any:
    widget.add_class(f"kvmlab-{name.lower().replace(' ', '-')}")
    return widget
