"""udev rules that name interfaces by their MAC address.

Up to systemd 208 udev itself wrote ``70-persistent-net.rules``, and writes it again where it is
removed; people also write such rules by hand, under that name and others.

References: udev(7); systemd NEWS 209 (the generator's end).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.change import Level
from unclone.sanitize.mac_pins.names import usual_names
from unclone.sanitize.mac_pins.pins import Role, addresses, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.facts import Facts
    from unclone.sanitize.mac_pins.pins import Text, Unpinning

GENERATED = "70-persistent-net.rules"

_RULE = re.compile(r"^[ \t]*[^#\s].*(?:\n|\Z)", re.MULTILINE)
_MATCH = re.compile(r"(?:ATTRS?|SYSFS)\{address\}\s*==\s*\"([^\"]*)\"")
_NAME = re.compile(r"\bNAME\s*:?=\s*\"([^\"]*)\"")


class UdevRules:
    """Removes generated rules, with their file if no others are in it; rules elsewhere stay."""

    globs = ("/etc/udev/rules.d/*.rules",)

    def unpin(
        self, guest: Guest, facts: Facts, files: Sequence[Text], unpinning: Unpinning
    ) -> None:
        for file in files:
            rules = list(_RULE.finditer(file.text))
            pinned = [(rule, macs) for rule in rules if (macs := _addresses(rule.group()))]
            generated = file.path.endswith(f"/{GENERATED}") and "\\\n" not in file.text
            if pinned and generated and not unpinning.renewed:
                if len(pinned) == len(rules):
                    unpinning.removals[file.path] = addresses(file.text)
                else:
                    for rule, _ in pinned:
                        unpinning.splice(file.path, rule.start(), rule.end())
                names = [n.group(1) for rule, _ in pinned if (n := _NAME.search(rule.group()))]
                _warn_of_names(guest, facts, names, unpinning)
                continue
            stale = {
                mac: None for _, macs in pinned for mac in macs if mac not in unpinning.renewed
            }
            if stale and unpinning.goes(Role.MATCH, file.path, stale):
                unpinning.keep(file.path, f"has rules for the MAC address {shown(stale)}")


def _addresses(rule: str) -> tuple[str, ...]:
    match = _MATCH.search(rule)
    return addresses(match.group(1)) if match else ()


def _warn_of_names(guest: Guest, facts: Facts, names: Sequence[str], unpinning: Unpinning) -> None:
    usual = usual_names(guest, facts)
    names = [name for name in dict.fromkeys(names) if not usual.fullmatch(name)]
    if names:
        unpinning.note(
            Level.WARNING,
            f"interfaces were called {printable(', '.join(names), 200)} by their MAC address; "
            "without it they get the kernel's or systemd's name, so see that the network "
            "configuration fits",
        )
