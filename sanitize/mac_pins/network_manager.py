"""NetworkManager's keyfiles: ``mac-address`` is the card, ``cloned-mac-address`` its new address.

References: nm-settings-keyfile(5) (``ethernet.mac-address``, ``cloned-mac-address``,
``bridge.mac-address``, ``connection.interface-name``, ``match``); NetworkManager.conf(5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.change import Level
from unclone.sanitize.mac_pins.pins import Role, addresses
from unclone.sanitize.mac_pins.settings import settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.facts import Facts
    from unclone.sanitize.mac_pins.pins import Text, Unpinning
    from unclone.sanitize.mac_pins.settings import Setting

_CARDS = {"802-11-wireless", "802-3-ethernet", "ethernet", "infiniband", "wifi"}


class NetworkManager:
    """Drops the line; of several profiles that no name binds either, none is touched."""

    globs = (
        "/etc/NetworkManager/system-connections/*",
        "/usr/lib/NetworkManager/system-connections/*",
    )

    def unpin(
        self,
        guest: Guest,  # noqa: ARG002 (protocol)
        facts: Facts,  # noqa: ARG002
        files: Sequence[Text],
        unpinning: Unpinning,
    ) -> None:
        loose: list[tuple[Text, Setting]] = []
        for file in files:
            found = list(settings(file.text))
            bound = any(
                s.value and (s.section == "match" or s.key == "interface-name") for s in found
            )
            for setting in found:
                role = _role(setting)
                macs = addresses(setting.value)
                if role is None or not macs or not unpinning.goes(role, file.path, macs):
                    continue
                if role is Role.MATCH and not bound:
                    loose.append((file, setting))
                else:
                    unpinning.splice(file.path, setting.start, setting.end)
        if len({file.path for file, _ in loose}) == 1:
            for file, setting in loose:
                unpinning.splice(file.path, setting.start, setting.end)
                unpinning.note(
                    Level.INFO,
                    f"{printable(file.path)} is for any card of its type now, because it has no "
                    "interface-name",
                )
        else:
            for file, _ in loose:
                unpinning.keep(file.path, "says by MAC address alone which card it is for")


def _role(setting: Setting) -> Role | None:
    if setting.key in {"cloned-mac-address", "assigned-mac-address"}:
        return Role.ASSIGNED
    if setting.key != "mac-address":
        return None
    return Role.MATCH if setting.section in _CARDS else Role.ASSIGNED
