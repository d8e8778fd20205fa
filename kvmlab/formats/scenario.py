"""Scenarios: a machine's configuration and the commands it is given, in the format of the traces, kind "machine"."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kvmlab.engine import Config, InputError
from kvmlab.formats.trace import FORMAT, TraceError, read_trace


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        name: "access", "create_vm", ...
        args: its arguments, plain values by name.
    """

    name: str
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """What one needs to repeat a run.

    Attributes:
        name: its title.
        config: the machine.
        commands: what it is given, in order.
    """

    name: str
    config: Config
    commands: tuple[Command, ...]


def plain_config(config: Config) -> dict[str, Any]:
    """Return what differs from the default configuration, as plain values."""
    default = Config()
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(Config)}
    return {
        name: sorted(value) if isinstance(value, frozenset) else value
        for name, value in values.items()
        if value != getattr(default, name)
    }


def config_from(values: dict[str, Any]) -> Config:
    """Return the configuration that ``plain_config`` wrote.

    Raises:
        InputError: an option does not exist, or its value is not allowed.
    """
    names = {f.name: type(getattr(Config(), f.name)) for f in dataclasses.fields(Config)}
    if unknown := [name for name in values if name not in names]:
        raise InputError(f"config has {unknown[0]!r}; allowed: {', '.join(names)}")
    for name, value in values.items():
        wanted = list if names[name] is frozenset else names[name]
        if type(value) is not wanted or (wanted is list and not all(isinstance(item, str) for item in value)):
            raise InputError(f"config.{name} is {value!r}; allowed: a value like {plain_default(name)}")
    options: dict[str, Any] = {
        name: frozenset(value) if names[name] is frozenset else value for name, value in values.items()
    }
    return Config(**options)


def plain_default(name: str) -> str:
    """Return how the default of an option is written in a file."""
    value = getattr(Config(), name)
    return json.dumps(sorted(value) if isinstance(value, frozenset) else value)


def write_scenario(path: Path, scenario: Scenario) -> None:
    """Write a scenario to a file, replacing what was there.

    Raises:
        InputError: the file cannot be written.
    """
    header = {"t": "header", "format": FORMAT, "kind": "machine", "name": scenario.name}
    lines: list[dict[str, Any]] = [{**header, "config": plain_config(scenario.config)}]
    lines += [
        {"t": "op", "i": number, "op": command.name, "in": command.args}
        for number, command in enumerate(scenario.commands)
    ]
    try:
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None


def read_scenario(path: Path) -> Scenario:
    """Read a scenario. Nothing in it is executed before all of it has been read.

    Raises:
        InputError: the file is no scenario; the message names file, line and field.
    """
    records = read_trace(path)
    header = next(records)
    if header.data["kind"] != "machine":
        raise TraceError(f"{path}:1: kind is {header.data['kind']!r}; allowed: machine")
    try:
        config = config_from(header.data["config"])
    except InputError as error:
        raise TraceError(f"{path}:1: {error}") from None
    commands = tuple(Command(record.data["op"], record.data["in"]) for record in records if record.kind == "op")
    return Scenario(header.data.get("name", ""), config, commands)
