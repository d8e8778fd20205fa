"""Two runs side by side: at each moment, what the one shows and the other does not."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace

from kvmlab.scenes.scene import Picture, Scene

Key = tuple[int, int]
"""A moment of a run that another run has too: the command's number, and the step within it."""
HIDDEN = ("", "off")


def side_by_side(one: Scene, other: Scene) -> tuple[Scene, Scene]:
    """Return two runs of the same kind, each step marked with the parts that the other run shows otherwise.

    The runs are lined up by command, and within a command step by step; the shorter one waits at its last step. The
    steps' `event` becomes their place in that common order, so players that move together by it keep them lined up.

    Args:
        one: a run.
        other: another, which may share its beginning.

    Returns:
        Both, in the order in which they were given.
    """
    keys = _keys(one), _keys(other)
    places = {key: place for place, key in enumerate(sorted({*keys[0], *keys[1]}))}
    ones, others = ([places[key] for key in row] for row in keys)
    return _marked(one, ones, other, others), _marked(other, others, one, ones)


def _keys(scene: Scene) -> list[Key]:
    keys: list[Key] = []
    for step in scene.steps:
        same = keys and keys[-1][0] == step.command
        keys.append((step.command, keys[-1][1] + 1 if same else 0))
    return keys


def _marked(scene: Scene, places: list[int], other: Scene, others: list[int]) -> Scene:
    """Mark the steps of a scene with what another shows otherwise at the same place."""
    pictures, at = _pictures(other), -1
    there: Picture = {}
    steps = []
    for step, place, here in zip(scene.steps, places, _pictures(scene), strict=True):
        goal = max(0, bisect_right(others, place) - 1)
        while at < goal:
            there, at = next(pictures), at + 1
        differs = tuple(part for part, shown in here.items() if _differ(shown, there.get(part)))
        steps.append(replace(step, event=place, differs=differs))
    return replace(scene, steps=tuple(steps))


def _differ(shown: tuple[str, str], other: tuple[str, str] | None) -> bool:
    """Return whether a part looks otherwise; what the other run has no place for counts as hidden there."""
    if other is None:
        return shown[0] not in HIDDEN or bool(shown[1])
    return shown != other


def _pictures(scene: Scene) -> Iterator[Picture]:
    """Yield what every part shows at each step, one after the other; the same dictionary each time."""
    picture = scene.base()
    for step in scene.steps:
        for part, state, text in step.patches:
            old = picture[part]
            picture[part] = (old[0] if state is None else state, old[1] if text is None else text)
        yield picture
