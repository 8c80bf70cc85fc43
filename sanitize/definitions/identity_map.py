"""One map from old to new identities for a whole run: equal old values stay equal.

The definition, its snapshots, a network's reservations, the guest and the seed all ask the same
map, whatever spelling each of them uses.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

from unclone.images.errors import UsageError
from unclone.images.text import printable
from unclone.sanitize.identities import mac as addresses
from unclone.sanitize.identities.uuids import canonical_uuid, is_uuid, respelled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unclone.sanitize.identities.allocation import Allocator

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
#: What serial numbers begin with to name their maker: WD-, VMware-, S3Z.
_MAKER = re.compile(r"[A-Za-z]+[ _-]?(?=.*\d)")
_HEX = string.digits + "abcdef"


def require_name(name: str) -> None:
    """Raise UsageError for what cannot be the name of a machine, or of its files."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"'{printable(name, 200)}' cannot be the name of a machine",
            hint="Use letters, digits, dots, dashes and underscores; at most 63.",
        )


class IdentityMap:
    """The new identity of one machine. Its answers are spelled as the old values were."""

    def __init__(
        self,
        allocator: Allocator,
        name: str,
        *,
        oui: bytes = b"",
        uuid: str = "",
        macs: Mapping[str, str] | None = None,
    ) -> None:
        """Every new value comes from *allocator*, except those that are given.

        *oui* (three to five octets) goes before what the hypervisor uses; *uuid* becomes the
        machine's UUID; *macs* are chosen addresses, from the old one, or a card's label, to new.
        """
        require_name(name)
        self.name = name
        self._allocator = allocator
        self._oui = oui
        self._uuid = canonical_uuid(uuid)
        self._chosen = {_same_spelling(k): v for k, v in (macs or {}).items()}
        self._extra: dict[str, str] = {}
        #: Old MAC address to new one, both in lower case with colons.
        self.macs: dict[str, str] = {}
        #: Old UUID to new one, both in lower case with dashes.
        self.uuids: dict[str, str] = {}
        self.serials: dict[str, str] = {}
        self._numbers: dict[tuple[str, int], int] = {}

    @property
    def uuid_of_machine(self) -> str:
        """The machine's new UUID; "" when its definition has none."""
        return self._uuid

    def machine_uuid(self, old: str, *, field: str) -> str:
        """The machine's own UUID instead of *old*: the same wherever the machine repeats it."""
        if not self._uuid:
            self._uuid = canonical_uuid(self._allocator.uuid(canonical_uuid(old), field=field))
        self.uuids[canonical_uuid(old)] = self._uuid
        return respelled(self._uuid, old)

    def uuid(self, old: str, *, field: str) -> str:
        """Another UUID instead of *old*."""
        key = canonical_uuid(old)
        if key not in self.uuids:
            self.uuids[key] = canonical_uuid(self._allocator.uuid(key, field=field))
        return respelled(self.uuids[key], old)

    def mac(self, old: str, *, prefix: bytes, place: str) -> str:
        """A MAC address instead of *old*, of the same hypervisor's range, else after *prefix*."""
        was = addresses.parse(old, place)
        key = str(was)
        if key not in self.macs:
            oui = self._oui or addresses.prefix_for(old, prefix)
            chosen = self._chosen.get(key) or self._chosen.get(place)
            new = chosen or self._allocator.mac(key, oui=oui, place=place)
            self.macs[key] = str(addresses.parse(new))
        return was.spelled(addresses.parse(self.macs[key]).octets)

    def extra_mac(self, old: str, *, prefix: bytes, place: str) -> str:
        """A MAC address for the card *place*, whose *old* one is null or another card's too.

        It is not in :attr:`macs`: what names the old address does not mean this card.
        """
        if place not in self._extra:
            known = prefix if addresses.is_null(old) else addresses.prefix_for(old, prefix)
            new = self._chosen.get(place) or self._allocator.mac(
                "", oui=self._oui or known, place=place
            )
            self._extra[place] = str(addresses.parse(new))
        return addresses.respelled(self._extra[place], old)

    def serial(self, old: str, *, field: str) -> str:
        """A serial number of the length and shape of *old*, the maker's letters before it kept.

        One that is a UUID stays in step with that UUID.
        """
        if is_uuid(old):
            return self.uuid(old, field=field)
        if old not in self.serials:
            maker = _MAKER.match(old)
            kept = maker[0] if maker else ""
            if len(old) - len(kept) < 6:
                kept = ""
            tail = old[len(kept) :]
            new = self._allocator.token(tail, field=field, alphabet=_alphabet(tail))
            self.serials[old] = kept + new
        return self.serials[old]

    def wwn(self, old: str, *, field: str) -> str:
        """A World Wide Name; the maker's part of *old* stays.

        References: T10 SPC-4, 7.8.6.6: NAA 5 and 6 are followed by the maker's 24 bits.
        """
        if old not in self.serials:
            start = 2 if old[:2] in ("0x", "0X") else 0
            start += 7 if old[start : start + 1] in ("5", "6") else 4
            alphabet = _HEX.upper() if old.upper() == old and old.lower() != old else _HEX
            tail = self._allocator.token(old[start:], field=field, alphabet=alphabet)
            self.serials[old] = old[:start] + tail
        return self.serials[old]

    def number(self, old: int, *, field: str, low: int, high: int) -> int:
        """A number instead of *old*, from *low* to *high*."""
        if (field, old) not in self._numbers:
            new = self._allocator.number(old, field=field, low=low, high=high)
            self._numbers[field, old] = new
        return self._numbers[field, old]


def _same_spelling(card: str) -> str:
    """An address in lower case with colons; the label of a card as it is."""
    return next((str(f.mac) for f in addresses.find(card) if f.text == card), card)


def _alphabet(serial: str) -> str:
    """The narrowest usual alphabet that *serial* is written in."""
    letters = {c for c in serial if c.isascii() and c.isalnum()}
    lower, upper = string.ascii_lowercase, string.ascii_uppercase
    usual = (string.digits, _HEX, _HEX.upper(), string.digits + lower, string.digits + upper)
    return next((each for each in usual if letters <= set(each)), string.digits + lower + upper)
