"""Addresses that the guest's configuration fixes: MAC addresses, and static IP addresses.

Only text is looked at, and only in the files that the step ``mac-pins`` knows. An address that a
lease or a router gives is in none of them.

References: netplan-yaml(5) ``addresses``; cloud-init "Networking config Version 1"; nm-settings-
keyfile(5) ``address1``; systemd.network(5) ``Address=``; ifcfg files of Red Hat and SUSE
(``IPADDR``, ``IPV6ADDR``); interfaces(5); dhcpcd.conf(5) ``static ip_address``; netctl.profile(5).
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from unclone.sanitize.mac_pins import NETWORK_FILES
from unclone.sanitize.mac_pins.pins import addresses as mac_addresses

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from unclone.images.guest import Guest

#: Bytes read of each file, and of all of them; files read.
FILE_LIMIT = 256 * 1024
TOTAL_LIMIT = 2 * 1024 * 1024
FILES_LIMIT = 500

#: Lists of addresses in one YAML file, and the characters read of each.
LISTS_LIMIT = 200
LIST_LIMIT = 4 * 1024

#: Addresses that are named.
ADDRESSES_LIMIT = 200

#: Files that hold MAC addresses and no IP address of the machine.
_NO_ADDRESSES = ("/etc/udev/",)

#: An address with the length of its prefix, or without.
_ADDRESS = re.compile(r"(?<![\w.:])([0-9A-Fa-f.:]{2,45})(?:/(\d{1,3}))?(?![\w.:])")

_YAML_KEY = re.compile(r"\baddress(?:es)?[\"']?[ \t]*:(?![0-9A-Fa-f:])")
_YAML_COMMENT = re.compile(r"(?m)(?:^|[ \t])#.*$")
_SECTION = re.compile(r"[ \t]*\[([^\]]*)\]")
_KEYFILE = re.compile(r"address(?:es)?\d*[ \t]*=(.*)")
_NETWORKD = re.compile(r"[ \t]*Address[ \t]*=(.*)")
_SHELL = re.compile(
    r"[ \t]*(?:(?:export[ \t]+)?(?:IPADDR|IPV6ADDR)\w*=|address[ \t]+|Address6?=|config_\w+="
    r"|static[ \t]+ip6?_address=)(.*)"
)


@dataclass(frozen=True, slots=True)
class Fixed:
    """An address as the configuration has it, and the files that hold it."""

    value: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Network:
    """``macs`` are in lower case with colons; ``addresses`` as they are written."""

    macs: tuple[Fixed, ...] = ()
    addresses: tuple[Fixed, ...] = ()


def network(guest: Guest) -> Network:
    """The fixed addresses of *guest*; at most ``ADDRESSES_LIMIT`` of each."""
    macs: dict[str, dict[str, None]] = {}
    static: dict[str, dict[str, None]] = {}
    for path, text in _files(guest):
        for mac in mac_addresses(text):
            macs.setdefault(mac, {})[path] = None
        if not path.startswith(_NO_ADDRESSES):
            for address in static_addresses(path, text):
                static.setdefault(address, {})[path] = None
    return Network(_fixed(macs), _fixed(static))


def static_addresses(path: str, text: str) -> Iterator[str]:
    """The addresses that the file *text* at *path* gives to interfaces."""
    if path.endswith((".yaml", ".cfg")):
        return _in_yaml(text)
    if "/systemd/network/" in path:
        return _in_sections(text, {"network", "address"}, _NETWORKD)
    if "/NetworkManager/" in path:
        return _in_sections(text, {"ipv4", "ipv6"}, _KEYFILE)
    values = (match[1] for line in text.splitlines() if (match := _SHELL.match(line)))
    return (one for value in values for one in _addresses(value.partition("#")[0]))


def _files(guest: Guest) -> Iterator[tuple[str, str]]:
    """Each file once, by the path that has no symlinks in it."""
    seen: set[str] = set()
    room = TOTAL_LIMIT
    for pattern in dict.fromkeys(pattern for kind in NETWORK_FILES for pattern in kind.globs):
        paths = guest.glob(pattern)
        guest.prefetch(files=paths[:FILES_LIMIT])
        for path in paths:
            if room <= 0 or len(seen) >= FILES_LIMIT or not guest.is_file(path):
                continue
            physical = guest.resolve(path)
            if physical not in seen:
                seen.add(physical)
                text = guest.text_or_empty(physical, min(FILE_LIMIT, room))
                room -= len(text)
                yield physical, text


def _in_yaml(text: str) -> Iterator[str]:
    """Behind ``addresses:`` or ``address:``: a list in brackets, a value, or a list below.

    Not parsed: a hostile file would take long. Name servers have no prefix length, and an address
    of an interface has, but for version 1 of cloud-init's format with ``netmask``.
    """
    if not _YAML_KEY.search(text):
        return
    text = _YAML_COMMENT.sub("", text)
    has_netmask = "netmask" in text
    for key in islice(_YAML_KEY.finditer(text), LISTS_LIMIT):
        start = key.end()
        line_end = _end(text, "\n", start)
        value = text[start:line_end].strip()
        if value.startswith("["):
            value = text[start : min(_end(text, "]", start), start + LIST_LIMIT)]
        elif not value:
            value = "\n".join(_items_below(text[line_end + 1 : start + LIST_LIMIT]))
        else:
            value = re.split(r"[,}]", value[:LIST_LIMIT])[0]
        yield from _addresses(value, bare=has_netmask and not key[0].startswith("addresses"))


def _items_below(text: str) -> Iterator[str]:
    """The items of the list that *text* begins with; what an item holds is indented further."""
    margin = -1
    for line in text.splitlines():
        item = line.lstrip()
        indent = len(line) - len(item)
        if item.startswith("-") and (margin < 0 or indent == margin):
            margin = indent
            yield item
        elif item and (margin < 0 or indent <= margin):
            return


def _end(text: str, mark: str, start: int) -> int:
    found = text.find(mark, start)
    return len(text) if found < 0 else found


def _in_sections(text: str, sections: set[str], pattern: re.Pattern[str]) -> Iterator[str]:
    section = ""
    for line in text.splitlines():
        if heading := _SECTION.match(line):
            section = heading[1].lower()
        elif section in sections and (match := pattern.match(line)):
            # A keyfile's value may go on with the gateway, which has no prefix length.
            found = list(_addresses(match[1]))
            yield from [one for one in found if "/" in one] or found[:1]


def _addresses(text: str, *, bare: bool = True) -> Iterator[str]:
    for match in _ADDRESS.finditer(text):
        if (bare or match[2]) and _is_one(match[1]):
            yield match[0]


def _is_one(text: str) -> bool:
    """Whether *text* is an address that one machine alone may have."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        packed = socket.inet_pton(family, text)
    except OSError:
        return False
    if family == socket.AF_INET:
        return packed[0] not in {0, 127, 255}
    return any(packed[:15]) and packed[:2] != b"\xfe\x80"


def _fixed(found: dict[str, dict[str, None]]) -> tuple[Fixed, ...]:
    pairs: Iterable[tuple[str, dict[str, None]]] = list(found.items())[:ADDRESSES_LIMIT]
    return tuple(Fixed(value, tuple(paths)) for value, paths in pairs)
