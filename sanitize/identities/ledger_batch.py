"""A ledger in one transaction of many machines: few questions, and few statements that write.

Each question to a server costs its time under a lock for which others wait. Nobody else writes
as long as the transaction lasts, so what was asked for several machines at once stays true.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from unclone.sanitize.identities.records import MachineRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable, Iterator

    from unclone.sanitize.identities.ledger import Ledger
    from unclone.sanitize.identities.records import Identity

#: The most values that are drawn ahead of their use, of each kind and field.
_AHEAD = 64
#: Machines that are written at once.
_AT_ONCE = 50


class LedgerBatch:
    """What a run asks of *ledger*, and writes into it."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._is_open = False
        #: Names that the ledger does not know, and pairs of kind and value that nobody has.
        self._unknown: set[str] = set()
        self._free: set[tuple[str, str]] = set()
        self._drawn: dict[Hashable, list[str]] = {}
        self._turns: dict[Hashable, int] = {}
        self._unwritten: list[MachineRecord] = []
        self._unwritten_values: set[tuple[str, str]] = set()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """As :meth:`Ledger.transaction`."""
        with self.ledger.transaction():
            self._is_open = True
            try:
                yield
                self._flush()
            finally:
                self._is_open = False
                for each in (self._unknown, self._free, self._drawn, self._turns):
                    each.clear()
                self._unwritten.clear()
                self._unwritten_values.clear()

    def expect(self, names: Collection[str], claims: Collection[tuple[str, str]]) -> None:
        """Ask what of *names* and of *claims* (kind, value) is known; both are needed soon."""
        if not self._is_open:
            return
        self._unknown = {*names} - self.ledger.known_names(names)
        for kind in {kind for kind, _ in claims}:
            self._ask(kind, [value for of, value in claims if of == kind])

    def machine(self, name: str) -> MachineRecord | None:
        """As :meth:`Ledger.machine`."""
        if name in self._unknown:
            return None
        if any(each.name == name for each in self._unwritten):
            self._flush()
        return self.ledger.machine(name)

    def is_free(self, kind: str, value: str, machine: str) -> bool:
        """Whether the ledger gave the value to nobody but *machine*."""
        key = (kind, value)
        if key in self._free:
            self._free.discard(key)
            return True
        if key in self._unwritten_values:
            return False
        return self.ledger.holder(kind, value) in {"", machine}

    def drawn(self, what: Hashable, kind: str, draw: Callable[[int], str]) -> str:
        """A value of *draw*, which is random, and the same function wherever *what* is the same.

        Several are drawn and asked for at once, the more the oftener.
        """
        if not self._is_open:
            return draw(0)
        values = self._drawn.setdefault(what, [])
        if not values:
            count = self._turns[what] = min(_AHEAD, 2 * self._turns.get(what, 0) or 1)
            values += [draw(number) for number in range(count)]
            self._ask(kind, values)
        return values.pop()

    def write(self, name: str, source: str, identities: Iterable[Identity]) -> None:
        """Record a machine, with what else is to be recorded or when the transaction ends."""
        if self.machine(name) is not None:
            self.ledger.forget(name)
        self._unknown.discard(name)
        record = MachineRecord(name, source, "", tuple(identities))
        self._unwritten.append(record)
        self._unwritten_values.update((one.kind, one.value) for one in record.identities)
        if len(self._unwritten) >= _AT_ONCE or not self._is_open:
            self._flush()

    def has_unwritten(self, key: tuple[str, str]) -> bool:
        """Whether a machine has the kind and value *key* that is not in the ledger yet."""
        return key in self._unwritten_values

    def _ask(self, kind: str, values: Collection[str]) -> None:
        taken = self.ledger.taken(kind, values)
        self._free |= {(kind, value) for value in values if value not in taken}

    def _flush(self) -> None:
        if self._unwritten:
            self.ledger.record_all(self._unwritten)
        self._free -= self._unwritten_values  # drawn again, and asked for, before it was written
        self._unwritten.clear()
        self._unwritten_values.clear()
