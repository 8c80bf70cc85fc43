"""ifcfg files: ``HWADDR`` says which card, ``MACADDR`` and ``LLADDR`` give it another address.

References: initscripts sysconfig.txt (``HWADDR``, ``MACADDR``, ``DEVICE``); NetworkManager
nm-settings-ifcfg-rh(5); SUSE ifcfg(5) (``LLADDR``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.change import Level
from unclone.sanitize.mac_pins.names import usual_names
from unclone.sanitize.mac_pins.pins import Role, addresses
from unclone.sanitize.mac_pins.settings import settings, unquoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.facts import Facts
    from unclone.sanitize.mac_pins.pins import Text, Unpinning

_ROLES = {"HWADDR": Role.MATCH, "MACADDR": Role.ASSIGNED, "LLADDR": Role.ASSIGNED}
_CARD = re.compile(r"(?:eth|en|lan|net|wan)[a-z0-9]{1,12}")
_INTERFACE = re.compile(r"/ifcfg-((?:eth|en|ib)[a-z0-9]{1,12})")


class Ifcfg:
    """Drops the line; what has no ``DEVICE`` gets the one its file is named after."""

    globs = (
        "/etc/sysconfig/network-scripts/ifcfg-*",
        "/etc/sysconfig/network/ifcfg-*",
        "/etc/sysconfig/networking/devices/ifcfg-*",
        "/etc/sysconfig/networking/profiles/*/ifcfg-*",
    )

    def unpin(
        self,
        guest: Guest,
        facts: Facts,
        files: Sequence[Text],
        unpinning: Unpinning,
    ) -> None:
        usual = usual_names(guest, facts)
        for file in files:
            found = list(settings(file.text))
            device = next((unquoted(s.value) for s in found if s.key == "DEVICE"), "")
            for setting in found:
                role = _ROLES.get(setting.key)
                macs = addresses(setting.value)
                # MACADDR may be a word of NetworkManager's ("stable"); HWADDR is always a pin.
                if role is None or (role is Role.ASSIGNED and not macs):
                    continue
                if not unpinning.goes(role, file.path, macs):
                    continue
                new = ""
                if role is Role.MATCH and not device:
                    device = _device(file.path, unpinning)
                    new = f"DEVICE={device}" if device else ""
                if role is Role.MATCH and _CARD.fullmatch(device) and not usual.fullmatch(device):
                    unpinning.note(
                        Level.WARNING,
                        f"{printable(file.path)}: {device} was called so by its MAC address, and "
                        "has the kernel's or systemd's name now: see that DEVICE fits",
                    )
                line = file.text[setting.start : setting.end]
                ending = line[len(line.rstrip("\r\n")) :]
                unpinning.splice(file.path, setting.start, setting.end, new and new + ending)


def _device(path: str, unpinning: Unpinning) -> str:
    interface = _INTERFACE.fullmatch(path[path.rindex("/") :])
    if interface:
        return interface.group(1)
    unpinning.note(
        Level.WARNING,
        f"{printable(path)} names no DEVICE and is no longer bound to a MAC address: it is for "
        "any card now",
    )
    return ""
