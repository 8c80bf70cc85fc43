"""The ledger: every identity that was given out, so that none is given out twice.

It is a file (``sqlite``), or a schema of a PostgreSQL database (``postgresql``), which any number
of hosts may use at once. What is recorded, and what is asked, is the same in both.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Self, TypeVar

from unclone.images.errors import RefusedError, UsageError
from unclone.images.text import printable
from unclone.sanitize.identities.ledger.place import Server
from unclone.sanitize.identities.records import Identity, MachineRecord
from unclone.sanitize.identities.uuids import canonical_uuid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from unclone.sanitize.identities.ledger.place import Place
    from unclone.sanitize.identities.ledger.store import Store

#: Rows of one INSERT, and values of one question: far below what databases take.
_ROWS = 200

_T = TypeVar("_T")


class Ledger:
    """An open ledger. Not for use by two threads at once; each process opens its own."""

    def __init__(self, store: Store) -> None:
        """Use :meth:`open`."""
        self._store = store
        self._writing = False
        #: The machine that the transaction wrote last, as ``Store.commit`` takes it.
        self._last: tuple[int, str] | None = None

    @classmethod
    def open(cls, place: Place) -> Ledger:
        """Open the ledger at *place*; make an empty one where there is none.

        Raises :class:`UsageError` for a place that cannot be one, :class:`RefusedError` for a
        database that is no ledger or was written by a newer version, :class:`InUseError` when other
        processes keep it locked, :class:`UncloneError` when it cannot be read.
        """
        if isinstance(place, Server):
            from unclone.sanitize.identities.ledger import postgresql  # noqa: PLC0415 (an extra)

            return cls(postgresql.open_store(place))
        from unclone.sanitize.identities.ledger import sqlite  # noqa: PLC0415 (loads SQLite)

        return cls(sqlite.open_store(place))

    @staticmethod
    def exists(place: Place) -> bool:
        """Whether there is something at *place*. Raises as :meth:`open` does."""
        if isinstance(place, Server):
            from unclone.sanitize.identities.ledger import postgresql  # noqa: PLC0415 (an extra)

            return postgresql.exists(place)
        return place.exists()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it; what was not committed is undone."""
        self._store.close()

    @property
    def warning(self) -> str:
        """What a person should know about where the ledger is; "" when there is nothing."""
        return self._store.warning

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything recorded inside is kept, or nothing; no other process writes meanwhile.

        Read what is taken and record what is given out inside one, or two processes may give
        out the same. Raises :class:`UncloneError` when the ledger stays busy or cannot be written.
        """
        self._store.begin()
        self._writing, self._last = True, None
        try:
            yield
            self._store.commit(self._last)
        finally:
            self._writing = False
            self._store.rollback()

    def holder(self, kind: str, value: str) -> str:
        """The name of the machine that has *value*; "" when none has."""
        rows = self._store.rows(
            "SELECT name FROM identities JOIN machines ON machines.id = machine "
            "WHERE kind = ? AND value = ?",
            (kind, value),
        )
        return str(rows[0][0]) if rows else ""

    def taken(self, kind: str, values: Iterable[str]) -> set[str]:
        """Which of *values*, of *kind*, machines have."""
        found: set[str] = set()
        for some in _parts(values):
            marks = ", ".join("?" * len(some))
            query = f"SELECT value FROM identities WHERE kind = ? AND value IN ({marks})"  # noqa: S608 (no input in it)
            found.update(value for (value,) in self._store.rows(query, (kind, *some)))
        return found

    def known_names(self, names: Iterable[str]) -> set[str]:
        """Which of *names* are those of machines."""
        found: set[str] = set()
        for some in _parts(names):
            marks = ", ".join("?" * len(some))
            query = f"SELECT name FROM machines WHERE name IN ({marks})"  # noqa: S608 (no input in it)
            found.update(name for (name,) in self._store.rows(query, some))
        return found

    def count(self, kind: str, beginning: str) -> int:
        """How many values of *kind* begin with *beginning*, which has no % and no _."""
        rows = self._store.rows(
            "SELECT count(*) FROM identities WHERE kind = ? AND value LIKE ?",
            (kind, f"{beginning}%"),
        )
        return int(rows[0][0])

    def find(self, value: str) -> Iterator[MachineRecord]:
        """The machines that have *value*, of any kind; MAC addresses and UUIDs in any spelling."""
        usual = value.lower()
        digits = re.sub("[:. {}-]", "", value.lower())
        if re.fullmatch("[0-9a-f]{12}", digits):
            usual = ":".join(digits[i : i + 2] for i in range(0, 12, 2))
        elif re.fullmatch("[0-9a-f]{32}", digits):
            usual = canonical_uuid(digits)
        rows = self._store.rows(
            "SELECT DISTINCT name FROM identities JOIN machines ON machines.id = machine "
            "WHERE value IN (?, ?) ORDER BY name",
            (value, usual),
        )
        for (name,) in rows:
            yield from self.machines(name)

    def machine(self, name: str) -> MachineRecord | None:
        """What *name* was given; None when the ledger does not know it."""
        return next(iter(self.machines(name)), None)

    def machines(self, name: str = "") -> Iterator[MachineRecord]:
        """Every machine, by name; or only the one called *name*."""
        one = "WHERE name = ?" if name else ""
        machines = self._store.rows(
            f"SELECT id, name, source, allocated FROM machines {one} ORDER BY name",  # noqa: S608 (no input in it)
            (name,) if name else (),
        )
        for some in _parts(machines):
            marks = ", ".join("?" * len(some))
            rows = self._store.rows(
                "SELECT machine, kind, value, field FROM identities "  # noqa: S608 (no input in it)
                f"WHERE machine IN ({marks}) ORDER BY machine, kind, value",
                [number for number, *_ in some],
            )
            of = {
                number: tuple(Identity(*row[1:]) for row in found)
                for number, found in groupby(rows, itemgetter(0))
            }
            for number, called, source, allocated in some:
                yield MachineRecord(called, source, allocated, of.get(number, ()))

    def record(
        self, name: str, source: str, identities: Iterable[Identity], *, allocated: str = ""
    ) -> None:
        """Write down what *name* was given, in the current transaction.

        *allocated* is when (UTC, as in the ledger); now, if it is not said.
        Raises :class:`RefusedError` when the name or one of the values is another machine's.
        """
        self.record_all([MachineRecord(name, source, allocated, tuple(identities))])

    def record_all(self, machines: Iterable[MachineRecord]) -> None:
        """As :meth:`record`, for several machines in few statements."""
        if not self._writing:
            raise AssertionError("machines must be recorded inside transaction()")
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for some in _parts(machines):
            names = [each.name for each in some]
            repeated = Counter(names) - Counter({*names})
            for name in sorted(self.known_names(names)) or repeated:
                raise self.known(name)
            written = self._store.rows(
                "INSERT INTO machines (name, source, allocated) VALUES "  # noqa: S608 (no input in it)
                + ", ".join(["(?, ?, ?)"] * len(some))
                + " RETURNING name, id",
                [
                    part
                    for each in some
                    for part in (each.name, printable(each.source), each.allocated or now)
                ],
            )
            numbers = dict(written)
            self._last = (numbers[names[-1]], names[-1])
            wanted = [(numbers[each.name], one) for each in some for one in each.identities]
            for part in _parts(wanted):
                self._insert(part)

    def _insert(self, wanted: Sequence[tuple[int, Identity]]) -> None:
        written = self._store.rows(
            "INSERT INTO identities (kind, value, machine, field) VALUES "  # noqa: S608 (no input in it)
            + ", ".join(["(?, ?, ?, ?)"] * len(wanted))
            + " ON CONFLICT DO NOTHING RETURNING kind, value",
            [part for number, one in wanted for part in (one.kind, one.value, number, one.field)],
        )
        given = Counter((one.kind, one.value) for _, one in wanted)
        for kind, value in given - Counter(map(tuple, written)):
            raise RefusedError(
                f"{kind} {printable(value)} already belongs to "
                f"{printable(self.holder(kind, value))}, says the ledger {self._store.name}",
                hint="Choose another one, or, when that machine is gone: unclone ledger --release.",
            )

    def release(self, name: str) -> int:
        """Forget *name*, so that its identities may be given out again; how many there were.

        Raises :class:`UsageError` when the ledger does not know it.
        """
        with self.transaction():
            return self.forget(name)

    def forget(self, name: str) -> int:
        """As :meth:`release`, in the current transaction."""
        known = self.machine(name)
        if known is None:
            raise self.unknown(name)
        removed = self._store.rows("DELETE FROM machines WHERE name = ? RETURNING id", (name,))
        self._last = (removed[0][0], "")
        return len(known.identities)

    def rename(self, name: str, new: str) -> None:
        """Keep what *name* was given under the name *new*, in the current transaction."""
        query = "UPDATE machines SET name = ? WHERE name = ? RETURNING id"
        for (number,) in self._store.rows(query, (new, name)):
            self._last = (number, new)

    def known(self, name: str) -> RefusedError:
        """The error for a second machine of one name."""
        machine = self.machine(name)
        when = f" ({machine.allocated})" if machine else ""
        return RefusedError(
            f"the ledger {self._store.name} already has a machine called {printable(name)}{when}",
            hint="Choose another name, or, when that machine is gone: unclone ledger --release.",
        )

    def unknown(self, name: str) -> UsageError:
        """The error for a machine that is not there."""
        return UsageError(
            f"the ledger {self._store.name} knows no machine called {printable(name)}",
            hint="Names are case-sensitive; `unclone ledger LEDGER` lists them.",
        )


def _parts(items: Iterable[_T]) -> Iterator[list[_T]]:
    """*items*, as many at a time as a statement takes."""
    rest = iter(items)
    while part := list(islice(rest, _ROWS)):
        yield part
