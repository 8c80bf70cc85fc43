"""YAML of a fleet file: each value with its place, and of a kind that YAML says.

Only PyYAML's parser is used, which makes no objects. An alias is the value that it stands for, once
in memory however often it is used; ``<<`` merges mappings. Tags, a second document, and what is
deeper or larger than any fleet are refused before anything is built.

References: YAML 1.1, 6 to 9; https://yaml.org/type/merge.html.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from unclone.images.errors import UsageError
from unclone.images.text import printable, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Bytes; ten thousand machines listed one by one have fewer.
SIZE_LIMIT = 8 * 2**20
_DEPTH_LIMIT = 20
_VALUE_LIMIT = 1_000_000
_MERGE = "<<"

#: libyaml where PyYAML was built with it: ten times as fast, the same events.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Kind(StrEnum):
    """What a value is, as messages say it."""

    TEXT = "text"
    NUMBER = "a number"
    FLAG = "true or false"
    NOTHING = "empty"
    LIST = "a list"
    MAPPING = "a mapping"


_KINDS = {
    "tag:yaml.org,2002:str": Kind.TEXT,
    "tag:yaml.org,2002:int": Kind.NUMBER,
    "tag:yaml.org,2002:bool": Kind.FLAG,
    "tag:yaml.org,2002:null": Kind.NOTHING,
}


@dataclass(slots=True, eq=False)
class Value:
    """A value. ``text`` is a scalar as it is written; ``keys`` has the places of the keys.

    ``place`` begins messages about it: file, line and column, counted from 1; of a table's field,
    file and line.
    """

    kind: Kind
    place: str
    text: str = ""
    items: list[Value] = field(default_factory=list)
    entries: dict[str, Value] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    #: Whether it is a field of a table, where everything is text.
    from_table: bool = False


class MistakeError(UsageError):
    """Something is wrong in a fleet file; the message begins with the place."""


def mistake(place: str, what: str, hint: str = "") -> NoReturn:
    """Raise MistakeError for *what* is wrong at *place*."""
    raise MistakeError(f"{place}: {what}", hint=hint)


def read_text(path: Path, limit: int) -> str:
    """The text of the file *path*, without a byte order mark. Raises UsageError."""
    name = shown(path)
    try:
        if path.is_dir():
            raise UsageError(f"{name} is a folder, not a file")
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}") from error
    if len(content) > limit:
        raise UsageError(
            f"{name} is larger than {limit >> 20} MiB",
            hint="List many machines in a table (CSV), or count them.",
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = error.start - (before.rfind(b"\n") + 1) + 1
        mistake(f"{name}:{line}:{column}", "this is no text in UTF-8")
    if "\0" in text:
        raise UsageError(f"{name} holds null characters: it is no text")
    return text


def read_fleet(path: Path) -> Value:
    """The document in the file *path*. Raises UsageError with the place of what is wrong."""
    return _Reader(shown(path), read_text(path, SIZE_LIMIT)).read()


class _Reader:
    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._text = text
        self._events: Iterator[Any] = iter(())
        self._anchors: dict[str, Value | None] = {}
        self._count = 0
        self._resolver: Any = yaml.resolver.Resolver()  # its stubs leave methods untyped

    def read(self) -> Value:
        found: Value | None = None
        try:
            self._events = iter(yaml.parse(self._text, Loader=_Loader))
            for event in self._events:
                if isinstance(event, yaml.DocumentStartEvent):
                    if found is not None:
                        mistake(
                            self._place(event), "a second document begins here", "A fleet is one."
                        )
                    found = self._value(next(self._events), 0)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            words = " ".join(filter(None, (error.context, error.problem)))
            place = self._at(mark.line, mark.column) if mark else self._name
            hint = "A tab begins the line: YAML indents with spaces." if self._has_tab(mark) else ""
            mistake(place, f"not valid YAML: {printable(words, 200)}", hint)
        except yaml.reader.ReaderError as error:
            before = self._text[: error.position]
            place = self._at(before.count("\n"), error.position - before.rfind("\n") - 1)
            mistake(place, "not valid YAML: a character that YAML forbids")
        if found is None or found.kind is Kind.NOTHING:
            raise UsageError(f"{self._name} is empty", hint=EXAMPLE)
        return found

    def _value(self, event: Any, depth: int) -> Value:  # noqa: ANN401 (an event of yaml)
        place = self._place(event)
        self._spend(place, 1)
        if depth > _DEPTH_LIMIT:
            mistake(place, f"more than {_DEPTH_LIMIT} levels")
        if isinstance(event, yaml.AliasEvent):
            known = self._anchors.get(str(event.anchor))
            if known is None:
                name = printable(str(event.anchor), 80)
                mistake(place, f"*{name} stands for nothing that is complete before it")
            return known
        if event.tag not in (None, "!"):
            mistake(place, f"the tag {printable(str(event.tag), 80)} is not used here")
        if event.anchor:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.MappingStartEvent):
            value = self._mapping(place, depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = Value(Kind.LIST, place)
            while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
                value.items.append(self._value(item, depth + 1))
        else:
            value = Value(self._kind(event), place, event.value)
        if event.anchor:
            self._anchors[event.anchor] = value
        return value

    def _mapping(self, place: str, depth: int) -> Value:
        own = Value(Kind.MAPPING, place)
        merged: list[Value] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            where = self._place(event)
            if not isinstance(event, yaml.ScalarEvent):
                mistake(where, "a key that is no word")
            key, plain = event.value, not event.style
            value = self._value(next(self._events), depth + 1)
            if key == _MERGE and plain:
                merged += value.items if value.kind is Kind.LIST else [value]
                continue
            if key in own.entries:
                first = own.keys[key].rpartition(":")[0].rpartition(":")[2]
                word = printable(key, 80)
                mistake(where, f"{word} is here twice, first in line {first}", "Merge the two.")
            own.entries[key], own.keys[key] = value, where
        for each in merged:
            if each.kind is not Kind.MAPPING:
                mistake(place, f"<< takes mappings, and gets {each.kind}")
            self._spend(place, len(each.entries))
            for key, value in each.entries.items():
                if key not in own.entries:
                    own.entries[key], own.keys[key] = value, each.keys[key]
        return own

    def _kind(self, event: Any) -> Kind:  # noqa: ANN401 (an event of yaml)
        if event.style:
            return Kind.TEXT
        tag = self._resolver.resolve(yaml.ScalarNode, event.value, (True, False))
        if ":" in event.value and tag.endswith((":int", ":float")):
            return Kind.TEXT  # 52:54:00 is a number to base 60 for YAML 1.1 alone
        return _KINDS.get(tag, Kind.NUMBER)

    def _spend(self, place: str, values: int) -> None:
        self._count += values
        if self._count > _VALUE_LIMIT:
            mistake(place, f"more than {_VALUE_LIMIT:,} values")

    def _place(self, event: Any) -> str:  # noqa: ANN401 (an event of yaml)
        return self._at(event.start_mark.line, event.start_mark.column)

    def _at(self, line: int, column: int) -> str:
        return f"{self._name}:{line + 1}:{column + 1}"

    def _has_tab(self, mark: yaml.Mark | None) -> bool:
        lines = self._text.split("\n")
        line = lines[mark.line] if mark and mark.line < len(lines) else ""
        return "\t" in line[: len(line) - len(line.lstrip())]


#: What a fleet file looks like, for hints.
EXAMPLE = "A fleet has golden: IMAGE and machines: a list; docs/clone.md has an example."
