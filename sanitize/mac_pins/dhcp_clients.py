"""MAC addresses in the configuration of DHCP clients, besides what identifies the client.

What identifies the client is taken out before (:mod:`unclone.sanitize.dhcp`). What is left is
rewritten with a map, and only named without. Files that other kinds know are theirs.

References: dhclient.conf(5); dhcpcd.conf(5).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.sanitize.dhcp.places import PLACES
from unclone.sanitize.mac_pins.pins import Role, addresses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.facts import Facts
    from unclone.sanitize.mac_pins.pins import Text, Unpinning


class DhcpClients:
    """Says which files have addresses."""

    globs = tuple(dict.fromkeys(pattern for place in PLACES for pattern in place.globs))

    def unpin(
        self,
        guest: Guest,  # noqa: ARG002 (protocol)
        facts: Facts,  # noqa: ARG002
        files: Sequence[Text],
        unpinning: Unpinning,
    ) -> None:
        for file in files:
            stated = addresses(re.sub(r"(?m)^[ \t]*#.*$", "", file.text))
            if stated and unpinning.goes(Role.MATCH, file.path, stated):
                unpinning.keep(file.path, f"names the MAC address {stated[0]}")
