"""JSON read for editing: each value knows its place, and numbers stay as they are written.

The standard library's parser gives no places, and takes the last of two equal keys. Here a key that
is there twice is refused, and so are depth and size that no definition has.

References: RFC 8259.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NoReturn

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize.definitions.text.tree import Node, Shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from unclone.sanitize.definitions.text.source import Source

DEPTH_LIMIT = 64
#: A list of all machines of a cluster; more takes too long.
NODE_LIMIT = 50_000

_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*+"')
_WORD = re.compile(r"true|false|null")
_DIGITS = re.compile(r"0|[1-9][0-9]*")


def read_json(source: Source) -> Node:
    """The value in *source*. Raises RefusedError for anything else than one JSON value."""

    def refuse(offset: int, what: str) -> NoReturn:
        raise RefusedError(
            f"{source.position(offset)}: is not valid JSON: {what}", hint="Is the file complete?"
        )

    return scan(source.text, refuse)


def scan(text: str, refuse: Callable[[int, str], NoReturn]) -> Node:
    """The value that *text* is; *refuse* is told where it is none, and why."""
    return _Scanner(text, refuse).all()


class _Scanner:
    def __init__(self, text: str, refuse: Callable[[int, str], NoReturn]) -> None:
        self._text = text
        self._refuse = refuse
        self._count = 0

    def all(self) -> Node:
        node = self._value(self._space(0), 0)
        end = self._space(node.end)
        if end != len(self._text):
            self._refuse(end, "something follows the value")
        return node

    def _value(self, at: int, depth: int) -> Node:
        self._count += 1
        if depth > DEPTH_LIMIT or self._count > NODE_LIMIT:
            self._refuse(at, f"more than {DEPTH_LIMIT} levels or {NODE_LIMIT} values")
        char = self._text[at : at + 1]
        if char == "{":
            return self._mapping(at, depth)
        if char == "[":
            return self._sequence(at, depth)
        if char == '"':
            value, end = self._string(at)
            return Node(Shape.SCALAR, at, end, value, _quoted, (at + 1, end - 1))
        if number := _NUMBER.match(self._text, at):
            return Node(Shape.SCALAR, at, number.end(), number[0], _number, number.span())
        word = _WORD.match(self._text, at)
        if word is None:
            self._refuse(at, "a value is missing" if char else "it ends too early")
        value = "" if word[0] == "null" else word[0]
        return Node(Shape.SCALAR, at, word.end(), value, _quoted, word.span())

    def _mapping(self, start: int, depth: int) -> Node:
        node = Node(Shape.MAPPING, start, start)
        at = self._space(start + 1)
        while self._text[at : at + 1] != "}" or node.entries:
            if self._text[at : at + 1] != '"':
                self._refuse(at, "a key in double quotes is missing")
            key, end = self._string(at)
            if key in node.entries:
                self._refuse(at, f"the key '{printable(key, 80)}' is there twice")
            child = self._value(self._space(self._expect(":", self._space(end))), depth + 1)
            child.parent, child.step, child.pair = node, key, (at, child.end)
            node.entries[key] = child
            at = self._space(child.end)
            if self._text[at : at + 1] == "}":
                break
            at = self._space(self._expect(",", at))
        node.end = at + 1
        return node

    def _sequence(self, start: int, depth: int) -> Node:
        node = Node(Shape.SEQUENCE, start, start)
        at = self._space(start + 1)
        while self._text[at : at + 1] != "]" or node.items:
            child = self._value(at, depth + 1)
            child.parent, child.step = node, f"[{len(node.items)}]"
            node.items.append(child)
            at = self._space(child.end)
            if self._text[at : at + 1] == "]":
                break
            at = self._space(self._expect(",", at))
        node.end = at + 1
        return node

    def _string(self, at: int) -> tuple[str, int]:
        token = _STRING.match(self._text, at)
        if token is None:
            self._refuse(at, "a string does not end, or has control characters")
        try:
            return str(json.loads(token[0])), token.end()
        except json.JSONDecodeError as error:
            self._refuse(at + error.pos, error.msg)

    def _expect(self, char: str, at: int) -> int:
        if self._text[at : at + 1] != char:
            self._refuse(at, f"'{char}' is missing")
        return at + 1

    def _space(self, at: int) -> int:
        match = _SPACE.match(self._text, at)
        return match.end() if match else at


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _number(value: str) -> str:
    return value if _DIGITS.fullmatch(value) else _quoted(value)
