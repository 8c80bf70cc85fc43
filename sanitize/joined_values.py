"""Identifiers that a reader puts together, or unpacks: no part need be a group of its own.

GRUB and shells replace ``$name`` and ``${name}`` by what was assigned, drop quotes, and join lines
at a backslash; systemd decodes credentials on a kernel command line. Where that gives an old
identifier, the file means the old device, in however many parts it is written. Every
value that a variable is given anywhere counts, because which one holds is known at boot only.

References: GRUB manual, "Shell-like scripting" and "Environment block"; POSIX.1-2017, "Shell
Command Language", 2.2 and 2.6.2; systemd.system-credentials(7); U-Boot documentation, "Environment
variables" (``setenv``).
"""

from __future__ import annotations

import base64
import re
from itertools import chain, islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_ASSIGNED = re.compile(
    rb"(?<![\w$-])(?:setenv[ \t]+(?P<env>\w+)[ \t]+|(?P<name>[A-Za-z_]\w*)(?P<more>\+?)=)"
    rb"""(?P<value>(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s;"'|&()])*)"""
)
_VARIABLE = re.compile(
    rb"\$(?:(?P<plain>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?::?-(?P<or>[^{}]*))?\})"
)
_WORD = re.compile(rb"[^\s;]*\$[^\s;]*")
_ENCODED = re.compile(
    rb"set_credential_binary=[^\s:]+:((?:[0-9A-Za-z+/]{4})+(?:[0-9A-Za-z+/]{2,3})?)"
)
#: In place of a backslash and the end of its line.
_JOINT = b"\0"
_OF_NOTE = re.compile(rb"""[$"'\\\0]|set_credential_binary""")
_QUOTES = bytes.maketrans(b"", b""), b"\"'\\"
#: Words that are expanded in all; a hostile guest is not followed further.
_BUDGET = 50_000
#: Words of which the expansions are remembered, and cost nothing when they are met again.
_REMEMBERED = 1000
#: How deep variables are made of others; what they may come to; values and their bytes.
_DEPTH, _MOST, _LONGEST = 6, 64, 512


class JoinedValues:
    """What is assigned to variables in *texts*, the files of one reader.

    What is *whole* by itself is left out: it needs no variables to be found.
    """

    def __init__(self, texts: Iterable[bytes], whole: Callable[[bytes], bool]) -> None:
        self._left = _BUDGET
        self._known: dict[tuple[bytes, int], list[bytes]] = {}
        self._values: dict[bytes, dict[bytes, None]] = {}
        for text in texts:
            for match in _ASSIGNED.finditer(text.replace(b"\\\n", b"")):
                given = self._values.setdefault(match["env"] or match["name"], {})
                # With its quotes: in "$a"1 they end the name.
                value = match["value"][:_LONGEST]
                if whole(_unquoted(value)):
                    continue
                before = list(given) if match["more"] else [b""]
                given.update(dict.fromkeys([each + value for each in before or [b""]][:_MOST]))

    def expanded(self, text: bytes) -> Iterator[tuple[int, bytes]]:
        """What the lines of *text* may come to, and the first line (from 1); not of comments.

        Those with quotes or joints without them; each word with a variable once for each value,
        with blanks between them; and credentials in Base64.
        """
        words: dict[bytes, int] = {}
        number = 1
        for line in text.replace(b"\\\n", _JOINT).split(b"\n"):
            if not _OF_NOTE.search(line):
                number += 1
                continue
            if not line.lstrip().startswith(b"#"):
                joined = line.replace(_JOINT, b"")
                plain = _unquoted(joined)
                if plain != line:
                    yield number, plain
                if b"$" in joined:
                    for word in [joined] if _JOINT in line else _WORD.findall(joined):
                        words.setdefault(word, number)
                for encoded in _ENCODED.findall(joined):
                    yield number, base64.b64decode(encoded + b"=" * (-len(encoded) % 4))
            number += 1 + line.count(_JOINT)
        for word, number in words.items():
            yield number, _unquoted(b" ".join(self._expansions(word, _DEPTH)))

    def _expansions(self, word: bytes, depth: int) -> list[bytes]:
        if not depth or b"$" not in word:
            return [word]
        known = self._known.get((word, depth))
        if known is None:
            self._left -= 1
            if self._left < 0:
                return [word]
            known = self._expanded(word, depth)
            if len(self._known) < _REMEMBERED:
                self._known[word, depth] = known
        return known

    def _expanded(self, word: bytes, depth: int) -> list[bytes]:
        found, end = [b""], 0
        for match in _VARIABLE.finditer(word):
            values = list(self._values.get(match["plain"] or match["name"], ()))[:_MOST]
            values += [match["or"]] if match["or"] else []
            each = (self._expansions(value, depth - 1) for value in values or [b""])
            inside = list(islice(chain.from_iterable(each), _MOST))
            literal = word[end : match.start()]
            joined = ((old + literal + new)[:_LONGEST] for old in found for new in inside)
            found, end = list(islice(joined, _MOST)), match.end()
        return [old + word[end:] for old in found]


def _unquoted(text: bytes) -> bytes:
    return text.translate(*_QUOTES)
