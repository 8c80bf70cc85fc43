"""Where a guest's configuration fixes a DHCP client identifier, DUID or IAID: a row each.

To add a place, copy a row.

References: nm-settings-keyfile(5) (``dhcp-client-id``, ``dhcp-duid``, ``dhcp-iaid``) and
NetworkManager.conf(5), "CONNECTION SECTION"; nm-settings-ifcfg-rh(5); systemd.network(5) and
networkd.conf(5) (``DUIDType=``, ``DUIDRawData=``, ``IAID=``); netplan-yaml(5) (``passthrough``);
wicked ``client/suse/compat-suse.c`` (``DHCLIENT_CLIENT_ID``, ``DHCLIENT6_CLIENT_ID``) and
wicked-config(5) (``default-duid``); dhclient.conf(5) and dhcp-options(5); dhcpcd.conf(5),
dhcpcd(8) ``-I``; interfaces(5) (``client``); BusyBox ``networking/udhcp/dhcpc.c`` (``-x``);
ConnMan ``src/dhcpv6.c`` (``IPv6.DHCP.DUID``); OpenWrt, "Network configuration" (``clientid``,
``dhcp_default_duid``).
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Place(NamedTuple):
    """One way of fixing an identity.

    ``regex`` matches all that goes, or its group ``drop``; ``value`` is what is sent. ``own`` are
    values that the client computes from the card, the machine-id or a key of its own. Expressions
    are compiled when a file is there to be looked at: to compile all takes long.
    """

    globs: tuple[str, ...]
    regex: str
    own: str = ""
    #: A number is an identity here (an IAID), and not a name.
    numbers: bool = False
    #: What a value becomes where its line has to stay: keys of a mapping in YAML.
    instead: str = ""
    commented: str = r"(?m)^[ \t]*[#;].*$"
    #: What has to be before it in the line: the command that the option is of.
    before: str = ""

    @property
    def pattern(self) -> re.Pattern[str]:
        """``regex``, compiled."""
        return re.compile(self.regex)

    @property
    def words(self) -> re.Pattern[str]:
        """``own``, compiled."""
        return re.compile(self.own)

    @property
    def comment(self) -> re.Pattern[str]:
        """``commented``, compiled."""
        return re.compile(self.commented)


_CLIENT_ID = "(?i)mac|perm-mac|duid|ipv6-duid|stable|none"
_DUID = "(?i)lease|llt?|stable-(llt|ll|uuid)"
_IAID = "(?i)mac|perm-mac|ifname|stable"
_DHCPCD_DUID = "(?i)ll|lt|llt|uuid"
#: An expression of dhclient's whose value is the card's: ``hardware``, ``concat(1, hardware)``.
_HARDWARE = r"(?s)=?.*\b(hardware|gethostname|option\s|config-option\s).*"


def _setting(keys: str) -> str:
    """A line ``KEY=value``, in shell, in a keyfile or in a unit."""
    return rf"(?m)^[ \t]*(?:export[ \t]+)?(?:{keys})[ \t]*=(?P<value>.*)$"


def _yaml(key: str) -> str:
    """A key of NetworkManager's in a mapping, of which only the value goes."""
    return (
        rf"(?m)(?:^|[{{,])[ \t]*[\"']?{key}[\"']?[ \t]*:[ \t]*"
        r"(?P<drop>\"(?P<double>[^\"\n]*)\"|'(?P<single>[^'\n]*)'|(?P<value>[^\s,}#\"'][^\n,}#]*))"
    )


def _option(option: str) -> str:
    """An option of a command in a setting: ``dhcpcd_eth0="-I 01:..."``."""
    return rf"(?i)(?P<drop>(?<=[\s\"'=]){option}(?P<value>[^\s\"';]+)[ \t]*)"


_PROFILES = (
    "/etc/NetworkManager/system-connections/*",
    "/usr/lib/NetworkManager/system-connections/*",
)
_MANAGER = (
    "/etc/NetworkManager/NetworkManager.conf",
    "/etc/NetworkManager/conf.d/*.conf",
    "/usr/lib/NetworkManager/conf.d/*.conf",
    "/var/lib/NetworkManager/NetworkManager-intern.conf",
)
_KEYFILES = (*_PROFILES, *_MANAGER)
_PREFIX = r"(?:ipv[46]\.)?"

_IFCFG = (
    "/etc/sysconfig/network-scripts/ifcfg-*",
    "/etc/sysconfig/network/ifcfg-*",
    "/etc/sysconfig/network/dhcp",
    "/etc/sysconfig/networking/devices/ifcfg-*",
    "/etc/sysconfig/networking/profiles/*/ifcfg-*",
)
_NETWORKD = tuple(
    f"{folder}/systemd/{name}"
    for folder in ("/etc", "/usr/local/lib", "/usr/lib")
    for name in (
        "networkd.conf",
        "networkd.conf.d/*.conf",
        "network/*.network",
        "network/*.network.d/*.conf",
    )
)
_NETPLAN = (
    "/etc/netplan/*.yaml",
    "/usr/lib/netplan/*.yaml",
    "/usr/local/lib/netplan/*.yaml",
    "/etc/cloud/cloud.cfg",
    "/etc/cloud/cloud.cfg.d/*.cfg",
)
_WICKED = ("/etc/wicked/*.xml", "/etc/wicked/*/*.xml")
_DHCLIENT = (
    "/etc/dhclient*.conf",
    "/etc/dhcp/dhclient*.conf",
    "/etc/dhcp/dhclient.d/*.conf",
    "/etc/dhcp3/dhclient*.conf",
)
_DHCPCD = ("/etc/dhcpcd.conf",)
_INTERFACES = (
    "/etc/network/interfaces",
    "/etc/network/interfaces.d/*",
    "/etc/network/interfaces.d/*/*",
)
_COMMANDS = (
    "/etc/conf.d/net",
    "/etc/conf.d/dhcpcd",
    "/etc/conf.d/udhcpc",
    "/etc/default/dhcpcd",
    "/etc/default/udhcpc",
    "/etc/netctl/*",
    *_INTERFACES,
)
_XML_COMMENT = r"(?s)<!--.*?(?:-->|\Z)"
_HASH = r"(?m)#.*$"

PLACES: tuple[Place, ...] = (
    Place(_KEYFILES, _setting(f"{_PREFIX}dhcp-client-id"), _CLIENT_ID),
    Place(_KEYFILES, _setting(f"{_PREFIX}dhcp-duid"), _DUID),
    Place(_KEYFILES, _setting(f"{_PREFIX}dhcp-iaid"), _IAID, numbers=True),
    Place(_IFCFG, _setting(r"DHCP(?:[Vv][46])?_CLIENT_ID|DHCLIENT6?_CLIENT_ID"), _CLIENT_ID),
    Place(_IFCFG, _setting(r"DHCP(?:[Vv][46])?_DUID"), _DUID),
    Place(_IFCFG, _setting(r"DHCP(?:[Vv][46])?_IAID"), _IAID, numbers=True),
    Place(_IFCFG, _option(r"-C[ \t]+"), before="DHCLIENTARGS="),
    Place(_NETWORKD, _setting("(?:DUID)?RawData")),
    Place(_NETWORKD, _setting("IAID"), numbers=True),
    Place(_NETPLAN, _yaml(r"ipv4\.dhcp-client-id"), _CLIENT_ID, instead="mac"),
    Place(_NETPLAN, _yaml(r"ipv6\.dhcp-duid"), _DUID, instead="lease"),
    Place(_NETPLAN, _yaml(r"ipv[46]\.dhcp-iaid"), _IAID, numbers=True, instead="ifname"),
    Place(
        _WICKED,
        (
            r"<(?P<tag>(?:[a-z0-9]+:)?(?:client-id|default-duid|duid))>"
            r"(?P<value>[^<]{0,500})</(?P=tag)>"
        ),
        commented=_XML_COMMENT,
    ),
    Place(
        _DHCLIENT,
        (
            r"(?:(?:send|supersede|default|prepend|append)\s+"
            r"(?:dhcp-client-identifier|dhcp6\.client-id)|default-duid)"
            # Bounded, because a hostile file may open quotes and close none.
            r"(?P<value>[^;\"]{0,400}(?:\"(?:[^\"\\]|\\.){0,300}\"[^;\"]{0,100}){0,4});"
        ),
        _HARDWARE,
        commented=_HASH,
    ),
    Place(_DHCPCD, r"(?m)^[ \t]*clientid(?:[ \t]+(?P<value>.*))?$"),
    Place(_DHCPCD, r"(?m)^[ \t]*duid(?:[ \t]+(?P<value>.*))?$", _DHCPCD_DUID),
    Place(_DHCPCD, r"(?m)^[ \t]*iaid[ \t]+(?P<value>.*)$", numbers=True),
    Place(_INTERFACES, r"(?m)^[ \t]*client(?:-?id)?[ \t]+(?P<value>.*)$"),
    Place(_COMMANDS, _option(r"(?:-I[ \t]*|--clientid[= \t])"), before="dhcp"),
    Place(_COMMANDS, _option(r"-x[ \t]*(?:0x3d|61):"), numbers=True),
    Place(
        ("/etc/config/network",),
        r"(?m)^[ \t]*option[ \t]+['\"]?(?:clientid|dhcp_default_duid)['\"]?[ \t]+(?P<value>.*)$",
        numbers=True,
    ),
    Place(("/var/lib/connman/*/settings",), _setting(r"IPv6\.DHCP\.DUID"), numbers=True),
)
