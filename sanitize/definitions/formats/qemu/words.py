"""Words as the shell understands them, each character knowing where in the file it is written.

A character may come from a variable: then ``origin`` is where the variable was assigned it, and an
edit goes there, if all of a value comes from one variable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: What needs no quoting anywhere.
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-")


@dataclass(frozen=True, slots=True)
class Char:
    """One character. ``context``: the quotes around it: none, ``'`` or ``"``, or ``}`` or ``]``.

    ``char`` is "" for what only the shell knows when it runs (``$1``, ``$(date)``). ``}`` is the
    context of what stands in ``${NAME:-here}``, ``]`` of a value in a -readconfig file.
    """

    char: str
    start: int
    end: int
    context: str = ""
    origin: Char | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value is written, and how another one is written there."""

    start: int
    end: int
    spell: Callable[[str], str]
    depends: tuple[tuple[int, int], ...] = ()  # the assignments that parts of it come from
    #: The pieces of a value that is only partly from variables: its text, and the variable's place.
    pieces: tuple[tuple[str, tuple[int, int] | None], ...] = ()
    chars: tuple[Char, ...] = ()

    def part(self, old: str, new: str, text: str) -> str | None:
        """*new* in place of *old* with its variables kept; None where one of them would change.

        *text* is the file: what stands there now is taken for all that does not change.
        """
        if len(old) != len(self.chars):
            return None  # something in it is written as more characters than it has
        same = _common(old, new)
        tail = min(_common(old[::-1], new[::-1]), len(old) - same, len(new) - same)
        first, last = same, len(old) - tail
        if first == last and last < len(old) and self.chars[last].origin is None:
            last += 1  # only added to: with the character behind, or the one before
        elif first == last:
            first -= 1
        changing = self.chars[max(first, 0) : last]
        added = new[max(first, 0) : len(new) - len(old) + last]
        contexts = {c.context for c in changing}
        plain = set(added) <= _SAFE - {","} and len(contexts) == 1
        if not plain or any(c.origin is not None for c in changing):
            return None
        return text[self.start : changing[0].start] + added + text[changing[-1].end : self.end]


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


@dataclass(frozen=True, slots=True)
class Word:
    """A word. ``start``, ``end``: all of it, quotes included."""

    chars: tuple[Char, ...]
    start: int
    end: int

    @property
    def value(self) -> str:
        """What the program gets; a null character stands for what only the shell knows."""
        return "".join(c.char or "\0" for c in self.chars)

    def place(self, start: int, end: int, also: Callable[[str], str] = str) -> Place | None:
        """Where characters *start* to *end* of the value are written; None where it is not known.

        *also* is done to a new value before it is quoted for the shell: commas are doubled.
        """
        chars = self.chars[start:end]
        if not chars:
            return None
        if any(not c.char for c in chars):
            return None
        return _place(chars, self.chars[:start], self.chars[end:], also)


def literal(text: str, start: int, context: str = "") -> Word:
    """*text* as it stands in the file, from character *start*."""
    chars = tuple(Char(c, start + n, start + n + 1, context) for n, c in enumerate(text))
    return Word(chars, start, start + len(text))


def _place(
    chars: tuple[Char, ...],
    before: tuple[Char, ...],
    after: tuple[Char, ...],
    also: Callable[[str], str],
) -> Place | None:
    first, last = chars[0], chars[-1]
    uses = {(c.start, c.end) for c in chars if c.origin is not None}
    if len(uses) == 1 and all(c.origin is not None for c in chars):
        # All from one variable: the assignment is changed, whatever part of it this is.
        origins = tuple(c.origin for c in chars if c.origin is not None)
        return _place(origins, _origin(before[-1:], first), _origin(after[:1], first), also)
    if _cut(first, before[-1:]) or _cut(last, after[:1]):
        return None
    if "}" in {first.context, last.context} and any(c.context != "}" for c in chars):
        return None  # partly a default: what is there when the variable is set is another thing

    def spell(value: str) -> str:
        text = _quoted(also(value), first.context)
        return text if first.context == last.context else text + first.context + last.context

    depends = tuple(_deepest(c) for c in chars if c.origin is not None)
    pieces = tuple(_pieces(chars)) if uses else ()
    return Place(first.start, last.end, spell, depends, pieces, chars)


def _origin(beside: tuple[Char, ...], char: Char) -> tuple[Char, ...]:
    """What stands beside a value in the variable that *char* comes from."""
    return tuple(c.origin for c in beside if c.origin is not None and c.start == char.start)


def _cut(char: Char, beside: tuple[Char, ...]) -> bool:
    """Whether a value ends in the middle of what a variable holds."""
    return bool(beside) and char.origin is not None and beside[0].start == char.start


def _deepest(char: Char) -> tuple[int, int]:
    while char.origin is not None:
        char = char.origin
    return char.start, char.end


def _pieces(chars: tuple[Char, ...]) -> Iterator[tuple[str, tuple[int, int] | None]]:
    group: list[Char] = []
    for char in (*chars, None):
        if group and (char is None or _use(char) != _use(group[0])):
            text = "".join(c.char for c in group)
            spans = [_deepest(c) for c in group]
            yield text, (spans[0][0], spans[-1][1]) if group[0].origin else None
            group = []
        if char is not None:
            group.append(char)


def _use(char: Char) -> tuple[int, int] | None:
    return (char.start, char.end) if char.origin is not None else None


def _quoted(value: str, context: str) -> str:
    """*value* as it is written between the quotes *context*."""
    if any(c < " " or c == "\x7f" for c in value):
        raise RefusedError(
            f"'{printable(value)}' cannot be written in a command line",
            hint="Use no control characters.",
        )
    if set(value) <= _SAFE:
        return value
    if context == "'":
        return value.replace("'", "'\\''")
    if context == '"':
        return "".join(f"\\{c}" if c in '$`"\\' else c for c in value)
    if context == "]":
        if '"' in value:
            raise RefusedError(
                f"'{printable(value)}' cannot be written in a configuration file of QEMU",
                hint="Use no quotes.",
            )
        return value
    if context == "}":
        raise RefusedError(
            f"'{printable(value)}' cannot be written as the default of a variable",
            hint="Assign the variable on a line of its own.",
        )
    return "".join(c if c in _SAFE else f"\\{c}" for c in value)
