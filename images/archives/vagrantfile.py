"""The Vagrantfile of a box for VirtualBox: the MAC address that Vagrant gives the first card.

Reference: Vagrant documentation, "config.vm.base_mac"; ``match_mac.rb`` of its VirtualBox provider.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SET = re.compile(r"^(?P<before>[^#\n]*\bbase_mac\s*=\s*)(?P<rest>[^\n]*)", re.MULTILINE)
#: An address, in one of the usual spellings.
ADDRESS = re.compile(
    r"(?<![0-9A-Fa-f:-])[0-9A-Fa-f]{2}(?:([:-]?)[0-9A-Fa-f]{2})(?:\1[0-9A-Fa-f]{2}){4}(?![0-9A-Fa-f:-])"
)
_LITERAL = re.compile(r"(?P<quote>[\"'])(?P<mac>[0-9A-Fa-f:.-]{12,17})(?P=quote)")


def with_base_mac(text: str, macs: Mapping[str, str], path: Path) -> str:
    """*text* with the new address of the card whose old one it has; of the first for another.

    *macs* maps old addresses to new ones, in the order of the cards. Raises RefusedError for an
    address that is no literal, and for a machine without a card.
    """
    known = {_digits(old): _digits(new) for old, new in macs.items()}

    def renewed(found: re.Match[str]) -> str:
        literal = _LITERAL.match(found["rest"])
        old = _digits(literal["mac"]) if literal else ""
        new = known.get(old) or next(iter(known.values()), "")
        if literal is None or len(old) != len(new):
            raise RefusedError(
                f"{shown(path)}: base_mac in its Vagrantfile is no address that can follow the "
                "machine's first card",
                hint="Unpack it with tar, and write the address of the card there.",
            )
        spelled = _spelled(literal["mac"], new)
        start, end = literal.span("mac")
        return found["before"] + found["rest"][:start] + spelled + found["rest"][end:]

    return with_addresses(_SET.sub(renewed, text), macs)


def with_addresses(text: str, macs: Mapping[str, str]) -> str:
    """*text* with every old address of *macs* as the new one, in the same spelling."""
    known = {_digits(old): _digits(new) for old, new in macs.items()}

    def renewed(found: re.Match[str]) -> str:
        new = known.get(_digits(found[0]))
        return _spelled(found[0], new) if new else found[0]

    return ADDRESS.sub(renewed, text)


def _spelled(old: str, new: str) -> str:
    digits = iter(new.upper() if old == old.upper() else new)
    return re.sub("[0-9A-Fa-f]", lambda _: next(digits), old)


def _digits(mac: str) -> str:
    return re.sub("[^0-9a-f]", "", mac.lower())
