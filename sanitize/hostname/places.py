"""Where a guest's host name is written: a row each. ``/etc/hosts`` is a module of its own.

To add a place, copy a row.

References: hostname(5); /etc/sysconfig/network of Red Hat 6; /etc/HOSTNAME of SUSE 11 and
Slackware; /etc/conf.d/hostname of OpenRC; mailname(5); postconf(5); update-exim4.conf(8);
nm-settings-keyfile(5) (``dhcp-hostname``, ``dhcp-fqdn``); dhcp-options(5) (``host-name``,
``fqdn.fqdn``); interfaces(5) and dhcpcd.conf(5) (``hostname``); systemd.network(5)
(``Hostname=``); netplan-yaml(5) (``dhcp4-overrides``); SUSE ``/etc/sysconfig/network/dhcp``;
avahi-daemon.conf(5); smb.conf(5); ssmtp.conf(5); nullmailer-send(8).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Place(NamedTuple):
    """Files, and what in them holds the name: the group ``names`` of each match."""

    globs: tuple[str, ...]
    pattern: re.Pattern[str]
    #: The machine takes its name from here, whatever else is said elsewhere.
    decides: bool = False


#: A host name, or anything of the same letters.
WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")

#: Names that every machine has.
OF_ALL = re.compile(r"(\(none\)|localhost[0-9]?(\.localdomain[0-9]?)?|ip6-.*)?", re.IGNORECASE)


def _alone(path: str) -> Place:
    return Place(
        (path,), re.compile(r"\A(?:[ \t]*(?:#.*)?\n)*+[ \t]*(?P<names>[^#\s]\S*)"), decides=True
    )


def _shell(path: str, key: str) -> Place:
    pattern = rf"(?m)^[ \t]*(?:export[ \t]+)?{key}=[\"']?(?P<names>[^\s\"'#]*)"
    return Place((path,), re.compile(pattern), decides=True)


def _lines(start: str, *globs: str) -> Place:
    return Place(globs, re.compile(rf"(?m)^[ \t]*{start}(?P<names>[^\n]*)"))


PLACES: Mapping[str, Place] = {
    "hostname": _alone("/etc/hostname"),
    "HOSTNAME": _alone("/etc/HOSTNAME"),
    "sysconfig": _shell("/etc/sysconfig/network", "HOSTNAME"),
    "openrc": _shell("/etc/conf.d/hostname", "(?:hostname|HOSTNAME)"),
    "rc.conf": _shell("/etc/rc.conf", "HOSTNAME"),
    "openwrt": Place(
        ("/etc/config/system",),
        re.compile(r"(?m)^[ \t]*option[ \t]+['\"]?hostname['\"]?[ \t]+['\"]?(?P<names>[^\s'\"#]*)"),
        decides=True,
    ),
    "mailname": _lines("", "/etc/mailname", "/etc/mail/local-host-names"),
    "postfix": Place(
        ("/etc/postfix/main.cf",),
        re.compile(
            r"(?m)^(?:myhostname|mydestination|myorigin|smtp_helo_name|smtpd_banner)[ \t]*="
            r"(?P<names>[^\n]*(?:\n[ \t]+[^\n]*)*+)"
        ),
    ),
    "exim": _lines("dc_(?:other_hostnames|readhost)=", "/etc/exim4/update-exim4.conf.conf"),
    "nullmailer": _lines(
        "", *(f"/etc/nullmailer/{name}" for name in ("me", "defaulthost", "helohost", "idhost"))
    ),
    "ssmtp": _lines("hostname=", "/etc/ssmtp/ssmtp.conf"),
    "avahi": _lines("host-name[ \\t]*=", "/etc/avahi/avahi-daemon.conf"),
    "samba": _lines("netbios name[ \\t]*=", "/etc/samba/smb.conf"),
    "networkmanager": _lines(
        "(?:ipv[46]\\.)?dhcp-(?:hostname|fqdn)[ \\t]*=",
        "/etc/NetworkManager/system-connections/*",
        "/etc/NetworkManager/NetworkManager.conf",
        "/etc/NetworkManager/conf.d/*.conf",
    ),
    "networkd": _lines(
        "Hostname[ \\t]*=", "/etc/systemd/network/*.network", "/etc/systemd/network/*.network.d/*"
    ),
    "netplan": _lines("[\"']?hostname[\"']?[ \\t]*:", "/etc/netplan/*.yaml"),
    "cloud-init": _lines(
        "[\"']?(?:hostname|fqdn)[\"']?[ \\t]*:",
        "/etc/cloud/cloud.cfg",
        "/etc/cloud/cloud.cfg.d/*.cfg",
    ),
    "suse-dhcp": _lines(
        "DHCLIENT6?_HOSTNAME_OPTION=",
        "/etc/sysconfig/network/dhcp",
        "/etc/sysconfig/network/ifcfg-*",
    ),
    "dhclient": Place(
        ("/etc/dhclient*.conf", "/etc/dhcp/dhclient*.conf"),
        re.compile(
            r"(?m)^[^#\n]*?\b(?:send|supersede)[ \t]+(?:host-name|fqdn\.fqdn)(?P<names>[^;\n]*)"
        ),
    ),
    "dhcpcd": _lines("hostname[ \\t]", "/etc/dhcpcd.conf"),
    "ifupdown": _lines("hostname[ \\t]", "/etc/network/interfaces", "/etc/network/interfaces.d/*"),
}


def rewritten(key: str, text: str, name: str, names: Mapping[str, str]) -> str:
    """*text* of the place *key* with *name* where it decides, else with *names*, old to new."""
    place = PLACES[key]
    pieces, done = [], 0
    for match in place.pattern.finditer(text):
        start, end = match.span("names")
        pieces += [text[done:start], name if place.decides else renamed(text[start:end], names)]
        done = end
    if not pieces and place.decides and key in {"hostname", "HOSTNAME"}:
        separator = "" if not text or text.endswith("\n") else "\n"
        return f"{text}{separator}{name}\n"
    return "".join([*pieces, text[done:]])


def renamed(text: str, names: Mapping[str, str]) -> str:
    """*text* with every word that is one of *names* (in lower case) as its new one."""

    def new(match: re.Match[str]) -> str:
        word = match.group()
        found = names.get(word.lower(), word)
        return found.upper() if word.isupper() and found != word else found

    return WORD.sub(new, text)
