"""Where the tables of a tree stand, top to bottom: Graphviz decides if it is there, else a small layout of our own."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import graphviz

BETWEEN = 8
"""Room between two tables of one level."""
_INCH = 72


@dataclass(frozen=True)
class Node:
    """A table to be placed.

    Args:
        id: its name.
        level: 0 for a root, and so on.
        height: of its box.
        parent: name of the table above, which stands before it in the list; "" for a root.
    """

    id: str
    level: int
    height: float
    parent: str


def place(nodes: tuple[Node, ...]) -> dict[str, float]:
    """Return the upper edge of each table, the highest at 0: tree below tree, in the order of their roots.

    Args:
        nodes: the tables, each tree from its root on.
    """
    starts = [number for number, node in enumerate(nodes) if not node.parent]
    tops: dict[str, float] = {}
    free = 0.0
    for start, stop in pairwise([*starts, len(nodes)]):
        tree = nodes[start:stop]
        here = _place_tree(tree)
        tops.update({name: free + top for name, top in here.items()})
        free = max(tops[node.id] + node.height for node in tree) + BETWEEN
    return tops


@lru_cache(maxsize=64)
def _place_tree(nodes: tuple[Node, ...]) -> dict[str, float]:
    """Return where the tables of one tree stand; without ``dot`` the same tables, placed otherwise."""
    try:
        tops = _by_dot(nodes)
    except (graphviz.ExecutableNotFound, subprocess.CalledProcessError, OSError, ValueError, KeyError):
        tops = by_hand(nodes)
    highest = min(tops.values())
    return {name: round(top - highest, 1) for name, top in tops.items()}


def _by_dot(nodes: tuple[Node, ...]) -> dict[str, float]:
    graph = graphviz.Digraph(
        graph_attr={"rankdir": "LR", "nodesep": str(BETWEEN / _INCH), "ordering": "out"},
        node_attr={"shape": "box", "fixedsize": "true", "width": "2", "label": ""},
    )
    for node in nodes:
        graph.node(node.id, height=str(node.height / _INCH))
    for node in nodes:
        if node.parent:
            graph.edge(node.parent, node.id)
    tops, heights = {}, {node.id: node.height for node in nodes}
    for line in graph.pipe(format="plain", encoding="utf-8", quiet=True).splitlines():
        words = shlex.split(line)
        if words[0] == "node":
            tops[words[1]] = -float(words[3]) * _INCH - heights[words[1]] / 2
    return {node.id: tops[node.id] for node in nodes}


def by_hand(nodes: tuple[Node, ...]) -> dict[str, float]:
    """Return the upper edges without Graphviz: each table at the middle of those under it, as far as there is room."""
    below: dict[str, list[Node]] = {}
    for node in nodes:
        below.setdefault(node.parent, []).append(node)
    tops: dict[str, float] = {}
    free: dict[int, float] = {}

    def put(node: Node) -> float:
        """Place a table and all under it; returns the middle of it."""
        middles = [put(child) for child in below.get(node.id, ())]
        wish = (middles[0] + middles[-1] - node.height) / 2 if middles else 0.0
        tops[node.id] = max(wish, free.get(node.level, 0.0))
        free[node.level] = tops[node.id] + node.height + BETWEEN
        return tops[node.id] + node.height / 2

    for root in below.get("", ()):
        put(root)
    return tops
