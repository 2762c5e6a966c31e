"""A tree as a Mermaid flowchart, which GitHub, editors and notebooks draw.

Owns the text: names, labels, arrows and classes. It must not know where a tree comes
from, nor trust anything in it: an id is whatever somebody thought of.

Two rules make every tree a valid chart. Nodes have names of their own, `n1`, `n2`...,
so that no id clashes with another one or with a word of the language (`end`). And in a
label everything but letters, figures and what joins two of them is written as its code,
so that no id ends a label or is taken for markup: a label is searched for directives,
HTML, Markdown, links, icons and mathematics.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from threadsup._exits import ChildId

    Ends: TypeAlias = tuple[str, str]
    """The names of the nodes by which something is entered and left."""

__all__ = ["Drawn", "flowchart"]

_STYLES: Final = {
    "new": "fill:#f2f2f2,stroke:#757575,color:#111111",
    "starting": "fill:#fff3cd,stroke:#b07d00,color:#111111",
    "up": "fill:#dff3e4,stroke:#1e7d34,color:#111111",
    "restarting": "fill:#ffe0b8,stroke:#b85c00,color:#111111",
    "stopping": "fill:#fff3cd,stroke:#b07d00,color:#111111",
    "ended": "fill:#e2e2e2,stroke:#757575,color:#111111",
    "held": "fill:#dce8f7,stroke:#2b5c9e,color:#111111",
    "failed": "fill:#f9d7d7,stroke:#b3261e,color:#111111",
}
"""Of each state."""

_WORDS: Final = re.compile(r"[^\W_]+(?:[ ._/-][^\W_]+)*")
"""What stands in a label as it is."""


class Drawn(Protocol):
    """One line of a tree: see `threadsup.Node`."""

    @property
    def kind(self) -> str:
        """What it is."""

    @property
    def id(self) -> ChildId:
        """Which one."""

    @property
    def state(self) -> str:
        """How it is."""

    @property
    def children(self) -> Sequence[Drawn]:
        """What is below; of a stage, its replicas."""

    @property
    def links(self) -> Iterable[ChildId]:
        """Which children of the same supervisor its results go on to."""


def flowchart(tree: Drawn) -> str:
    """Return the text of a chart of `tree`."""
    return "\n".join(_Chart().draw(tree))


class _Chart:
    """A chart in the making."""

    def __init__(self) -> None:
        self._lines = ["flowchart TD"]
        self._count = 0
        self._states: dict[str, list[str]] = {}
        self._links: list[Ends] = []

    def draw(self, tree: Drawn) -> list[str]:
        """Return the lines of the chart."""
        self._node(tree, 1, [])
        for source, target in dict.fromkeys(self._links):
            self._line(1, f"{source} --> {target}")
        for state, style in _STYLES.items():
            if names := self._states.get(state):
                self._line(1, f"classDef {state} {style}")
                self._line(1, f"class {','.join(names)} {state}")
        return self._lines

    def _line(self, depth: int, text: str) -> None:
        self._lines.append("    " * depth + text)

    def _node(self, node: Drawn, depth: int, links: list[tuple[str, Drawn]]) -> Ends:
        """Draw a node and what is below; note in `links` where its results leave it."""
        self._count += 1
        name = f"n{self._count}"
        self._states.setdefault(node.state, []).append(name)
        if node.kind == "stage" or not node.children:
            # A box also where there could be something inside: not all of Mermaid's
            # versions can draw a frame around nothing.
            self._line(depth, f'{name}["{_label(node)}"]')
            ends = (name, name)
        else:
            self._line(depth, f'subgraph {name}["{_label(node)}"]')
            ends = self._inside(name, node, depth + 1, links)
            self._line(depth, "end")
        links.append((ends[1], node))
        return ends

    def _inside(self, name: str, node: Drawn, depth: int, links: list[tuple[str, Drawn]]) -> Ends:
        if node.kind == "chain":
            self._line(depth, "direction LR")
            stages = [self._node(child, depth, links) for child in node.children]
            for (_, source), (target, _) in pairwise(stages):
                self._line(depth, f"{source} --> {target}")
            return stages[0][0], stages[-1][1]
        if node.kind == "supervisor":
            links = []
        entries = {child.id: self._node(child, depth, links)[0] for child in node.children}
        if node.kind == "supervisor":
            for source, linked in links:
                self._links += [(source, entries[key]) for key in linked.links if key in entries]
        return name, name


def _label(node: Drawn) -> str:
    """Return what stands in the box: `handler poller`; of a stage `parse`, or `parse x4`."""
    if node.kind != "stage":
        return f"{_escape(node.kind)} {_escape(str(node.id))}"
    replicas = f" x{len(node.children)}" if len(node.children) > 1 else ""
    return _escape(str(node.id)) + replicas


def _escape(text: str) -> str:
    """Return `text` so that it stands for itself in a label."""
    parts, at = [], 0
    shown = "".join(char if char.isprintable() else _shown(char) for char in text)
    for words in _WORDS.finditer(shown):
        # What begins with `www.` is made a link.
        plain = words[0] if "www." not in words[0].lower() else _coded(words[0])
        parts += [_coded(shown[at : words.start()]), plain]
        at = words.end()
    return "".join([*parts, _coded(shown[at:])])


def _shown(char: str) -> str:
    """Return what does not print as Python writes it, such as a line's end."""
    return char.encode("unicode_escape").decode()


def _coded(text: str) -> str:
    return "".join(f"#{ord(char)};" for char in text)
