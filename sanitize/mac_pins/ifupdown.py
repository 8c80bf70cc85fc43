"""ifupdown, as Debian and Alpine have it: ``hwaddress`` gives an interface its address.

References: interfaces(5) of ifupdown, ifupdown-ng and BusyBox (``hwaddress``, ``mapping``,
``rename``, patterns ``mac/ADDRESS=name``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.sanitize.mac_pins.pins import Role, addresses, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.facts import Facts
    from unclone.sanitize.mac_pins.pins import Text, Unpinning

_HWADDRESS = re.compile(r"^[ \t]*hwaddress[ \t].*(?:\n|\Z)", re.MULTILINE)
#: An interface that is chosen by its address, by a pattern or by a script.
_CHOSEN = re.compile(r"^[ \t]*(?:map[ \t].*|[a-z-]+[ \t].*\bmac/.*)$", re.MULTILINE)


class Ifupdown:
    """Drops ``hwaddress``; what chooses by address stays, and is said."""

    globs = (
        "/etc/network/interfaces",
        "/etc/network/interfaces.d/*",
        "/etc/network/interfaces.d/*/*",
    )

    def unpin(
        self,
        guest: Guest,  # noqa: ARG002 (protocol)
        facts: Facts,  # noqa: ARG002
        files: Sequence[Text],
        unpinning: Unpinning,
    ) -> None:
        for file in files:
            for line in _HWADDRESS.finditer(file.text):
                macs = addresses(line.group())
                if macs and unpinning.goes(Role.ASSIGNED, file.path, macs):
                    unpinning.splice(file.path, line.start(), line.end())
            lines = "\n".join(line.group() for line in _CHOSEN.finditer(file.text))
            stale = [mac for mac in addresses(lines) if mac not in unpinning.renewed]
            if stale and unpinning.goes(Role.MATCH, file.path, stale):
                unpinning.keep(file.path, f"chooses interfaces by the MAC address {shown(stale)}")
