"""What the panels' one stylesheet says about each part of a picture, so that stills need no browser.

The cascade is that of CSS as far as scenes use it: selectors, importance, inheritance, custom properties and ``var()``.
Rules under ``@container`` and ``@media`` are left out: a still shows the plain layout.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from xml.etree.ElementTree import Element

import cssselect2
import tinycss2

from kvmlab.panels.player import style
from kvmlab.scenes.scene import SceneError

INHERITED = {
    "color": "#000000",
    "fill": "#000000",
    "stroke": "none",
    "stroke-width": "1",
    "stroke-dasharray": "none",
    "stroke-linecap": "butt",
    "stroke-linejoin": "miter",
    "visibility": "visible",
    "font-family": "sans-serif",
    "font-size": "16px",
    "font-weight": "400",
    "text-anchor": "start",
    "paint-order": "normal",
}
"""Properties that parts take from what they stand in, and their first values."""
OWN = {
    "opacity": "1",
    "fill-opacity": "1",
    "stroke-opacity": "1",
    "display": "inline",
    "transform": "none",
    "text-decoration": "none",
}
GEOMETRY = {"x", "y", "width", "height", "rx", "cx", "cy", "r", "d"}
"""What both an attribute and a rule may give; the rule wins."""
NOT_SEEN = {"box-sizing", "cursor", "outline", "pointer-events", "transition", "user-select", "letter-spacing"}
"""What a still does without: behaviour, and the twentieth of a letter by which names of zones are spaced."""

_VAR = re.compile(r"var\(\s*(--[\w-]+)\s*(?:,((?:[^()]|\([^()]*\))*))?\)")
_FONT = re.compile(r"(?:(\d+|bold|normal)\s+)?([\d.]+[a-z]+)(?:/\S+)?\s+(.+)")
_SVG = "{http://www.w3.org/2000/svg}"

Declared = list[tuple[str, str, bool]]


@dataclass(frozen=True)
class Node:
    """One element with its style.

    Args:
        tag: name of the element: "rect", "text", ...
        attributes: as in the markup; lengths that a rule gives take the place of the markup's.
        style: every property of `INHERITED` and `OWN`, without ``var()``.
        custom: the custom properties in force, "--ink" and the like.
        text: what stands in it.
        children: what it holds.
    """

    tag: str
    attributes: Mapping[str, str]
    style: Mapping[str, str]
    custom: Mapping[str, str]
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def walk(self) -> Iterator[Node]:
        """Return the element and all that it holds, in the order of the markup."""
        yield self
        for child in self.children:
            yield from child.walk()


def resolve(svg: Element, scene: str, theme: str, band: str = "stage") -> Node:
    """Return a drawing with its styles, as in a panel.

    Args:
        svg: the drawing.
        scene: name of the scene, the class of its own rules.
        theme: "light" or "dark".
        band: the part of the panel that it stands in: "stage" or "score".

    Raises:
        SceneError: a rule says something about a part that stills cannot show.
    """
    panel = Element("section", {"class": f"kvm {scene}", "data-theme": theme})
    place = Element("div", {"class": band})
    panel.append(place)
    place.append(svg)
    top = Node("", {}, {**INHERITED, **OWN}, {})
    root = cssselect2.ElementWrapper.from_xml_root(panel)
    return _node(root, top, _rules()).children[0].children[0]


def _node(element: Any, parent: Node, rules: Any) -> Node:
    """Return an element and what it holds, with their styles."""
    source: Element = element.etree_element
    tag = source.tag.removeprefix(_SVG)
    declared = _declared(element, rules)
    custom = _custom({name: value for name, value in declared.items() if name.startswith("--")}, parent.custom)
    style = {name: parent.style[name] for name in INHERITED} | OWN
    attributes = dict(source.attrib)
    drawn = source.tag.startswith(_SVG) and tag != "svg"
    for name, raw in declared.items():
        value = substitute(raw, custom)
        if value is None or name.startswith("--"):
            continue
        if name in GEOMETRY:
            attributes[name] = value
        elif name in style:
            style[name] = _value(name, value, parent.style)
        elif drawn and name not in NOT_SEEN:
            raise SceneError(f"stills do not know the property {name!r}, which <{tag} class={element.classes}> has")
    node = Node(tag, attributes, style, custom, source.text or "")
    node.children.extend(_node(child, node, rules) for child in element.iter_children())
    return node


def _declared(element: Any, rules: Any) -> dict[str, str]:
    """Return what attributes, rules and the element itself say, the weaker already overruled."""
    attributes = element.etree_element.attrib
    normal = {name: attributes[name] for name in (*INHERITED, *OWN) if name in attributes}
    strong: dict[str, str] = {}
    matched = [lines for _, _, pseudo, lines in rules.match(element) if pseudo is None]
    for lines in (*matched, _lines(attributes.get("style", ""))):
        for name, value, important in lines:
            (strong if important else normal)[name] = value
    return normal | strong


def _custom(own: Mapping[str, str], inherited: Mapping[str, str]) -> Mapping[str, str]:
    """Return the custom properties in force; where an element has none of its own, those it is in are shared."""
    if not own:
        return inherited
    known = {**inherited, **own}
    return known | {name: substitute(value, known) or "" for name, value in own.items()}


def substitute(value: str, custom: Mapping[str, str]) -> str | None:
    """Return a value with every ``var()`` replaced, or None if one has no value and nothing stands in for it.

    >>> substitute("var(--c, var(--ink))", {"--ink": "#000"})
    '#000'
    """
    while found := _VAR.search(value):
        instead: str | None = found[2]
        put = custom.get(found[1], instead)
        if put is None:
            return None
        value = value[: found.start()] + put.strip() + value[found.end() :]
    return value


def _value(name: str, value: str, parent: Mapping[str, str]) -> str:
    """Return a property's value with words like "inherit" and sizes in em made plain."""
    if value == "inherit":
        return parent[name]
    if value in ("initial", "unset"):
        return {**INHERITED, **OWN}[name]
    if value == "currentColor":
        return parent["color"]
    if name == "font-size" and value.endswith("em"):
        return f"{float(value[:-2]) * length(parent[name])}px"
    return value


def length(value: str) -> float:
    """Return a length in units of the drawing.

    Raises:
        SceneError: it is not a plain number, nor one with ``px``.
    """
    try:
        return float(value.removesuffix("px"))
    except ValueError:
        raise SceneError(f"stills do not know the length {value!r}") from None


@cache
def _rules() -> Any:
    """Return the one stylesheet, ready to be asked about an element."""
    matcher = cssselect2.Matcher()
    for rule in tinycss2.parse_stylesheet(style(), skip_comments=True, skip_whitespace=True):
        if rule.type == "at-rule":
            continue
        if rule.type != "qualified-rule":
            raise SceneError(f"the stylesheet cannot be read: {rule.message}")
        words = tinycss2.serialize(rule.prelude).strip()
        if "::-" in words:  # a part of one browser's own slider
            continue
        try:
            selectors = cssselect2.compile_selector_list(rule.prelude)
        except cssselect2.SelectorError as error:
            raise SceneError(f"stills do not know the selector {words!r}: {error}") from None
        lines = _lines(tinycss2.serialize(rule.content))
        for selector in selectors:
            matcher.add_selector(selector, lines)
    return matcher


@cache
def _lines(content: str) -> Declared:
    """Return the declarations between two braces: name, value, and whether it is important."""
    found: Declared = []
    for line in tinycss2.parse_blocks_contents(content, skip_comments=True, skip_whitespace=True):
        if line.type != "declaration":
            raise SceneError(f"stills do not know this kind of declaration: {content.strip()!r}")
        value = tinycss2.serialize(line.value).strip()
        if line.name == "font" and (font := _FONT.fullmatch(value)):
            longer = (("font-weight", font[1] or "400"), ("font-size", font[2]), ("font-family", font[3]))
            found += [(name, part, line.important) for name, part in longer]
        else:
            found.append((line.name if line.name.startswith("--") else line.lower_name, value, line.important))
    return found
