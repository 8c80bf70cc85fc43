"""Mappings, lists and scalars of a JSON or YAML text, each knowing where in the text it stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Shape(Enum):
    """What a node is."""

    MAPPING = auto()
    SEQUENCE = auto()
    SCALAR = auto()


@dataclass(slots=True)
class Node:
    """A value. ``start``, ``end``: all of it, quotes included.

    ``pair`` is the range from its key to its end, for the value of a mapping. ``lines`` is what
    to take out for it where it stands on lines of its own (block style); in flow style (JSON,
    ``{a: b}``) it is None, and what happens to commas depends on which others go too.
    ``inner`` is the text between quotes, or of a block scalar: where parts can be replaced.
    """

    shape: Shape
    start: int
    end: int
    value: str = ""  # a scalar's text; "" for null
    spell: Callable[[str], str] = str
    inner: tuple[int, int] = (0, 0)
    entries: dict[str, Node] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)
    parent: Node | None = None
    step: str = ""  # its key, or its number in brackets
    pair: tuple[int, int] | None = None
    lines: tuple[int, int] | None = None

    def find(self, path: str) -> Iterator[Node]:
        """The nodes at *path*: ``devices/*/hwaddr``, ``net[]/mac``; ``*`` is any part of a key.

        ``~1`` is a slash in a key, as in a JSON pointer.
        """
        nodes = [self]
        for step in path.replace("[]", "/[]").split("/"):
            key = step.replace("~1", "/")
            nodes = [below for node in nodes for below in node.matching(key)]
        yield from nodes

    def matching(self, step: str) -> Iterator[Node]:
        """The children that one step of a path means."""
        if step == "[]":
            yield from self.items
        elif "*" in step:
            yield from (child for key, child in self.entries.items() if fnmatchcase(key, step))
        elif step in self.entries:
            yield self.entries[step]

    def get(self, path: str, default: str = "") -> str:
        """The text of the first scalar at *path*."""
        return next((n.value for n in self.find(path) if n.shape is Shape.SCALAR), default)

    def walk(self) -> Iterator[Node]:
        """The node and all below, in the order of the text."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed([*node.entries.values(), *node.items])

    @property
    def place(self) -> str:
        """Where it is, for people: ``spec.domain.devices.interfaces[0].macAddress``."""
        above = self.parent.place if self.parent else ""
        dot = "." if above and not self.step.startswith("[") else ""
        return f"{above}{dot}{printable(self.step, 80)}"
