"""xl.cfg read for editing: settings, strings and lists, each with its place. Never executed.

It looks like Python, and old tools did execute it. xl reads only what is read here.

References: xl.cfg(5), "Syntax"; Xen tools/libs/util/libxlu_cfg_l.l and libxlu_cfg_y.y.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from unclone.images.errors import RefusedError
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.sanitize.definitions.text.source import Source

DEPTH_LIMIT = 20
VALUE_LIMIT = 20_000

_BLANK = re.compile(r"(?:[ \t\r]|\\\r?\n|#[^\n]*)*+")
_BLANK_LINES = re.compile(r"(?:\s|\\\r?\n|#[^\n]*)*+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"-?(?:0[xX][0-9a-fA-F]+|[0-9]+)(?![\w.])")
_STRING = re.compile(r"'((?:[^'\\\n]|\\[^\n])*+)'|\"((?:[^\"\\\n]|\\[^\n])*+)\"")
_LONG_STRING = re.compile(r"\"\"\"(.*?)\"\"\"|'''(.*?)'''", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Value:
    """A string or number. ``start``, ``end``: what is between its quotes."""

    value: str
    start: int
    end: int
    quote: str = ""
    place: str = ""

    def spell(self, value: str) -> str:
        """*value* as it is written here. Raises RefusedError for what xl cannot read."""
        number = value.isascii() and value.isdigit()
        quote = self.quote[:1] or '"'
        if not value or quote in value or any(c < " " or c in "\\\x7f" for c in value):
            raise RefusedError(
                f"'{printable(value)}' cannot be written in an xl.cfg here",
                hint="Use no quotes, backslashes and control characters.",
            )
        return value if self.quote or number else f'"{value}"'


@dataclass(frozen=True, slots=True)
class Setting:
    """``name = value``, or a list of values (lists within lists are flattened)."""

    name: str
    values: tuple[Value, ...]
    start: int
    is_list: bool = False


def settings(source: Source) -> list[Setting]:
    """All settings. Raises RefusedError for what is no xl.cfg."""
    return list(_Reader(source).read())


class _Reader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._text = source.text
        self._at = 0
        self._count = 0

    def read(self) -> Iterator[Setting]:
        while True:
            self._skip(_BLANK_LINES)
            while self._text[self._at : self._at + 1] == ";":
                self._at += 1
                self._skip(_BLANK_LINES)
            if self._at >= len(self._text):
                return
            start = self._at
            name = self._match(_NAME)
            if name is None:
                self._refuse("a setting begins with its name")
            self._skip(_BLANK)
            if self._text.startswith("+=", self._at):
                self._at += 1
            if self._text[self._at : self._at + 1] != "=":
                self._refuse(f"'=' is missing behind {printable(name[0], 80)}")
            self._at += 1
            self._skip(_BLANK)
            is_list = self._text[self._at : self._at + 1] == "["
            values = tuple(self._value(name[0], 0))
            self._skip(_BLANK)
            if self._text[self._at : self._at + 1] not in ("", "\n", ";"):
                self._refuse("something follows the value")
            yield Setting(name[0], values, start, is_list)

    def _value(self, place: str, depth: int) -> Iterator[Value]:
        self._count += 1
        if depth > DEPTH_LIMIT or self._count > VALUE_LIMIT:
            self._refuse(f"more than {DEPTH_LIMIT} levels or {VALUE_LIMIT} values")
        if self._text[self._at : self._at + 1] == "[":
            yield from self._list(place, depth)
        elif long := self._match(_LONG_STRING):
            group = 1 if long[1] is not None else 2
            yield Value(long[group], *long.span(group), long[0][:3], place)
        elif text := self._match(_STRING):
            group = 1 if text[1] is not None else 2
            value = re.sub(r"\\(.)", r"\1", text[group])
            yield Value(value, *text.span(group), text[0][0], place)
        elif number := self._match(_NUMBER):
            yield Value(number[0], *number.span(), "", place)
        else:
            self._refuse("a string, number or list is missing, or a string does not end")

    def _list(self, place: str, depth: int) -> Iterator[Value]:
        start = self._at
        self._at += 1
        number = 0
        while True:
            self._skip(_BLANK_LINES)
            if self._at >= len(self._text):
                self._refuse("a list does not end", start)
            if self._text[self._at] == "]":
                self._at += 1
                return
            yield from self._value(f"{place}[{number}]", depth + 1)
            number += 1
            self._skip(_BLANK_LINES)
            if self._text[self._at : self._at + 1] == ",":
                self._at += 1
            elif self._text[self._at : self._at + 1] != "]":
                self._refuse("',' or ']' is missing in a list")

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self._text, self._at)
        if match:
            self._at = match.end()
        return match

    def _skip(self, pattern: re.Pattern[str]) -> None:
        self._match(pattern)

    def _refuse(self, what: str, offset: int | None = None) -> NoReturn:
        at = min(self._at if offset is None else offset, len(self._text))
        raise RefusedError(
            f"{self._source.position(at)}: cannot read this xl.cfg: {what}",
            hint="Is the file complete? Python in it is not executed: write out its values.",
        )
