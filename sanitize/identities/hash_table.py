"""What was seen, in eight bytes each: a set of ten thousand machines' values takes ten times that.

Two values with the same 64-bit hash count as one. Whoever asks draws another value then.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

_SLOTS = 1024
_MASK = (1 << 64) - 1


class HashTable:
    """Hashes of values, with open addressing; at least a third of the slots is free."""

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * _SLOTS))
        self._count = 0

    def __contains__(self, value: Hashable) -> bool:
        return self._slots[self._slot(_key(value))] != 0

    def add(self, value: Hashable) -> None:
        """Remember *value*."""
        self._add(_key(value))

    def _add(self, key: int) -> None:
        slot = self._slot(key)
        if self._slots[slot]:
            return
        self._slots[slot] = key
        self._count += 1
        if 3 * self._count > 2 * len(self._slots):
            kept, self._count = self._slots, 0
            self._slots = array("Q", bytes(16 * len(kept)))
            for each in kept:
                if each:
                    self._add(each)

    def _slot(self, key: int) -> int:
        """The slot that has *key*, or the free one where it belongs."""
        slots, last = self._slots, len(self._slots) - 1
        slot = key & last
        while slots[slot] not in (0, key):
            slot = slot + 1 & last
        return slot


def _key(value: Hashable) -> int:
    return hash(value) & _MASK or 1  # 0 is a free slot
