"""Checks for values read from a file: each takes a name and a value, and returns the value or refuses it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from kvmlab.engine import InputError

Check = Callable[[str, Any], Any]
"""``check(name, value)`` returns the value, hex strings as numbers, or raises InputError with what is allowed."""


def hex_number(high: int) -> Check:
    """Allow a hex string such as "0x80000000", at most ``high``; gives the number."""

    def check(name: str, value: Any) -> int:
        if not isinstance(value, str) or not value.startswith("0x") or not _is_hex(value[2:]):
            raise InputError(f'{name} is {show(value)}; allowed: a hex number in quotes, as "0x80000000"')
        if int(value, 16) > high:
            raise InputError(f"{name} is {value}; allowed: 0x0 to {high:#x}")
        return int(value, 16)

    return check


def _is_hex(digits: str) -> bool:
    return bool(digits) and len(digits) <= 16 and all(c in "0123456789abcdefABCDEF" for c in digits)


def whole(low: int, high: int) -> Check:
    """Allow a whole number from ``low`` to ``high``, both included."""

    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InputError(f"{name} is {show(value)}; allowed: a whole number from {low} to {high}")
        return value

    return check


def show(value: Any) -> str:
    """Write a value from a file out, cut to 60 characters."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def nullable(check: Check) -> Check:
    """Allow null too."""
    return lambda name, value: None if value is None else check(name, value)


def list_of(check: Check, *, size: int | None = None, limit: int = 1 << 16) -> Check:
    """Allow a list of what ``check`` allows: of ``size`` items, or of at most ``limit``."""

    def check_list(name: str, value: Any) -> list[Any]:
        if not isinstance(value, list) or len(value) > limit or (size is not None and len(value) != size):
            raise InputError(f"{name} is {show(value)}; allowed: a list" + (f" of {size}" if size is not None else ""))
        return [check(f"{name}[{i}]", item) for i, item in enumerate(value)]

    return check_list


def map_of(key: Check, check: Check) -> Check:
    """Allow an object whose keys and values are what the two checks allow."""

    def check_map(name: str, value: Any) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise InputError(f"{name} is {show(value)}; allowed: an object")
        return {key(f"key of {name}", k): check(f"{name}[{k}]", v) for k, v in value.items()}

    return check_map


def object_with(required: dict[str, Check], optional: dict[str, Check] | None = None) -> Check:
    """Allow an object that has all the ``required`` keys, perhaps ``optional`` ones, and no others."""
    optional = optional or {}

    def check(name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise InputError(f"{name} is {show(value)}; allowed: an object")
        if missing := [key for key in required if key not in value]:
            raise InputError(f"{name} lacks {missing[0]!r}")
        if unknown := [key for key in value if key not in required and key not in optional]:
            allowed = ", ".join([*required, *optional]) or "nothing"
            raise InputError(f"{name} has {unknown[0]!r}; allowed: {allowed}")
        return {key: {**required, **optional}[key](f"{name}.{key}", item) for key, item in value.items()}

    return check


def text(name: str, value: Any) -> str:
    """Allow text."""
    if not isinstance(value, str):
        raise InputError(f"{name} is {show(value)}; allowed: text")
    return value
