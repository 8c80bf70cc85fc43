"""The settings in a .vmx: a name, an equals sign and a value in quotes on each line.

References: the files VMware Workstation 5 to 17 and ESXi 5 to 8 write; ``|22`` in a value is the
character with that hexadecimal code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize.definitions.text.lines import lines_of

if TYPE_CHECKING:
    from unclone.sanitize.definitions.text.source import Source

_SETTING = re.compile(
    r"[ \t]*([^\s#=\"][^\s=\"]*)[ \t]*=[ \t]*+"
    r'(?:"([^"]*)"|([^\s"#][^\s"]*)?)[ \t]*(?:#.*)?'
)
_ESCAPED = re.compile(r"\|([0-9A-Fa-f]{2})")
_TO_ESCAPE = re.compile(r'[|"#\x00-\x1f]')


@dataclass(frozen=True, slots=True)
class Setting:
    """One line. ``start`` and ``end``: the value, without quotes; ``whole``: the line."""

    name: str
    value: str
    start: int
    end: int
    whole: tuple[int, int]
    line_end: int
    quoted: bool

    def spell(self, value: str) -> str:
        """*value* as it is written between the quotes, or with them where there were none."""
        text = _TO_ESCAPE.sub(lambda found: f"|{ord(found[0]):02X}", value)
        return text if self.quoted else f'"{text}"'


def read_settings(source: Source) -> dict[str, Setting]:
    """The settings by name in lower case. Raises RefusedError for what is none, or said twice."""
    found: dict[str, Setting] = {}
    for line in lines_of(source):
        stripped = line.text.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _SETTING.fullmatch(source.text, line.start, line.end)
        if match is None:
            raise RefusedError(
                f'{source.position(line.start)}: is not NAME = "VALUE": {printable(stripped, 80)}',
                hint="Is the file complete?",
            )
        setting = _setting(match, line.whole, line.end)
        twin = found.setdefault(setting.name.lower(), setting)
        if twin is not setting:
            raise RefusedError(
                f"{source.position(line.start)}: {printable(setting.name, 80)} is set a second "
                "time",
                hint="VMware does not start such a machine: remove one of them.",
            )
    return found


def _setting(match: re.Match[str], whole: tuple[int, int], line_end: int) -> Setting:
    quoted = match[2] is not None
    raw = match[2] if quoted else match[3] or ""
    start, end = match.span(2) if quoted else match.span(3)
    if start < 0:  # NAME = and nothing
        start = end = match.end()
    value = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), raw)
    return Setting(match[1], value, start, end, whole, line_end, quoted)
