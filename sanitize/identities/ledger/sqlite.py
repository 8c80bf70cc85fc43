"""A ledger in a file: a small SQLite database that any number of processes may use at once.

It keeps SQLite's rollback journal (not the write-ahead log): the ledger is one file with one mode,
and a copy of it is whole. A transaction succeeds only once it is durable (``synchronous=EXTRA``),
and one that a killed process left half done is undone by the next reader.

References: https://www.sqlite.org/lockingv3.html (locks, hot journals, network file systems);
https://www.sqlite.org/pragma.html#pragma_application_id, #pragma_synchronous.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from unclone.images.errors import InUseError, RefusedError, UncloneError, UsageError
from unclone.images.text import printable
from unclone.sanitize.identities.file_system import NETWORK_FILE_SYSTEMS, file_system_type
from unclone.sanitize.identities.ledger.store import BUSY_SECONDS, NOTHING_GIVEN, SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

#: "uncl": a database with another application id is not a ledger.
APPLICATION_ID = 0x756E636C

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


def open_store(path: Path) -> SqliteStore:
    """Open the ledger at *path*; make an empty one, for its owner alone, where there is none."""
    _make_private(path)
    # Absolute, because SQLite gives a file called ":memory:" a meaning of its own.
    connection = sqlite3.connect(path.absolute(), timeout=BUSY_SECONDS, isolation_level=None)
    store = SqliteStore(path, connection)
    try:
        for setting in ("synchronous = EXTRA", "foreign_keys = ON", "trusted_schema = OFF"):
            store.rows(f"PRAGMA {setting}")
        store.rows("BEGIN")  # all of one moment: another process may be making it
        version = store.version()
        store.rollback()
        if version == 0:
            store.begin()
            # Another process may have made it while this one waited for the lock.
            if store.version() == 0:
                for statement in _SCHEMA.split(";"):
                    store.rows(statement)
            store.commit()
    except BaseException:
        connection.close()
        raise
    return store


class SqliteStore:
    """The database of a ledger in the file *path*."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        """Use :func:`open_store`."""
        self.path = path
        self._connection = connection
        self._ended = -_RETRY_SECONDS

    @property
    def name(self) -> str:
        return printable(str(self.path))

    @property
    def warning(self) -> str:
        kind = file_system_type(self.path)
        if kind not in NETWORK_FILE_SYSTEMS:
            return ""
        return (
            f"the ledger {self.name} is on a network file system ({kind}): when "
            "its server does not honour locks, machines made on two hosts at once can get the same "
            "addresses. Keep it on a local disk, and run unclone there"
        )

    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._errors():
            return self._connection.execute(query, values).fetchall()

    def begin(self) -> None:
        if time.monotonic() - self._ended < _RETRY_SECONDS:
            time.sleep(_RETRY_SECONDS)
        deadline = time.monotonic() + BUSY_SECONDS
        with self._errors():
            self._connection.execute("PRAGMA busy_timeout = 0")
            try:
                while not self._is_begun(deadline):
                    time.sleep(_RETRY_SECONDS * random.uniform(0.2, 0.8))  # noqa: S311 (no secret)
            finally:
                self._connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")

    def _is_begun(self, deadline: float) -> bool:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorname.startswith("SQLITE_BUSY")
            if not is_busy or time.monotonic() > deadline:
                raise
            return False
        return True

    def commit(self, last: tuple[int, str] | None = None) -> None:  # noqa: ARG002 (a file tells)
        self.rows("COMMIT")

    def rollback(self) -> None:
        self._ended = time.monotonic()
        if self._connection.in_transaction:
            self.rows("ROLLBACK")

    def close(self) -> None:
        self._connection.close()

    def version(self) -> int:
        """0 for an empty database, else our schema's version; errors for anything else."""
        application, version = (
            int(self.rows(f"PRAGMA {name}")[0][0]) for name in ("application_id", "user_version")
        )
        if application == APPLICATION_ID and 0 < version <= SCHEMA_VERSION:
            return version
        if application == APPLICATION_ID:
            raise RefusedError(
                f"{self.name} was written by a newer unclone (ledger version {version}; this one "
                f"knows {SCHEMA_VERSION})",
                hint="Use that version, or another ledger.",
            )
        if application or version or self.rows("SELECT 1 FROM sqlite_master LIMIT 1"):
            raise RefusedError(
                f"{self.name} is a database, but not a ledger of unclone",
                hint="Give the name of a ledger, or of a file that does not exist yet.",
            )
        return 0

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            _, _, name = getattr(error, "sqlite_errorname", "").partition("_")
            code = name.partition("_")[0]
            message, hint = _EXPLAINED.get(code, ("", ""))
            kind = {"BUSY": InUseError, "NOTADB": RefusedError}.get(code, UncloneError)
            raise kind(
                f"the ledger {self.name} {message or 'cannot be used'}: {printable(str(error))}",
                hint=hint or NOTHING_GIVEN,
            ) from error


_EXPLAINED: Mapping[str, tuple[str, str]] = {
    "BUSY": (
        f"was in use by another process for {BUSY_SECONDS:.0f} seconds",
        "Try again; see which process has it open.",
    ),
    "CANTOPEN": ("cannot be opened", "See whether its folder exists and may be written to."),
    "CORRUPT": ("is damaged", _RESTORE),
    "FULL": ("cannot be written", f"Make room on its disk. {NOTHING_GIVEN}"),
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
