"""Mappings, lists and scalars of a JSON or YAML text, each knowing where in the text it stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, BinaryIO

from unclone.images.text import printable
from unclone.sanitize.definitions.definition import Definition, Field
from unclone.sanitize.definitions.row import Treatment
from unclone.sanitize.definitions.splicing import Edit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from unclone.sanitize.definitions.row import Row


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
    value: str = ""  # a scalar's words; "" for null
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
        """The words of the first scalar at *path*."""
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


def fields(
    rows: Iterable[Row],
    root: Node,
    *,
    applies: Callable[[Row, Node], bool] = lambda _row, _node: True,
    label: Callable[[Node], str] = lambda _node: "",
    secret: Callable[[Row, Node], bool] = lambda _row, _node: False,
    scope: str = "",
    prefix: bytes = b"",
) -> Iterator[Field]:
    """What the rows find below *root*; ``Row.where`` holds paths of :meth:`Node.find`.

    Nothing that is null or empty is a field, except where it is taken out. What *secret* says is
    one stands in no report.
    """
    for row in rows:
        for path in row.where.split(" | "):
            for node in root.find(path):
                goes = row.treatment is Treatment.REMOVE
                if (node.value or node.entries or node.items or goes) and applies(row, node):
                    yield Field(
                        row,
                        node.place,
                        "" if secret(row, node) else node.value,
                        node.start,
                        node.end,
                        node.spell,
                        label=label(node),
                        scope=scope,
                        removal=(node.lines or node.pair) if goes else None,
                        prefix=prefix,
                    )


@dataclass(frozen=True)
class TreeDefinition(Definition):
    """A definition in JSON or YAML. ``roots``: its documents."""

    roots: tuple[Node, ...] = ()

    def write(self, edits: Sequence[Edit], output: BinaryIO) -> None:
        """Write it; commas go with what is taken out between braces."""
        gone = {(edit.start, edit.end) for edit in edits if not edit.text}
        kept = [edit for edit in edits if edit.text or (edit.start, edit.end) not in gone]
        flow: set[tuple[int, int]] = set()
        for node in (node for root in self.roots for node in root.walk()):
            pairs = [child.pair for child in node.entries.values() if child.pair]
            if any(child.lines for child in node.entries.values()) or not gone & set(pairs):
                continue
            flow |= gone & set(pairs)
            kept += _without(pairs, gone)
        blocks = [Edit(start, end, "") for start, end in gone - flow]
        super().write(_outermost([*kept, *blocks]), output)


def _without(pairs: list[tuple[int, int]], gone: set[tuple[int, int]]) -> Iterator[Edit]:
    """The ranges to take out of a mapping between braces, commas included."""
    stays = [pair for pair in pairs if pair not in gone]
    if not stays:
        yield Edit(pairs[0][0], pairs[-1][1], "")
        return
    if stays[0] != pairs[0]:
        yield Edit(pairs[0][0], stays[0][0], "")
    for number, pair in enumerate(stays):
        after = pairs[pairs.index(pair) + 1 :]
        following = stays[number + 1] if number + 1 < len(stays) else None
        run = after[: after.index(following)] if following else after
        if run:
            yield Edit(pair[1], run[-1][1], "")


def _outermost(edits: list[Edit]) -> list[Edit]:
    """Without the edits inside of what is taken out as a whole."""
    out = sorted((e for e in edits if not e.text), key=lambda e: (e.start, -e.end))
    holes: list[Edit] = []
    for edit in out:
        if not holes or edit.end > holes[-1].end:
            holes.append(edit)
    return [
        e
        for e in edits
        if not any(h is not e and h.start <= e.start and e.end <= h.end and h != e for h in holes)
    ]
