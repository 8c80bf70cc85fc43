"""One map from old to new identities for a whole run: equal old values stay equal.

The definition, its snapshots, a network's reservations, the guest and the seed all ask the same
map, whatever spelling each of them uses.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

from images.errors import UsageError
from images.text import printable
from sanitize.definitions.spelling import hexadecimal, is_uuid, respelled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sanitize.definitions.allocator import Allocator

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62})")


class Identities:
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

        *oui* (three octets) goes before a format's own; *uuid* becomes the machine's UUID;
        *macs* are chosen addresses by old address (twelve lower-case hexadecimal digits).
        """
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"'{printable(name)}' cannot be the name of a machine",
                hint="Use letters, digits, dots, dashes and underscores; at most 63.",
            )
        self.name = name
        self._allocator = allocator
        self._oui = oui
        self._uuid = hexadecimal(uuid)
        self._chosen = dict(macs or {})
        #: Old hexadecimal digits to new ones, for UUIDs and MAC addresses.
        self.macs: dict[str, str] = {}
        self.uuids: dict[str, str] = {}
        self._others: dict[tuple[str, str], str] = {}

    def machine_uuid(self, old: str, *, field: str) -> str:
        """The machine's own UUID instead of *old*: the same wherever the machine repeats it."""
        if not self._uuid:
            self._uuid = hexadecimal(self._allocator.uuid(_dashed(old), field=field))
        self.uuids[hexadecimal(old)] = self._uuid
        return respelled(self._uuid, old)

    def uuid(self, old: str, *, field: str) -> str:
        """Another UUID instead of *old*."""
        key = hexadecimal(old)
        if key not in self.uuids:
            self.uuids[key] = hexadecimal(self._allocator.uuid(_dashed(old), field=field))
        return respelled(self.uuids[key], old)

    def mac(self, old: str, *, prefix: bytes, place: str) -> str:
        """A MAC address instead of *old*, which begins with *prefix* unless told otherwise."""
        key = hexadecimal(old)
        if key not in self.macs:
            new = self._chosen.get(key) or self._allocator.mac(
                ":".join(key[i : i + 2] for i in range(0, 12, 2)),
                oui=self._oui or prefix,
                place=place,
            )
            self.macs[key] = hexadecimal(new)
        return respelled(self.macs[key], old)

    def serial(self, old: str, *, field: str) -> str:
        """A serial number of the length and shape of *old*; a UUID stays in step with others."""
        if is_uuid(old):
            return self.uuid(old, field=field)
        return self._token(old, field=field, alphabet=_alphabet(old))

    def wwn(self, old: str, *, field: str) -> str:
        """A World Wide Name: the maker's part of *old* stays (NAA 5: the first seven digits)."""
        digits = hexadecimal(old.removeprefix("0x"))
        kept = 7 if digits[:1] in set("56") else 4
        tail = self._token(digits[kept:], field=field, alphabet=string.digits + "abcdef")
        start = "0x" if old.startswith("0x") else ""
        return start + respelled(digits[:kept] + tail, old.removeprefix("0x"))

    def number(self, old: int, *, field: str, low: int, high: int) -> int:
        """A number instead of *old*, from *low* to *high*."""
        key = (f"{field} {low}", str(old))
        if key not in self._others:
            answer = self._allocator.number(old, field=field, low=low, high=high)
            self._others[key] = str(answer)
        return int(self._others[key])

    def _token(self, old: str, *, field: str, alphabet: str) -> str:
        key = ("serial", old)
        if key not in self._others:
            self._others[key] = self._allocator.token(old, field=field, alphabet=alphabet)
        return self._others[key]


def _dashed(uuid: str) -> str:
    digits = hexadecimal(uuid)
    cuts = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
    return "-".join(digits[start:end] for start, end in cuts)


def _alphabet(serial: str) -> str:
    """The narrowest usual alphabet that *serial* is written in."""
    letters = {c for c in serial if c.isascii() and c.isalnum()}
    hexadecimals = string.digits + "abcdef"
    for alphabet in (
        string.digits,
        hexadecimals,
        hexadecimals.upper(),
        string.digits + string.ascii_lowercase,
        string.digits + string.ascii_uppercase,
    ):
        if letters <= set(alphabet):
            return alphabet
    return string.digits + string.ascii_letters
