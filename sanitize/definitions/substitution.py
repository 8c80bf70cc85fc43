"""Text that repeats an identity: the old name, UUID or MAC address in it becomes the new one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.sanitize.definitions.text.splicing import Edit, splice
from unclone.sanitize.identities import mac as addresses
from unclone.sanitize.identities.uuids import hexadecimal, respelled

if TYPE_CHECKING:
    from unclone.sanitize.definitions.identity_map import IdentityMap

UUID = re.compile(
    r"(?<![0-9a-fA-F])[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}(?![0-9a-fA-F])"
)

#: IFNAMSIZ of linux/if.h, less the null byte that ends a name.
INTERFACE_LIMIT = 15
_LETTERS = re.compile(r"[A-Za-z]{0,4}")


class Substitution:
    """Replaces what one machine's identities were by what they are.

    To be asked after everything that is renewed has been: the map is complete then.
    """

    def __init__(self, old_name: str, identities: IdentityMap) -> None:
        """*old_name* may be "", for a definition without one."""
        self._identities = identities
        self._uuids = {hexadecimal(old): new for old, new in identities.uuids.items()}
        self._name = name_pattern(old_name)

    def text(self, old: str, *, must_differ: bool = False) -> str:
        """*old* with new identities. *must_differ*: where it would stay, the new name is added."""
        new = splice(
            old,
            [
                Edit(found.start, found.end, addresses.respelled(known, found.text))
                for found in addresses.find(old)
                if (known := self._identities.macs.get(str(found.mac)))
            ],
        )
        new = self._renamed(UUID.sub(self._uuid, new))
        return self._with_name(new) if new == old and must_differ else new

    def interface(self, old: str) -> str:
        """Another name than *old* for an interface of the host, which holds the new name.

        One that gets too long becomes a digest instead, the same each time.
        """
        new = self.text(old, must_differ=True)
        if len(new.encode(errors="surrogateescape")) <= INTERFACE_LIMIT:
            return new
        kind = _LETTERS.match(old)
        from hashlib import sha256  # noqa: PLC0415 (OpenSSL comes with it: rarely needed)

        digest = sha256(f"{self._identities.name} {old}".encode(errors="surrogateescape"))
        return f"{kind[0] if kind else ''}{digest.hexdigest()}"[:INTERFACE_LIMIT]

    def _uuid(self, found: re.Match[str]) -> str:
        known = self._uuids.get(hexadecimal(found[0]))
        return respelled(known, found[0]) if known else found[0]

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

    def _with_name(self, path: str) -> str:
        folder, slash, last = path.rpartition("/")
        stem, dot, ending = last.rpartition(".")
        name = self._identities.name
        last = f"{stem}-{name}.{ending}" if dot and stem else f"{last}-{name}"
        return f"{folder}{slash}{last}"


def name_pattern(name: str) -> re.Pattern[str] | None:
    """Finds *name* where it stands by itself: "web" is not in "webmail", but is in "web_VARS"."""
    if not name:
        return None
    return re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])")
