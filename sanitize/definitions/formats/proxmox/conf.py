"""The lines of a qemu-server configuration: ``key: value``, in sections for each snapshot.

References: qm.conf(5), "File Format"; pve-qemu-server src/PVE/QemuServer.pm (parse_vm_config);
pve-common src/PVE/JSONSchema.pm (parse_property_string).
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

_SECTION = re.compile(r"\[(special:)?([A-Za-z][\w-]*)\]\s*")
_ENTRY = re.compile(r"([a-z][a-z_-]*)(\d*):[ \t]*+(\S(?:.*\S)?)?[ \t]*")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. ``start`` and ``end``: the value. ``section`` is "" for the machine itself."""

    key: str  # net0
    kind: str  # net
    value: str
    start: int
    end: int
    whole: tuple[int, int]
    section: str


@dataclass(frozen=True, slots=True)
class Option:
    """One of the comma separated parts of a value; ``name`` is "" for one without ``=``."""

    name: str
    value: str
    start: int
    end: int


def read_entries(source: Source) -> list[Entry]:
    """All lines but comments. Raises RefusedError for what Proxmox would not understand."""
    found: list[Entry] = []
    section = ""
    seen: set[tuple[str, str]] = set()
    for line in lines_of(source):
        if not line.text.strip() or line.text.startswith("#"):
            continue
        if header := _SECTION.fullmatch(line.text):
            section = (header[1] or "") + header[2]
            continue
        match = _ENTRY.fullmatch(source.text, line.start, line.end)
        if match is None:
            raise RefusedError(
                f"{source.position(line.start)}: is not KEY: VALUE: {printable(line.text, 80)}",
                hint="Is the file complete?",
            )
        key = match[1] + match[2]
        if (section, key) in seen:
            raise RefusedError(
                f"{source.position(line.start)}: {printable(key, 80)} is set a second time",
                hint="Proxmox takes the last: remove the others.",
            )
        seen.add((section, key))
        start, end = match.span(3) if match[3] else (match.end(), match.end())
        found.append(Entry(key, match[1], match[3] or "", start, end, line.whole, section))
    return found


def options(entry: Entry) -> list[Option]:
    """The parts of *entry*'s value."""
    found: list[Option] = []
    at = entry.start
    for part in entry.value.split(","):
        name, sign, value = part.partition("=")
        if not sign:
            name, value = "", part
        end = at + len(part)
        found.append(Option(name, value, end - len(value), end))
        at = end + 1
    return found


def option(entry: Entry, name: str) -> Option | None:
    """The first part of *entry* called *name*."""
    return next((each for each in options(entry) if each.name == name), None)
