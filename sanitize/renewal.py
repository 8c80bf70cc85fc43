"""Which identifiers a run renews, what each becomes, and how references to them are rewritten."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from unclone.sanitize.finder import Finder
from unclone.sanitize.identities.spellings import spellings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unclone.images.volumes import IdentifierKind


class OtherKind(StrEnum):
    """Identifiers that files refer to as they do to those of devices, and that no device has."""

    MAC_ADDRESS = "mac-address"  # lower case, with colons
    DISK_NAME = "disk-name"  # what udev makes of a disk's serial number, for /dev/disk/by-id


@dataclass(frozen=True, slots=True)
class Renewal:
    """One identifier, old and new, in its own tools' spelling (see ``unclone.images.volumes``)."""

    kind: IdentifierKind | OtherKind
    device: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Blocker:
    """Why an identifier is kept: something refers to it that cannot be rewritten safely."""

    renewal: Renewal
    why: str
    #: What the person could do so that the next run can renew it.
    lift: str


class Rewriter:
    """Replaces old identifiers by new ones, in bytes of any kind, and changes no other byte.

    Each spelling of an old value is replaced by the same spelling of the new one. Both are equally
    long, so offsets, block sizes and everything around them stay.
    """

    def __init__(self, renewals: Iterable[Renewal]) -> None:
        renewals = tuple(renewals)
        self._new: dict[bytes, bytes] = {}
        self._owners: dict[bytes, Renewal] = {}
        for renewal in renewals:
            for old, new in zip(spellings(renewal.old), spellings(renewal.new), strict=True):
                # Two identifiers may have one value (an array and what is on it): the first
                # counts, and everything that refers to either stays consistent.
                self._new.setdefault(old, new)
                self._owners.setdefault(old, renewal)
        self._finder = Finder((each.old for each in renewals), words=True)
        self.needles = self._finder.needles

    def rewritten(self, content: bytes) -> bytes:
        """*content* with every old identifier replaced; as long as before."""
        pieces, done = [], 0
        for start, old in self._finder.matches(content):
            pieces += [content[done:start], self._new[old]]
            done = start + len(old)
        return b"".join([*pieces, content[done:]]) if pieces else content

    def rewritten_text(self, text: str) -> str:
        """As :meth:`rewritten`, for a path or a link's text."""
        content = self.rewritten(text.encode("utf-8", "surrogateescape"))
        return content.decode("utf-8", "surrogateescape")

    def found(self, content: bytes) -> Counter[Renewal]:
        """Which old identifiers are in *content*, and how often."""
        return Counter(self._owners[old] for _, old in self._finder.matches(content))


@dataclass(frozen=True)
class Renewals:
    """What is renewed, and what is kept and why."""

    renewed: tuple[Renewal, ...] = ()
    kept: tuple[Blocker, ...] = field(default=())

    @cached_property
    def rewriter(self) -> Rewriter:
        """Rewrites references to everything that is renewed."""
        return Rewriter(self.renewed)

    def of(self, kind: IdentifierKind) -> tuple[Renewal, ...]:
        """What is renewed of one kind."""
        return tuple(each for each in self.renewed if each.kind is kind)
