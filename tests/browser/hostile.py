"""A scene in which every text that can be shown is hostile; the same in a kernel and in a test."""

from dataclasses import replace

from kvmlab.panels.player import Player
from kvmlab.scenes.fault.story import fault_scene
from kvmlab.scenes.question import Question
from kvmlab.scenes.scene import Scene, Step
from tests.scenes.runs import first_store

HOSTILE = {
    "script": """</script><script>window.broken = 1</script><img src=x onerror="window.broken = 1"> '"&lt; --> ]]>""",
    "right to left": "\u202e\u2067\u05d0\u05d1\u05d2 0x80000000 \u0639\u0631\u0628 over and over",
    "long": "x" * 10_000,
}
"""Texts that run, that turn what is beside them around, and that find no end."""
TITLE, WHY, ASK = 62, 160, 120


def hostile_scene(name: str) -> Scene:
    """Return a scene whose texts are hostile, as long as the rules for scenes allow where they limit them."""
    words, scene = HOSTILE[name], fault_scene(first_store().stream)
    question = Question(words[:ASK], (words[:TITLE], f"{words[:TITLE]}!"), ("", ""), 0, words[:WHY])

    def step(one: Step) -> Step:
        patches = tuple((part, state, None if text is None else words) for part, state, text in one.patches)
        return replace(
            one, title=words[:TITLE], why=f"{{c|{words[: WHY - 4]}}}, so", fn=words, chip=words, log=(("kern", words),),
            patches=patches, ask=question if one.ask else None,
        )  # fmt: skip

    groups = tuple(replace(group, before=words, after=words) for group in scene.groups)
    lanes = tuple((key, words) for key, _ in scene.lanes)
    steps = tuple(map(step, scene.steps))
    return replace(scene, title=words, source=words, jump=words, groups=groups, lanes=lanes, steps=steps)


def hostile_player(name: str) -> Player:
    """Return the player of such a scene."""
    return Player(hostile_scene(name))
