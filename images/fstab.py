r"""fstab(5): every line is kept as it is, and those that mount something are parsed.

References: fstab(5); util-linux ``libmount/src/tab_parse.c`` (fields are separated by blanks and
tabs; ``\040`` ``\011`` ``\012`` ``\134`` ``\043`` in them stand for blank, tab, newline,
backslash and ``#``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIELDS = re.compile(r"[ \t]*([^ \t\r\n]+)" + r"(?:[ \t]+([^ \t\r\n]+))?" * 3)
_ESCAPE = re.compile(rb"\\([0-7]{3})")


class Entry(NamedTuple):
    """One mount. Fields are decoded; ``line`` is the index of its line in :class:`Fstab`.

    For a mount unit, ``unit`` is its path, ``started`` whether another unit wants it, and ``line``
    is -1.
    """

    line: int
    spec: str
    mount_point: str
    type: str
    options: tuple[str, ...]
    unit: str = ""
    started: bool = True

    @property
    def optional(self) -> bool:
        """Whether the guest boots without it."""
        return "nofail" in self.options or "noauto" in self.options

    @property
    def subvolume(self) -> str:
        """The path in the option ``subvol=``, or ""."""
        return self._option("subvol=").strip('"')

    @property
    def subvolume_number(self) -> int:
        """The number in the option ``subvolid=``, or 0."""
        number = self._option("subvolid=")
        return int(number, 0) if re.fullmatch(r"0x[0-9a-fA-F]{1,16}|[1-9]\d{0,19}", number) else 0

    def _option(self, name: str) -> str:
        found = (each.removeprefix(name) for each in self.options if each.startswith(name))
        return next(found, "")


@dataclass(frozen=True, slots=True)
class Fstab:
    """A file system table. ``"".join(lines)`` is the file it was read from, byte for byte."""

    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The whole file."""
        return "".join(self.lines)

    @property
    def entries(self) -> Sequence[Entry]:
        """The mounts, in the order of their lines."""
        parsed = (_entry(index, line) for index, line in enumerate(self.lines))
        return [entry for entry in parsed if entry is not None]


def parse(text: str) -> Fstab:
    """Parse the table *text*. Raises nothing: an invalid line mounts nothing."""
    return Fstab(tuple(re.findall(r"[^\n]*\n|[^\n]+$", text)))


def decode(field: str) -> str:
    """*field* with its octal escapes decoded."""
    raw = field.encode("utf-8", "surrogateescape")
    plain = _ESCAPE.sub(lambda match: bytes([int(match.group(1), 8) & 0xFF]), raw)
    return plain.decode("utf-8", "surrogateescape")


def _entry(index: int, line: str) -> Entry | None:
    match = _FIELDS.match(line)
    if match is None or match.group(1).startswith("#") or match.group(2) is None:
        return None
    spec, mount_point, kind, options = match.groups()
    return Entry(
        line=index,
        spec=decode(spec),
        mount_point=decode(mount_point),
        type=decode(kind or "auto"),
        options=tuple(decode(options or "defaults").split(",")),
    )
