"""What one run spends on looking into initrds: as much as real ones need, however hostile they are.

A few kilobytes can unpack to gigabytes, or to millions of empty members. What a run may spend is a
base, and more for each byte of an initrd that is really in the guest: real ones unpack to three to
six times their size, and have a member for some thousand bytes. Planning, verification and all
initrds of a guest share what may be spent; an initrd that was given up is not begun again
(``initrds.py``).
"""

from __future__ import annotations

import time
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from unclone.sanitize.boot.cpio import DamagedError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Resource(StrEnum):
    """What is counted; its value is how a message calls it."""

    BYTES = "bytes come out of initrds"
    #: Looked at again for other needles, a member counts again.
    MEMBERS = "members of initrds have to be looked at"
    #: Of a processor, for what is slow without being large. Machines differ, so it is generous.
    SECONDS = "seconds are needed to unpack initrds"


class Limit(NamedTuple):
    """A run may spend *base*, *per_byte* for each byte of its initrds, and *most* in all."""

    base: float
    per_byte: float
    most: float


LIMITS: Mapping[Resource, Limit] = {
    Resource.BYTES: Limit(512 * 1024**2, 16, 8 * 1024**3),
    Resource.MEMBERS: Limit(300_000, 1 / 256, 4_000_000),
    Resource.SECONDS: Limit(6, 1 / (4 * 1024**2), 120),
}


class Budget:
    """What a run has spent so far, and may still spend."""

    def __init__(self, limits: Mapping[Resource, Limit] = LIMITS) -> None:
        self._limits = limits
        self.spent = dict.fromkeys(Resource, 0.0)
        self._met: set[int] = set()
        self._bytes = 0
        self._last = 0.0

    def meet(self, content: bytes) -> None:
        """Raise the limits by what the initrd *content* adds to them, once for each initrd."""
        if hash(content) not in self._met:
            self._met.add(hash(content))
            self._bytes += len(content.rstrip(b"\0"))  # a hole in a file is no real byte

    def limit(self, resource: Resource) -> int:
        """How much of *resource* may be spent in all."""
        base, per_byte, most = self._limits[resource]
        return int(min(base + per_byte * self._bytes, most))

    def spend(self, resource: Resource, amount: float = 1) -> None:
        """Spend *amount* of *resource*. Raises ``DamagedError`` when that is too much."""
        self.spent[resource] += amount
        if self.spent[resource] > self.limit(resource):
            raise DamagedError(
                f"more than {self.limit(resource)} {resource}, and real ones need fewer"
            )

    def start(self) -> None:
        """Count the processor time of this thread from now on."""
        self._last = time.thread_time()

    def tick(self) -> None:
        """Spend the processor time since the last call. Raises as :meth:`spend`."""
        now = time.thread_time()
        before, self._last = self._last, now
        self.spend(Resource.SECONDS, now - before)
