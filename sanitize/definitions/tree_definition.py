"""Definitions in JSON or YAML: rules whose ``where`` is a path find fields in a tree of nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from unclone.sanitize.definitions.definition import Definition, Field, Leaf
from unclone.sanitize.definitions.rule import Treatment
from unclone.sanitize.definitions.substitution import UUID, name_pattern
from unclone.sanitize.definitions.text.splicing import Edit
from unclone.sanitize.definitions.text.tree import Shape
from unclone.sanitize.identities import mac as addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from unclone.sanitize.definitions.rule import Rule
    from unclone.sanitize.definitions.text.tree import Node


def fields(
    rules: Iterable[Rule],
    root: Node,
    *,
    applies: Callable[[Rule, Node], bool] = lambda _rule, _node: True,
    label: Callable[[Node], str] = lambda _node: "",
    secret: Callable[[Rule, Node], bool] = lambda _rule, _node: False,
    scope: str = "",
    prefix: bytes = b"",
) -> Iterator[Field]:
    """What the rules find below *root*; ``Rule.where`` holds paths of :meth:`Node.find`.

    Nothing that is null or empty is a field, except where it is taken out. What *secret* says is
    one stands in no report.
    """
    for rule in rules:
        for path in rule.where.split(" | "):
            for node in root.find(path):
                goes = rule.treatment is Treatment.REMOVE
                if (node.value or node.entries or node.items or goes) and applies(rule, node):
                    yield Field(
                        rule,
                        node.place,
                        "" if secret(rule, node) else node.value,
                        node.start,
                        node.end,
                        node.spell,
                        label=label(node),
                        scope=scope,
                        removal=(node.lines or node.pair) if goes else None,
                        prefix=prefix,
                    )


def mentions(
    rule: Rule, node: Node, text: str, old_name: str, *, scope: str = ""
) -> Iterator[Field]:
    """The parts of *node* that are the name, a UUID or a MAC address: each is a field of *rule*.

    So what stands around them, in quotes or in a block of lines, is not written again.
    """
    start, end = node.inner
    inner = text[start:end]
    found = [(one.start, one.end) for one in addresses.find(inner)]
    found += [match.span() for match in UUID.finditer(inner)]
    pattern = name_pattern(old_name)
    found += [match.span() for match in pattern.finditer(inner)] if pattern else []
    at = 0
    for first, last in sorted(found):
        if first >= at:
            at = last
            value = inner[first:last]
            yield Field(rule, node.place, value, start + first, start + last, str, scope=scope)


@dataclass(frozen=True)
class TreeDefinition(Definition):
    """A definition in JSON or YAML. ``roots``: its documents."""

    roots: tuple[Node, ...] = ()

    def leaves(self) -> Iterator[Leaf]:
        """Every scalar."""
        for root in self.roots:
            yield from _leaves(root, "")

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


def _leaves(node: Node, path: str) -> Iterator[Leaf]:
    if node.shape is Shape.SCALAR:
        yield Leaf(path, node.value, node.start, node.end)
    for key, child in node.entries.items():
        step = key.replace("/", "~1")
        yield from _leaves(child, f"{path}/{step}" if path else step)
    for child in node.items:
        yield from _leaves(child, f"{path}[]")
