"""YAML read for editing: each value knows its place; comments and order stay.

Only PyYAML's parser is used, which makes no objects: aliases (with them go bombs), tags other than
YAML's own, keys that are there twice, and depth and size that no definition has are refused before
anything is built.

References: YAML 1.1, 3.2 and 5 to 9; PyYAML's events and marks (their index counts characters).
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize.definitions.text.json_tree import read_json
from unclone.sanitize.definitions.text.tree import Node, Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from unclone.sanitize.definitions.text.source import Source

#: Kubernetes stores no object of more than 1.5 MiB. In characters.
SIZE_LIMIT = 2 * 2**20
DEPTH_LIMIT = 64
NODE_LIMIT = 50_000

_FAST: type[yaml.SafeLoader] | None = getattr(yaml, "CSafeLoader", None)
_OWN_TAG = "tag:yaml.org,2002:"
_STRING = f"{_OWN_TAG}str"
_OWN_TAGS = {
    _OWN_TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp")
}
#: What can stand without quotes; what it is then is asked of the resolver.
_PLAIN = re.compile(r"[A-Za-z0-9_/.][A-Za-z0-9_/.+@=:-]*(?<!:)")
_LINE_END = re.compile(r"[ \t]*(?:#[^\r\n]*)?(?:\r\n|\n|\r|\Z)")


def read_documents(source: Source) -> list[Node]:
    """The documents in *source*; one, where it is JSON. Raises RefusedError."""
    if source.text.lstrip()[:1] in ("{", "["):
        return [read_json(source)]
    return _Reader(source).read()


class _Reader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._text = source.text
        self._events: Iterator[yaml.Event] = iter(())
        self._count = 0
        self._resolver: Any = yaml.resolver.Resolver()  # its stubs leave methods untyped

    def read(self) -> list[Node]:
        if len(self._text) > SIZE_LIMIT:
            raise RefusedError(
                f"{self._source.shown} has more than {SIZE_LIMIT // 2**20} MiB of YAML",
                hint="That is no definition of a VM.",
            )
        documents: list[Node] = []
        try:
            self._events = self._parsed()
            for event in self._events:
                if isinstance(event, yaml.DocumentStartEvent):
                    node = self._node(next(self._events), 0)
                    if node.value or node.entries or node.items:
                        documents.append(node)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._refuse(mark.index if mark else 0, error.problem or "it cannot be read")
        except yaml.reader.ReaderError as error:
            self._refuse(min(error.position, len(self._text)), "a character that YAML forbids")
        return documents

    def _parsed(self) -> Iterator[yaml.Event]:
        """What the parser says: libyaml, ten times as fast, for texts that it can read.

        Both count characters; the pure one has the words for what is wrong.
        """
        if _FAST is not None:
            try:
                # Enough events for as many values as are read: more are refused anyway.
                return iter(list(islice(yaml.parse(self._text, Loader=_FAST), 5 * NODE_LIMIT)))
            except (yaml.YAMLError, UnicodeEncodeError):  # also what is no UTF-8
                pass
        return iter(yaml.parse(self._text, Loader=yaml.SafeLoader))

    def _node(self, event: yaml.Event, depth: int) -> Node:
        self._count += 1
        start = _start(event)
        if depth > DEPTH_LIMIT or self._count > NODE_LIMIT:
            self._refuse(start, f"more than {DEPTH_LIMIT} levels or {NODE_LIMIT} values")
        if isinstance(event, yaml.AliasEvent):
            self._refuse(start, "aliases are not supported: write out what they stand for")
        tag = getattr(event, "tag", None)
        if tag not in (None, "!", *_OWN_TAGS):
            self._refuse(start, f"the tag {printable(str(tag), 80)} is not YAML's own")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(event, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(event, depth)
        if not isinstance(event, yaml.ScalarEvent):
            self._refuse(start, "it cannot be read")
        return self._scalar(event)

    def _mapping(self, event: yaml.MappingStartEvent, depth: int) -> Node:
        node = Node(Shape.MAPPING, _start(event), _end(event))
        starts: list[int] = []
        while not isinstance(key := next(self._events), yaml.MappingEndEvent):
            at = _start(key)
            if not isinstance(key, yaml.ScalarEvent):
                self._refuse(at, "a key that is no word")
            if key.value in node.entries:
                self._refuse(at, f"the key '{printable(key.value, 80)}' is there twice")
            child = self._node(next(self._events), depth + 1)
            child.parent, child.step = node, key.value
            child.pair = (at, max(child.end, _end(key) + 1))
            node.entries[key.value] = child
            starts.append(at)
            node.end = child.pair[1]
        if event.flow_style:
            node.end = _end(key)
            return node
        for number, child in enumerate(node.entries.values()):
            following = starts[number + 1] if number + 1 < len(starts) else None
            child.lines = self._lines(*(child.pair or (0, 0)), following)
        return node

    def _sequence(self, event: yaml.SequenceStartEvent, depth: int) -> Node:
        node = Node(Shape.SEQUENCE, _start(event), _end(event))
        while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
            child = self._node(item, depth + 1)
            child.parent, child.step = node, f"[{len(node.items)}]"
            node.items.append(child)
            node.end = child.end
        if event.flow_style:
            node.end = _end(item)
        return node

    def _scalar(self, event: yaml.ScalarEvent) -> Node:
        start, end = _start(event), _end(event)
        style = event.style or ""
        if style in ("|", ">"):
            end = start + len(self._text[start:end].rstrip())
            header = _block_header(self._text, start)
            return Node(Shape.SCALAR, start, end, event.value, self._refuse_block, (header, end))
        kind = event.tag or self._kind(event.value, plain=not style)
        null = not style and kind.endswith(":null")
        inner = (start + 1, end - 1) if style else (start, end)
        spell = self._speller(style, kind)
        return Node(Shape.SCALAR, start, end, "" if null else event.value, spell, inner)

    def _speller(self, style: str, kind: str) -> Callable[[str], str]:
        def spell(value: str) -> str:
            if any(c < " " or "\x7f" <= c <= "\x9f" for c in value):
                raise RefusedError(
                    f"'{printable(value)}' cannot be written in YAML here",
                    hint="Use no control characters.",
                )
            same = self._kind(value, plain=True) in (_STRING, kind)
            if not style and same and _PLAIN.fullmatch(value):
                return value
            if style == '"':
                return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
            return "'" + value.replace("'", "''") + "'"

        return spell

    def _kind(self, value: str, *, plain: bool) -> str:
        if not plain:
            return _STRING
        return str(self._resolver.resolve(yaml.ScalarNode, value, (True, False)))

    def _lines(self, start: int, end: int, following: int | None) -> tuple[int, int]:
        """All lines of an entry; only up to the next key where it begins behind a dash."""
        begin = start
        while begin > 0 and self._text[begin - 1] in " \t":
            begin -= 1
        if begin > 0 and self._text[begin - 1] not in "\r\n":
            return start, end if following is None else following
        ending = _LINE_END.match(self._text, end)
        return begin, ending.end() if ending else end

    def _refuse_block(self, value: str) -> NoReturn:
        raise RefusedError(
            f"{self._source.shown}: '{printable(value, 80)}' cannot be written as a block of lines",
            hint="Write the value on one line, in quotes.",
        )

    def _refuse(self, offset: int, what: str) -> NoReturn:
        raise RefusedError(
            f"{self._source.position(offset)}: cannot read this YAML: {printable(what, 200)}",
            hint="Is the file complete?",
        )


def _block_header(text: str, start: int) -> int:
    """Where the lines of a block scalar begin: behind the line with its ``|``."""
    match = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)?").match(text, start)
    return match.end() if match else start


def _start(event: yaml.Event) -> int:
    return event.start_mark.index if event.start_mark else 0


def _end(event: yaml.Event) -> int:
    return event.end_mark.index if event.end_mark else 0
