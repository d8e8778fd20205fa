"""Exercises: made from a seed, answered by the engine, with hints, and with words for each error that is known."""

from kvmlab.exercises import (  # noqa: F401  each enters its templates
    addresses,
    caches,
    counters,
    devices,
    faults,
    hosts,
    leaves,
    races,
    reading,
    schedules,
    tables,
    tags,
    vmids,
)
from kvmlab.exercises.judge import check
from kvmlab.exercises.parts import SEED_MAX, Answer, Exercise, Field, Fields, Order, Result, Schedule, Several
from kvmlab.exercises.template import TEMPLATES, Template, exercise, find

__all__ = [
    "SEED_MAX",
    "TEMPLATES",
    "Answer",
    "Exercise",
    "Field",
    "Fields",
    "Order",
    "Result",
    "Schedule",
    "Several",
    "Template",
    "check",
    "exercise",
    "find",
]
