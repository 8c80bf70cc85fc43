"""What ``qemu -readconfig`` reads: groups of keys with values, as the command line's options.

References: qemu(1) on -readconfig; QEMU util/qemu-config.c (qemu_config_foreach: a value ends at
the next quote, and nothing is escaped in it).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize.definitions.formats.qemu.options import Option, Pair, property_of
from unclone.sanitize.definitions.formats.qemu.words import literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.sanitize.definitions.text.source import Source

#: QEMU refuses longer ones. In characters.
VALUE_LIMIT = 1023
GROUP_LIMIT = 10_000

_LINE = re.compile(r"[^\n]*(?:\n|\Z)")
_IGNORED = re.compile(r"\s*(?:#.*)?\Z", re.DOTALL)
_GROUP = re.compile(r"\s*\[([\w.-]{1,63})(?: +\"([^\"\n]{1,63})\")?\]\s*\Z")
_PAIR = re.compile(r"\s*([\w.-]{1,127}) *= *\"([^\"\n]*)\"\s*\Z")
#: Groups that the command line calls otherwise.
_NAMES = {"smbios-opts": "smbios"}
#: What the command line's first, nameless value is called here.
_KEYS = {("fsdev", "type"): "fsdriver", ("tpmdev", "type"): "type", ("chardev", "type"): "backend"}


def read_groups(source: Source) -> Iterator[Option]:
    """The groups as options. Raises RefusedError for a line that QEMU would not read."""
    counts: dict[str, int] = {}
    name, identity, start, at = "", "", 0, 0
    pairs: list[Pair] = []
    text = source.text

    def option() -> Option:
        counts[name] = counts.get(name, 0) + 1
        if sum(counts.values()) > GROUP_LIMIT:
            raise RefusedError(
                f"{source.shown} has more than {GROUP_LIMIT} groups",
                hint="That is no configuration of QEMU.",
            )
        found = Option(name, counts[name], tuple(pairs), start, start, None, {"id": identity})
        return property_of(found) if name == "global" else found

    while at < len(text):
        line = _LINE.match(text, at)
        content = line[0] if line else ""
        if group := _GROUP.match(content):
            if name:
                yield option()
            name, identity, start = _NAMES.get(group[1], group[1]), group[2] or "", at
            pairs = [Pair("id", identity, literal(identity, 0))] if identity else []
        elif pair := _PAIR.match(content):
            if not name or len(pair[2]) > VALUE_LIMIT:
                raise _unreadable(source, at, "a value outside of any group, or too long")
            word = literal(pair[2], at + pair.start(2), "]")
            key = _KEYS.get((name, pair[1]), pair[1])
            pairs.append(Pair(key, pair[2], word, 0, len(pair[2])))
        elif not _IGNORED.match(content):
            raise _unreadable(source, at, f"'{printable(content.strip(), 60)}'")
        at += len(content)
    if name:
        yield option()


def _unreadable(source: Source, at: int, what: str) -> RefusedError:
    return RefusedError(
        f"{source.position(at)}: QEMU cannot read this line: {what}",
        hint='Is the file complete? It has lines [GROUP "ID"] and KEY = "VALUE".',
    )
