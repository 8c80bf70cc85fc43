"""Files that are rarer, or mean more than cards: rewritten with a map, and only named without.

References: wicked-ifconfig(5); iftab(5); nameif(8); netifrc, net.example; netctl.profile(5);
NetworkManager.conf(5) (``no-auto-default``, ``unmanaged-devices``, ``match-device``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.change import Level
from unclone.sanitize.mac_pins.pins import addresses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.facts import Facts
    from unclone.sanitize.mac_pins.pins import Text, Unpinning


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
            if macs and not unpinning.renewed:
                unpinning.note(
                    Level.WARNING,
                    f"{printable(file.path)} names the MAC address {macs[0]}, which no clone has",
                )
