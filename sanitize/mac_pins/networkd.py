"""systemd's .link, .network and .netdev files, and their drop-ins.

Addresses of other machines (static leases, neighbours, forwarding entries) are in other sections.

References: systemd.link(5) and systemd.network(5) (an empty ``[Match]`` makes a .link void, and a
.network one for every interface); systemd.netdev(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.change import Level
from unclone.sanitize.mac_pins.pins import Role, addresses
from unclone.sanitize.mac_pins.settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.facts import Facts
    from unclone.sanitize.mac_pins.pins import Text, Unpinning
    from unclone.sanitize.mac_pins.settings import Setting

#: Also those of packages: an image builder's own may bring some.
FOLDERS = tuple(f"{top}/systemd/network" for top in ("/etc", "/usr/local/lib", "/usr/lib"))

_UNIT = re.compile(r"(.*\.(link|network|netdev))(?:\.d/[^/]*\.conf)?")
_MATCHES = {"MACAddress", "PermanentMACAddress"}
#: What says which card on its own, and the one that takes the address's place.
_TELLING = {"link": {"OriginalName", "Path"}, "network": {"Name", "Path"}}
_INSTEAD = {"link": "OriginalName", "network": "Name"}
#: The names of Ethernet cards, given by the kernel (eth0) and by systemd (ens3, enp1s0).
ANY_CARD = "e*"


@dataclass
class _Unit:
    """One .link, .network or .netdev with its drop-ins."""

    name: str
    kind: str
    found: list[tuple[str, Setting]] = field(default_factory=list)
    pins: list[tuple[Text, Setting]] = field(default_factory=list)

    def values(self, section: str, *keys: str) -> list[str]:
        return [s.value for _, s in self.found if s.section == section and s.key in keys]

    @property
    def addresses(self) -> set[str]:
        return {mac for value in self.values("Match", *_MATCHES) for mac in addresses(value)}

    @property
    def tells(self) -> bool:
        """Whether it says which card, without any address."""
        return any(value not in {"", "*"} for value in self._telling)

    @property
    def is_vague(self) -> bool:
        """Whether it is for every card but for the address."""
        return "*" in self._telling

    @property
    def _telling(self) -> list[str]:
        return self.values("Match", *_TELLING[self.kind])


class Networkd:
    """Drops the line where another one says which card; else a name takes its place."""

    globs = tuple(
        f"{folder}/*.{kind}{inside}"
        for folder in FOLDERS
        for kind in ("link", "network", "netdev")
        for inside in ("", ".d/*.conf")
    )

    def unpin(
        self,
        guest: Guest,  # noqa: ARG002 (protocol)
        facts: Facts,  # noqa: ARG002
        files: Sequence[Text],
        unpinning: Unpinning,
    ) -> None:
        units = _units(files, unpinning)
        links = [unit for unit in units if unit.kind == "link"]
        loose = [unit for unit in units if unit.pins and not unit.tells]
        for unit in units:
            if not unit.pins:
                continue
            if unit.tells:
                _replace(unit, "", unpinning)
                continue
            names = {
                name
                for link in links
                if unit.kind == "network" and link.addresses & unit.addresses
                for name in link.values("Link", "Name")
            }
            alone = sum(other.kind == unit.kind for other in loose) == 1
            if unit.is_vague:
                unpinning.keep(unit.name, "says by MAC address alone which card it is for")
            elif len(names) == 1:
                _replace(unit, f"Name={names.pop()}", unpinning)
            elif alone:
                _replace(unit, f"{_INSTEAD[unit.kind]}={ANY_CARD}", unpinning)
                unpinning.note(Level.INFO, f"{printable(unit.name)} is for any Ethernet card now")
            else:
                unpinning.keep(unit.name, "says by MAC address alone which card it is for")


def _units(files: Iterable[Text], unpinning: Unpinning) -> list[_Unit]:
    """Every unit with its settings; assigned addresses that go are dropped on the way."""
    units: dict[str, _Unit] = {}
    for file in files:
        named = _UNIT.fullmatch(file.path)
        if not named:
            continue
        unit = units.setdefault(named.group(1), _Unit(named.group(1), named.group(2)))
        for setting in settings(file.text):
            unit.found.append((file.path, setting))
            macs = addresses(setting.value)
            if not macs or setting.value.startswith("!"):
                continue
            if setting.section == "Match" and setting.key in _MATCHES and unit.kind in _TELLING:
                if unpinning.goes(Role.MATCH, file.path, macs):
                    unit.pins.append((file, setting))
                continue
            assigned = setting.key == "MACAddress" and setting.section in {"Link", "NetDev"}
            if assigned and unpinning.goes(Role.ASSIGNED, file.path, macs):
                unpinning.splice(file.path, setting.start, setting.end)
    return list(units.values())


def _replace(unit: _Unit, new: str, unpinning: Unpinning) -> None:
    """*new* instead of the first pin of *unit*, and nothing instead of the others."""
    for file, setting in unit.pins:
        line = file.text[setting.start : setting.end]
        ending = line[len(line.rstrip("\r\n")) :]
        unpinning.splice(file.path, setting.start, setting.end, new and new + ending)
        new = ""
