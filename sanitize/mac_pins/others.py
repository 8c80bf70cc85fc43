"""Files that are rarer, or mean more than cards: rewritten with a map, and only named without.

ConnMan calls a folder and a section ``ethernet_525400123456_cable``. In tables of a network's
machines it is not known which address is the guest's own.

References: wicked-ifconfig(5); iftab(5); nameif(8); netifrc, net.example; netctl.profile(5);
NetworkManager.conf(5) (``no-auto-default``, ``unmanaged-devices``, ``match-device``); ip-link(8)
(``set DEVICE address``), ifconfig(8) (``hw ether``), macchanger(1), modprobe.d(5);
connman-service.config(5) and connman src/service.c (service identifiers, ``settings``); ethers(5);
dnsmasq(8) (``--dhcp-host``, ``--read-ethers``); dhcpd.conf(5) (``hardware ethernet``); Kea
Administrator Reference Manual (``hw-address``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.change import Level
from unclone.sanitize.identities import mac
from unclone.sanitize.mac_pins.pins import addresses, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.facts import Facts
    from unclone.sanitize.mac_pins.pins import Text, Unpinning

_COMMENT = re.compile(r"(?m)^[ \t]*#.*$")


class OtherFiles:
    """Says which files have addresses, so that a person can look."""

    globs = (
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
    )

    def unpin(
        self,
        guest: Guest,  # noqa: ARG002 (protocol)
        facts: Facts,  # noqa: ARG002
        files: Sequence[Text],
        unpinning: Unpinning,
    ) -> None:
        for file in files:
            macs = addresses(file.text)
            service = file.path.endswith("/settings")
            if service and not macs:
                macs = tuple(str(found.mac) for found in mac.find(file.text))
            if macs and not unpinning.renewed:
                unpinning.note(
                    Level.WARNING,
                    f"{printable(file.path)} names the MAC address {macs[0]}, which no clone has",
                )


class Tables:
    """Files that list the cards of many machines, for which a note is enough."""

    globs = (
        "/etc/bootptab",
        "/etc/dhcp/dhcpd*.conf",
        "/etc/dhcpd.conf",
        "/etc/dnsmasq.conf",
        "/etc/dnsmasq.d/*",
        "/etc/ethers",
        "/etc/kea/*.conf",
    )

    def unpin(
        self,
        guest: Guest,  # noqa: ARG002 (protocol)
        facts: Facts,  # noqa: ARG002
        files: Sequence[Text],
        unpinning: Unpinning,
    ) -> None:
        for file in files:
            macs = addresses(_COMMENT.sub("", file.text))
            if macs and not unpinning.renewed:
                unpinning.note(
                    Level.WARNING,
                    f"{printable(file.path)} lists the MAC address {shown(macs)}: if one of them "
                    "is this machine's own, it fits no clone",
                )


class Commands:
    """What a boot runs, and how it loads modules: an address there is given to an interface."""

    globs = (
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
    )

    def unpin(
        self,
        guest: Guest,  # noqa: ARG002 (protocol)
        facts: Facts,  # noqa: ARG002
        files: Sequence[Text],
        unpinning: Unpinning,
    ) -> None:
        for file in files:
            macs = addresses(_COMMENT.sub("", file.text))
            if macs and not unpinning.renewed:
                what = f"is run at boot, and may give an interface the MAC address {shown(macs)}"
                unpinning.keep(file.path, what)
