"""The ledger: every identity that was given out, so that none is given out twice.

A small SQLite database that any number of processes may use at once. It keeps SQLite's rollback
journal (not the write-ahead log): the ledger is one file with one mode, and a copy of it is whole.
A transaction succeeds only once it is durable (``synchronous=EXTRA``), and one that a killed
process left half done is undone by the next reader.

Schema 1::

    machines(id, name unique, source, allocated)         allocated: UTC, 2026-01-31T12:00:00Z
    identities(kind, value, machine -> machines, field)  kind + value unique

References: https://www.sqlite.org/lockingv3.html (locks, hot journals, network file systems);
https://www.sqlite.org/pragma.html#pragma_application_id, #pragma_synchronous.
"""

from __future__ import annotations

import os
import random
import re
import sqlite3
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from unclone.images.errors import InUseError, RefusedError, UncloneError, UsageError
from unclone.images.text import printable
from unclone.sanitize.identities.file_system import NETWORK_FILE_SYSTEMS, file_system_type
from unclone.sanitize.identities.records import Identity, MachineRecord
from unclone.sanitize.identities.uuids import canonical_uuid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

#: "uncl": a database with another application id is not a ledger.
APPLICATION_ID = 0x756E636C
SCHEMA_VERSION = 1

#: Seconds that one process waits for another's transaction. Each takes milliseconds.
BUSY_SECONDS = 60.0
#: Seconds. A waiting process tries again at least this often, and a process that begins another
#: transaction sooner than this waits first. With SQLite's own busy handler, whose waits grow, a
#: process may never get the lock while others take it again and again.
_RETRY_SECONDS = 0.005

_SCHEMA = f"""
CREATE TABLE machines (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, source TEXT NOT NULL, allocated TEXT NOT NULL
);
CREATE TABLE identities (
    kind TEXT NOT NULL, value TEXT NOT NULL,
    machine INTEGER NOT NULL REFERENCES machines(id) ON DELETE CASCADE, field TEXT NOT NULL,
    PRIMARY KEY (kind, value)
) WITHOUT ROWID;
CREATE INDEX identities_by_machine ON identities(machine);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION}
"""

_RESTORE = "Restore it from a backup, or start a new one under another name."


class Ledger:
    """An open ledger. Not for use by two threads at once; each process opens its own."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        """Use :meth:`open`."""
        self.path = path
        self._connection = connection
        self._writing = False
        self._ended = -_RETRY_SECONDS

    @classmethod
    def open(cls, path: Path) -> Ledger:
        """Open the ledger at *path*; make an empty one, for its owner alone, where there is none.

        Raises :class:`UsageError` for a path that cannot be one, :class:`RefusedError` for a file
        that is no ledger or was written by a newer version, :class:`InUseError` when other
        processes keep it locked, :class:`UncloneError` when it cannot be read.
        """
        _make_private(path)
        # Absolute, because SQLite gives a file called ":memory:" a meaning of its own.
        connection = sqlite3.connect(path.absolute(), timeout=BUSY_SECONDS, isolation_level=None)
        ledger = cls(path, connection)
        try:
            with ledger._errors():
                for setting in ("synchronous = EXTRA", "foreign_keys = ON", "trusted_schema = OFF"):
                    connection.execute(f"PRAGMA {setting}")
                connection.execute("BEGIN")  # all of one moment: another process may be making it
            version = ledger._version()
            connection.execute("ROLLBACK")
            if version == 0:
                with ledger.transaction():
                    ledger._make_schema()
        except BaseException:
            connection.close()
            raise
        return ledger

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it; what was not committed is undone."""
        self._connection.close()

    @property
    def warning(self) -> str:
        """What a person should know about where the ledger is; "" when there is nothing."""
        kind = file_system_type(self.path)
        if kind not in NETWORK_FILE_SYSTEMS:
            return ""
        return (
            f"the ledger {printable(str(self.path))} is on a network file system ({kind}): when "
            "its server does not honour locks, machines made on two hosts at once can get the same "
            "addresses. Keep it on a local disk, and run unclone there"
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything recorded inside is kept, or nothing; no other process writes meanwhile.

        Read what is taken and record what is given out inside one, or two processes may give
        out the same. Raises :class:`UncloneError` when the ledger stays busy or cannot be written.
        """
        with self._errors():
            self._begin()
        self._writing = True
        try:
            yield
            with self._errors():
                self._connection.execute("COMMIT")
        finally:
            self._writing = False
            self._ended = time.monotonic()
            if self._connection.in_transaction:
                with self._errors():
                    self._connection.execute("ROLLBACK")

    def holder(self, kind: str, value: str) -> str:
        """The name of the machine that has *value*; "" when none has."""
        rows = self._rows(
            "SELECT name FROM identities JOIN machines ON machines.id = machine "
            "WHERE kind = ? AND value = ?",
            (kind, value),
        )
        return str(rows[0][0]) if rows else ""

    def find(self, value: str) -> Iterator[MachineRecord]:
        """The machines that have *value*, of any kind; MAC addresses and UUIDs in any spelling."""
        usual = value.lower()
        digits = re.sub("[:. {}-]", "", value.lower())
        if re.fullmatch("[0-9a-f]{12}", digits):
            usual = ":".join(digits[i : i + 2] for i in range(0, 12, 2))
        elif re.fullmatch("[0-9a-f]{32}", digits):
            usual = canonical_uuid(digits)
        rows = self._rows(
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
        with self._errors():
            cursor = self._connection.execute(
                f"SELECT id, name, source, allocated FROM machines {one} ORDER BY name",  # noqa: S608 (no input in it)
                (name,) if name else (),
            )
        while True:
            with self._errors():
                row = cursor.fetchone()
            if row is None:
                return
            number, called, source, allocated = row
            yield MachineRecord(called, source, allocated, self._identities(number))

    def record(self, name: str, source: str, identities: Iterable[Identity]) -> None:
        """Write down what *name* was given, in the current transaction.

        Raises :class:`RefusedError` when the name or one of the values is another machine's.
        """
        if not self._writing:
            raise AssertionError("record() must be called inside transaction()")
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if self._rows("SELECT 1 FROM machines WHERE name = ?", (name,)):
            raise self.known(name)
        with self._errors():
            number = self._connection.execute(
                "INSERT INTO machines (name, source, allocated) VALUES (?, ?, ?)",
                (name, printable(source), now),
            ).lastrowid
        for one in identities:
            try:
                with self._errors():
                    self._connection.execute(
                        "INSERT INTO identities VALUES (?, ?, ?, ?)",
                        (one.kind, one.value, number, one.field),
                    )
            except _TakenError:
                holder = self.holder(one.kind, one.value)
                raise RefusedError(
                    f"{one.kind} {printable(one.value)} already belongs to {printable(holder)}, "
                    f"says the ledger {printable(str(self.path))}",
                    hint="Choose another one, or, when that machine is gone: "
                    "unclone ledger --release.",
                ) from None

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
        with self._errors():
            self._connection.execute("DELETE FROM machines WHERE name = ?", (name,))
        return len(known.identities)

    def rename(self, name: str, new: str) -> None:
        """Keep what *name* was given under the name *new*, in the current transaction."""
        with self._errors():
            self._connection.execute("UPDATE machines SET name = ? WHERE name = ?", (new, name))

    def known(self, name: str) -> RefusedError:
        """The error for a second machine of one name."""
        machine = self.machine(name)
        when = f" ({machine.allocated})" if machine else ""
        return RefusedError(
            f"the ledger {printable(str(self.path))} already has a machine called "
            f"{printable(name)}{when}",
            hint="Choose another name, or, when that machine is gone: unclone ledger --release.",
        )

    def unknown(self, name: str) -> UsageError:
        """The error for a machine that is not there."""
        return UsageError(
            f"the ledger {printable(str(self.path))} knows no machine called {printable(name)}",
            hint="Names are case-sensitive; `unclone ledger FILE` lists them.",
        )

    # -- helpers ---------------------------------------------------------------------------
    def _begin(self) -> None:
        if time.monotonic() - self._ended < _RETRY_SECONDS:
            time.sleep(_RETRY_SECONDS)
        deadline = time.monotonic() + BUSY_SECONDS
        self._connection.execute("PRAGMA busy_timeout = 0")
        try:
            while True:
                try:
                    self._connection.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError as error:
                    is_busy = error.sqlite_errorname.startswith("SQLITE_BUSY")
                    if not is_busy or time.monotonic() > deadline:
                        raise
                else:
                    return
                time.sleep(_RETRY_SECONDS * random.uniform(0.2, 0.8))  # noqa: S311 (no secret)
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")

    def _identities(self, machine: int) -> tuple[Identity, ...]:
        rows = self._rows(
            "SELECT kind, value, field FROM identities WHERE machine = ? ORDER BY kind, value",
            (machine,),
        )
        return tuple(Identity(*row) for row in rows)

    def _rows(self, query: str, values: Sequence[object] = ()) -> Sequence[Sequence[str]]:
        with self._errors():
            return self._connection.execute(query, values).fetchall()

    def _pragma(self, name: str) -> int:
        return int(self._rows(f"PRAGMA {name}")[0][0])

    def _version(self) -> int:
        """0 for an empty database, else our schema's version; errors for anything else."""
        shown = printable(str(self.path))
        application, version = self._pragma("application_id"), self._pragma("user_version")
        if application == APPLICATION_ID and 0 < version <= SCHEMA_VERSION:
            return version
        if application == APPLICATION_ID:
            raise RefusedError(
                f"{shown} was written by a newer unclone (ledger version {version}; this one knows "
                f"{SCHEMA_VERSION})",
                hint="Use that version, or another ledger.",
            )
        if application or version or self._rows("SELECT 1 FROM sqlite_master LIMIT 1"):
            raise RefusedError(
                f"{shown} is a database, but not a ledger of unclone",
                hint="Give the name of a ledger, or of a file that does not exist yet.",
            )
        return 0

    def _make_schema(self) -> None:
        # Another process may have made it while this one waited for the lock.
        if self._version() == 0:
            with self._errors():
                for statement in _SCHEMA.split(";"):
                    self._connection.execute(statement)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise _TakenError(str(error)) from None
        except sqlite3.DatabaseError as error:
            _, _, name = getattr(error, "sqlite_errorname", "").partition("_")
            code = name.partition("_")[0]
            message, hint = _EXPLAINED.get(code, ("", ""))
            kind = {"BUSY": InUseError, "NOTADB": RefusedError}.get(code, UncloneError)
            raise kind(
                f"the ledger {printable(str(self.path))} {message or 'cannot be used'}: "
                f"{printable(str(error))}",
                hint=hint or "Nothing was given out.",
            ) from error


class _TakenError(Exception):
    """A value that must be unique is there already."""


_EXPLAINED: Mapping[str, tuple[str, str]] = {
    "BUSY": (
        f"was in use by another process for {BUSY_SECONDS:.0f} seconds",
        "Try again; see which process has it open.",
    ),
    "CANTOPEN": ("cannot be opened", "See whether its folder exists and may be written to."),
    "CORRUPT": ("is damaged", _RESTORE),
    "FULL": ("cannot be written", "Make room on its disk. Nothing was given out."),
    "IOERR": ("cannot be read or written", "See whether its disk is full or failing."),
    "NOTADB": ("is not a ledger", "Give the name of a ledger, or of a file that does not exist."),
    "READONLY": ("may not be written to", "Give yourself the right to write to it."),
}


def _make_private(path: Path) -> None:
    """See that *path* is a regular file, and make it one that only its owner can read.

    A file that is there is not opened: closing it would take away the locks that SQLite has on it
    elsewhere in this process (fcntl(2)).
    """
    shown = printable(str(path))
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if path.is_symlink() and not path.exists():
            raise UsageError(
                f"the ledger {shown} is a symlink that leads nowhere", hint="Name a file."
            ) from None
    except OSError as error:
        raise UsageError(
            f"the ledger {shown} cannot be opened: {error.strerror}",
            hint="Name a file in a folder that exists and that you may write to.",
        ) from None
    if not path.is_file():
        raise UsageError(
            f"the ledger {shown} is not a regular file", hint="Name one, or a new file."
        )
