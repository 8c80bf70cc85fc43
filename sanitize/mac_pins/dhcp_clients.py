"""DHCP clients that are told to identify themselves by a MAC address.

References: dhclient.conf(5) and dhcp-options(5) (``dhcp-client-identifier``); dhcpcd.conf(5)
(``clientid``); RFC 2132, 9.14.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.sanitize.mac_pins.pins import Role, addresses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.facts import Facts
    from unclone.sanitize.mac_pins.pins import Text, Unpinning

_IDENTIFIER = re.compile(
    r"^[ \t]*(?:send[ \t]+dhcp-client-identifier[ \t][^;\n]*;|clientid[ \t].*)[ \t\r]*(?:\n|\Z)",
    re.MULTILINE,
)


class DhcpClients:
    """Drops a statement that is a line of its own: the client then says what it usually does."""

    globs = (
        "/etc/dhclient*.conf",
        "/etc/dhcp/dhclient*.conf",
        "/etc/dhcp3/dhclient*.conf",
        "/etc/dhcpcd.conf",
    )

    def unpin(
        self,
        guest: Guest,  # noqa: ARG002 (protocol)
        facts: Facts,  # noqa: ARG002
        files: Sequence[Text],
        unpinning: Unpinning,
    ) -> None:
        for file in files:
            dropped: set[str] = set()
            for line in _IDENTIFIER.finditer(file.text):
                macs = addresses(line.group())
                if macs and unpinning.goes(Role.ASSIGNED, file.path, macs):
                    unpinning.splice(file.path, line.start(), line.end())
                    dropped.update(macs)
            others = [mac for mac in _stated(file.text) if mac not in dropped]
            if others and unpinning.goes(Role.MATCH, file.path, others):
                unpinning.keep(file.path, f"names the MAC address {others[0]}")


def _stated(text: str) -> tuple[str, ...]:
    return addresses(re.sub(r"(?m)^[ \t]*#.*$", "", text))
