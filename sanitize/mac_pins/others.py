"""Files that are rarer, or mean more than cards: rewritten with a map, and only named without.

ConnMan calls a folder and a section ``ethernet_525400123456_cable``. In tables of a network's
machines it is not known which address is the guest's own. What identifies a DHCP client is taken
out before (:mod:`unclone.sanitize.dhcp`). Files that other kinds know are theirs.

References: wicked-ifconfig(5); iftab(5); nameif(8); netifrc, net.example; netctl.profile(5);
NetworkManager.conf(5) (``no-auto-default``, ``unmanaged-devices``, ``match-device``); ip-link(8)
(``set DEVICE address``), ifconfig(8) (``hw ether``), macchanger(1), modprobe.d(5);
connman-service.config(5) and connman src/service.c (service identifiers, ``settings``); ethers(5);
dnsmasq(8) (``--dhcp-host``, ``--read-ethers``); dhcpd.conf(5) (``hardware ethernet``); Kea
Administrator Reference Manual (``hw-address``); dhclient.conf(5); dhcpcd.conf(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.change import Level
from unclone.sanitize.dhcp.places import PLACES
from unclone.sanitize.identities import mac
from unclone.sanitize.mac_pins.pins import Role, addresses, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.facts import Facts
    from unclone.sanitize.mac_pins.pins import Text, Unpinning

_COMMENT = re.compile(r"(?m)^[ \t]*#.*$")


@dataclass(frozen=True, slots=True)
class NamedFiles:
    """Files of which only those with addresses are named, so that a person can look."""

    globs: tuple[str, ...]
    #: What follows the path of a file; ``{}`` stands for its addresses.
    what: str
    #: Whether a pin stays there; else a warning is enough.
    keeps: bool = False
    #: Whether an address says which card is meant: then one that is not in the map fits none.
    matches: bool = False

    def unpin(
        self,
        guest: Guest,  # noqa: ARG002 (protocol)
        facts: Facts,  # noqa: ARG002
        files: Sequence[Text],
        unpinning: Unpinning,
    ) -> None:
        for file in files:
            text = _COMMENT.sub("", file.text)
            macs = addresses(text)
            if not macs and file.path.endswith("/settings"):  # of a service of ConnMan
                macs = tuple(str(found.mac) for found in mac.find(text))
            if not macs or (unpinning.renewed and not self.matches):
                continue
            what = self.what.format(shown(macs))
            if self.matches and not unpinning.goes(Role.MATCH, file.path, macs):
                continue
            if self.keeps:
                unpinning.keep(file.path, what)
            else:
                unpinning.note(Level.WARNING, f"{printable(file.path)} {what}")


OTHERS = (
    NamedFiles(
        (
            "/etc/NetworkManager/NetworkManager.conf",
            "/etc/NetworkManager/conf.d/*.conf",
            "/etc/conf.d/net",
            "/etc/connman/main.conf",
            "/etc/iftab",
            "/etc/mactab",
            "/etc/netctl/*",
            "/etc/wicked/ifconfig/*.xml",
            "/var/lib/NetworkManager/no-auto-default.state",
            "/var/lib/connman/*.config",
            "/var/lib/connman/*/settings",
        ),
        "names the MAC address {}, which no clone has",
    ),
    # Those that list the cards of many machines.
    NamedFiles(
        (
            "/etc/bootptab",
            "/etc/dhcp/dhcpd*.conf",
            "/etc/dhcpd.conf",
            "/etc/dnsmasq.conf",
            "/etc/dnsmasq.d/*",
            "/etc/ethers",
            "/etc/kea/*.conf",
        ),
        "lists the MAC address {}: if one of them is this machine's own, it fits no clone",
    ),
    # What a boot runs, and how it loads modules: an address there is given to an interface.
    NamedFiles(
        (
            "/etc/NetworkManager/dispatcher.d/*",
            "/etc/NetworkManager/dispatcher.d/*.d/*",
            "/etc/init.d/*",
            "/etc/local.d/*",
            "/etc/modprobe.d/*.conf",
            "/etc/network/if-*.d/*",
            "/etc/networkd-dispatcher/*.d/*",
            "/etc/rc.d/rc.local",
            "/etc/rc.local",
            "/etc/systemd/system/*.service",
            "/etc/systemd/system/*.service.d/*.conf",
            "/usr/local/bin/*",
            "/usr/local/lib/systemd/system/*.service",
            "/usr/local/sbin/*",
        ),
        "is run at boot, and may give an interface the MAC address {}",
        keeps=True,
    ),
    # DHCP clients.
    NamedFiles(
        tuple(dict.fromkeys(pattern for place in PLACES for pattern in place.globs)),
        "names the MAC address {}",
        keeps=True,
        matches=True,
    ),
)
