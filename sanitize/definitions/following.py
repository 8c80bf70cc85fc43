"""Text that repeats an identity: the old name, UUID or MAC address in it becomes the new one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sanitize.definitions.spelling import hexadecimal, respelled

if TYPE_CHECKING:
    from sanitize.definitions.identities import Identities

_UUID = re.compile(
    r"(?<![0-9a-fA-F])[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}(?![0-9a-fA-F])"
)
_MAC = re.compile(r"(?<![0-9a-fA-F:-])(?:[0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}(?![0-9a-fA-F:-])")


class Following:
    """Replaces what one machine's identities were by what they are."""

    def __init__(self, old_name: str, identities: Identities) -> None:
        """Ask after everything that is renewed has been: the map is complete then."""
        self._identities = identities
        # A name is one where it stands by itself: "web" is not in "webmail", but is in "web_VARS".
        self._name = (
            re.compile(rf"(?<![A-Za-z0-9]){re.escape(old_name)}(?![A-Za-z0-9])")
            if old_name
            else None
        )

    def text(self, old: str, *, unlike: bool = False) -> str:
        """*old* with new identities. *unlike*: it must not stay, so the new name is worked in."""
        new = _UUID.sub(lambda m: self._respelled(m[0], self._identities.uuids), old)
        new = _MAC.sub(lambda m: self._respelled(m[0], self._identities.macs), new)
        new = self._renamed(new)
        return self._worked_in(new) if new == old and unlike else new

    def _renamed(self, path: str) -> str:
        """The last part of a path that holds the name changes; folders above it stay."""
        if self._name is None:
            return path
        parts = path.split("/")
        for number in range(len(parts) - 1, -1, -1):
            if self._name.search(parts[number]):
                parts[number] = self._name.sub(lambda _: self._identities.name, parts[number])
                return "/".join(parts)
        return path

    def _worked_in(self, path: str) -> str:
        folder, slash, last = path.rpartition("/")
        stem, dot, ending = last.rpartition(".")
        return (
            f"{folder}{slash}{self._identities.name}-{last}"
            if not dot or not stem
            else (f"{folder}{slash}{stem}-{self._identities.name}.{ending}")
        )

    @staticmethod
    def _respelled(found: str, known: dict[str, str]) -> str:
        digits = known.get(hexadecimal(found))
        return respelled(digits, found) if digits else found
