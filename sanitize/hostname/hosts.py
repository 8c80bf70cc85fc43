"""``/etc/hosts``: which names in it are the machine's, and the same lines with new ones.

References: hosts(5); Debian Reference, 5.1.1 (127.0.1.1); cloud-init ``update_etc_hosts``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.sanitize.hostname.places import OF_ALL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PATH = "/etc/hosts"

#: The address that Debian's installer and cloud-init give the machine's own name.
_OWN = "127.0.1.1"
_LOOPBACK = re.compile(r"127\.\d+\.\d+\.\d+|::1")
_LINE = re.compile(r"(?P<address>[ \t]*[^\s#]+)(?P<names>[^#]*)(?P<comment>#.*)?", re.DOTALL)


def own_names(text: str, short: str) -> Iterator[str]:
    """The machine's names, in lower case: those of 127.0.1.1, and FQDNs of *short*.

    Those are on a line that has *short* itself, or for a loopback address. Another host's name may
    begin alike.
    """
    for address, names in _entries(text):
        lower = [name.lower() for name in names if not OF_ALL.fullmatch(name)]
        if address == _OWN:
            yield from lower
        elif short and (short in lower or _LOOPBACK.fullmatch(address)):
            yield from (name for name in lower if name.partition(".")[0] == short)


def addresses_of(text: str, name: str) -> tuple[str, ...]:
    """The addresses of the lines that have *name*."""
    wanted = name.lower()
    return tuple(a for a, names in _entries(text) if wanted in (each.lower() for each in names))


def rewritten(text: str, names: Mapping[str, str]) -> str:
    """*text* with every name of *names* as its new one, each once in a line."""
    return "".join(_renamed(line, names) for line in text.splitlines(keepends=True))


def _entries(text: str) -> Iterator[tuple[str, list[str]]]:
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        yield address, names


def _renamed(line: str, names: Mapping[str, str]) -> str:
    match = _LINE.fullmatch(line)
    if match is None or not any(name.lower() in names for name in match["names"].split()):
        return line
    parts = re.split(r"(\s+)", match["names"])  # separator, name, separator ...
    new, seen = "", set()
    for separator, name in zip(parts[1::2], [*parts[2::2]], strict=True):
        found = names.get(name.lower(), name)
        if found in seen:
            continue
        seen.add(found)
        new += separator + found
    return match["address"] + new + (match["comment"] or "")
