"""The names that a guest goes by, and the files they are written in.

References: hostname(5), hosts(5), mailname(5), postconf(5) ``myhostname``; /etc/sysconfig/network
of Red Hat 6, /etc/HOSTNAME of SUSE, /etc/conf.d/hostname of OpenRC; /etc/config/system of
OpenWrt; /etc/rc.conf of old Arch; Debian's ``update-exim4.conf(8)``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from unclone.images.guest import Guest

#: Bytes read of each file; /etc/hosts is often some kilobytes, and megabytes with a block list.
FILE_LIMIT = 64 * 1024

#: Characters of a name: RFC 1035 allows 253, and Linux 64 for a host name.
NAME_LIMIT = 255

#: What stands alone in a file, or behind a key.
_FILES = (
    ("/etc/hostname", re.compile(r"^[ \t]*([^#\s]\S*)", re.MULTILINE)),
    ("/etc/HOSTNAME", re.compile(r"^[ \t]*([^#\s]\S*)", re.MULTILINE)),
    ("/etc/sysconfig/network", re.compile(r"^[ \t]*HOSTNAME=[\"']?([^\s\"'#]+)", re.MULTILINE)),
    ("/etc/conf.d/hostname", re.compile(r"^[ \t]*hostname=[\"']?([^\s\"'#]+)", re.MULTILINE)),
    ("/etc/rc.conf", re.compile(r"^[ \t]*HOSTNAME=[\"']?([^\s\"'#]+)", re.MULTILINE)),
    (
        "/etc/config/system",
        re.compile(
            r"^[ \t]*option[ \t]+['\"]?hostname['\"]?[ \t]+['\"]?([^\s'\"#]+)", re.MULTILINE
        ),
    ),
    ("/etc/mailname", re.compile(r"^[ \t]*([^#\s]\S*)", re.MULTILINE)),
    ("/etc/postfix/main.cf", re.compile(r"^myhostname[ \t]*=[ \t]*([^\s#$]+)", re.MULTILINE)),
    (
        "/etc/exim4/update-exim4.conf.conf",
        re.compile(r"^dc_readhost=[\"']?([^\s\"'#]+)", re.MULTILINE),
    ),
)
_HOSTS = "/etc/hosts"

#: What cloud-init sets, and what DHCP clients tell servers instead of the host name. Of all of them
#: so many files are read.
_OTHERS = (
    (
        ("/etc/cloud/cloud.cfg", "/etc/cloud/cloud.cfg.d/*.cfg"),
        re.compile(r"^[ \t]*(?:hostname|fqdn):[ \t]*[\"']?([^\s\"'#]+)", re.MULTILINE),
    ),
    (
        ("/etc/NetworkManager/system-connections/*", "/etc/NetworkManager/conf.d/*.conf"),
        re.compile(r"^[^#=\n]*dhcp-(?:hostname|fqdn)[ \t]*=[ \t]*([^\s;]+)", re.MULTILINE),
    ),
    (
        ("/etc/systemd/network/*.network", "/etc/systemd/network/*.network.d/*.conf"),
        re.compile(r"^[ \t]*Hostname[ \t]*=[ \t]*(\S+)", re.MULTILINE),
    ),
    (
        ("/etc/netplan/*.yaml",),
        re.compile(r"^[ \t]+hostname:[ \t]*[\"']?([^\s\"'#]+)", re.MULTILINE),
    ),
    (
        ("/etc/dhclient*.conf", "/etc/dhcp/dhclient*.conf"),
        re.compile(r"^[^#\n]*\b(?:host-name|fqdn\.fqdn)[ \t]+\"([^\"\n]+?)\.?\"", re.MULTILINE),
    ),
    (
        ("/etc/dhcpcd.conf", "/etc/network/interfaces", "/etc/network/interfaces.d/*"),
        re.compile(r"^[ \t]*hostname[ \t]+[\"']?([^\s\"'#]+)", re.MULTILINE),
    ),
    (
        ("/etc/sysconfig/network/dhcp", "/etc/sysconfig/network/ifcfg-*"),
        re.compile(r"^DHCLIENT6?_HOSTNAME_OPTION=[\"']?(?!(?i:auto)\b)([^\s\"'#]+)", re.MULTILINE),
    ),
)
_OTHERS_LIMIT = 100

#: Names that every machine has.
_OF_ALL = re.compile(r"|\(none\)|localhost[0-9]?(\.localdomain[0-9]?)?|ip6-.*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HostName:
    """A name of the machine, and the files that hold it."""

    value: str
    paths: tuple[str, ...]


def host_names(guest: Guest, also: Iterable[tuple[str, str]] = ()) -> tuple[HostName, ...]:
    """The names of *guest*: the host name first, then in the order of the files.

    *also* are further names, each with the file that holds it.
    """
    found: dict[str, dict[str, None]] = {}
    others = (
        (path, pattern) for globs, pattern in _OTHERS for each in globs for path in guest.glob(each)
    )
    for path, pattern in (*_FILES, *islice(others, _OTHERS_LIMIT)):
        match = pattern.search(guest.text_or_empty(path, FILE_LIMIT))
        if match and not _OF_ALL.fullmatch(match[1]):
            found.setdefault(match[1][:NAME_LIMIT], {})[path] = None
    for name, path in also:
        if not _OF_ALL.fullmatch(name):
            found.setdefault(printable(name, NAME_LIMIT), {})[path] = None
    for name in _own_names(guest.text_or_empty(_HOSTS, FILE_LIMIT), set(found)):
        found.setdefault(name[:NAME_LIMIT], {})[_HOSTS] = None
    return tuple(HostName(value, tuple(paths)) for value, paths in found.items())


def _own_names(text: str, known: set[str]) -> Iterator[str]:
    """The names in /etc/hosts that are the machine's: known ones, and those of Debian's 127.0.1.1.

    The other names of a line with a known one are the machine's, too.
    """
    short = {name.partition(".")[0] for name in known}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        own = [name for name in names if not _OF_ALL.fullmatch(name)]
        if address == "127.0.1.1" or any(n.partition(".")[0] in short for n in own):
            yield from own
