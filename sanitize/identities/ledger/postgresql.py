"""A ledger in a PostgreSQL database, for several hosts: the schema ``unclone`` of that database.

A transaction locks the table of machines against all others that write, so there is nothing to
retry but the wait for that lock. When the connection is lost, nothing of the transaction is kept;
when it is lost during COMMIT, the server is asked afterwards what became of it. Other connections
are made again by themselves, for up to BUSY_SECONDS: a server may be restarted meanwhile.

Credentials come from libpq's own places (``~/.pgpass``, service files, PG* variables).

References: https://www.postgresql.org/docs/current/explicit-locking.html (table locks),
#FUNCTIONS-INFO-SNAPSHOT in functions-info.html (pg_xact_status), errcodes-appendix.html.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar, cast

from unclone.images.errors import InUseError, RefusedError, UncloneError, UsageError
from unclone.images.text import printable
from unclone.sanitize.identities.ledger.store import BUSY_SECONDS, NOTHING_GIVEN, SCHEMA_VERSION

try:
    import psycopg
    from psycopg import errors as codes
except ImportError as error:
    raise UsageError(
        f"a ledger on a PostgreSQL server needs psycopg 3: {printable(str(error))}",
        hint="pipx inject unclone 'psycopg[binary]'; with Debian's package of unclone: "
        "apt-get install python3-psycopg.",
    ) from None

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unclone.sanitize.identities.ledger.place import Server

    Connection = psycopg.Connection[tuple[Any, ...]]

#: Of the advisory lock under which the schema is made: "uncl".
_LOCK = 0x756E636C
#: Seconds for one attempt to connect, and between two attempts.
_CONNECT_SECONDS = 10
_RETRY_SECONDS = 0.2

#: What makes each version from the one before.
_MIGRATIONS: dict[int, str] = {
    1: """
CREATE TABLE unclone.ledger (version integer NOT NULL);
INSERT INTO unclone.ledger VALUES (0);
CREATE TABLE unclone.machines (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE,
    source text NOT NULL, allocated text NOT NULL
);
CREATE TABLE unclone.identities (
    kind text COLLATE "C" NOT NULL, value text COLLATE "C" NOT NULL,
    machine bigint NOT NULL REFERENCES unclone.machines(id) ON DELETE CASCADE, field text NOT NULL,
    PRIMARY KEY (kind, value)
);
CREATE INDEX identities_by_machine ON unclone.identities(machine);
CREATE INDEX identities_by_value ON unclone.identities(value);
""",
}
#: One statement, and no function that reads a cache: another process may be making the tables.
_TABLES = """
SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = 'unclone'
"""
_STATUS = "SELECT pg_xact_status(CAST(? AS text)::xid8)"

_Result = TypeVar("_Result")


def open_store(server: Server) -> PostgresqlStore:
    """Connect to *server*; make the schema, or bring it up to date, where that is needed."""
    store = PostgresqlStore(server)
    try:
        if store.version() < SCHEMA_VERSION:
            store.migrate()
    except BaseException:
        store.close()
        raise
    return store


def exists(server: Server) -> bool:
    """Whether the database has a ledger. Nothing is made."""
    store = PostgresqlStore(server)
    try:
        return store.version() > 0
    finally:
        store.close()


class PostgresqlStore:
    """A connection to the ledger of *server*, made again when it is lost."""

    warning = ""

    def __init__(self, server: Server) -> None:
        """Connect. Raises :class:`UsageError` when the server cannot be reached."""
        self.name = printable(server.url)
        self._url = server.url
        #: The transaction that was begun, as the server counts them; "" outside of one.
        self._transaction = ""
        try:
            self._connection = self._connect()
        except psycopg.Error as error:
            raise UsageError(
                f"the ledger {self.name} cannot be opened: {_text(error)}",
                hint="See whether the server runs and lets you in: psql with the same address. "
                "Passwords belong into ~/.pgpass or a service file.",
            ) from None

    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        if self._transaction:
            return self._guarded(lambda: self._execute(query, values))
        return self._guarded(lambda: self._until_answered(lambda: self._execute(query, values)))

    def begin(self) -> None:
        try:
            self._guarded(lambda: self._until_answered(self._begin))
        except BaseException:
            self.rollback()
            raise

    def _begin(self) -> None:
        if self._connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            self._execute("ROLLBACK")  # of an attempt that was given up
        # A server may be set up to answer before a commit is durable.
        self._execute(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;"
            "SET LOCAL synchronous_commit = on;"
            f"SET LOCAL lock_timeout = {int(BUSY_SECONDS * 1000)};"
            "LOCK TABLE machines IN SHARE ROW EXCLUSIVE MODE"
        )
        self._transaction = str(self._execute("SELECT pg_current_xact_id()::text")[0][0])

    def commit(self, last: tuple[int, str] | None) -> None:
        number, self._transaction = self._transaction, ""
        why = "it undid the transaction"
        try:
            kept = self._connection.execute("COMMIT").statusmessage == "COMMIT"
        except psycopg.Error as error:
            if not self._connection.closed:
                raise self._as_ours(error) from error
            kept, why = self._was_committed(number, last, error), _text(error)
        if not kept:
            raise UncloneError(
                f"the ledger {self.name} recorded nothing: {why}",
                hint=f"{NOTHING_GIVEN} Run it again.",
            )

    def _was_committed(
        self, number: str, last: tuple[int, str] | None, lost: psycopg.Error
    ) -> bool:
        """What became of transaction *number*, whose COMMIT got no answer.

        A server that stopped hard may have given its number to another transaction since. So the
        number only tells when the server is done with it, and *last* whether it was kept.
        """
        deadline = time.monotonic() + BUSY_SECONDS
        try:
            while time.monotonic() < deadline:
                status = self._until_answered(lambda: self._execute(_STATUS, (number,)))[0][0]
                if status != "in progress":
                    return last is None or self._until_answered(lambda: self._is_there(*last))
                time.sleep(_RETRY_SECONDS)  # the server has not noticed yet
        except psycopg.Error:
            pass
        raise UncloneError(
            f"the connection to the ledger {self.name} was lost while it recorded what was given "
            f"out, and whether it did is not known: {_text(lost)}",
            hint="When the server answers again, `unclone ledger LEDGER NAME` shows it. "
            "Nothing that it has is given out again.",
        ) from lost

    def _is_there(self, number: int, name: str) -> bool:
        rows = self._execute("SELECT name FROM machines WHERE id = ?", (number,))
        return rows == ([(name,)] if name else [])

    def rollback(self) -> None:
        self._transaction = ""
        if self._connection.closed:
            return  # and the server undoes what was not committed
        if self._connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            try:
                self._execute("ROLLBACK")
            except psycopg.Error:
                self._connection.close()

    def close(self) -> None:
        self._connection.close()

    def version(self) -> int:
        """0 for a database without a ledger, else its version. Raises RefusedError for others."""
        tables = [name for (name,) in self.rows(_TABLES)]
        if "ledger" not in tables:
            if tables:
                raise RefusedError(
                    f"the schema unclone of {self.name} is not a ledger of unclone",
                    hint="Name another database.",
                )
            return 0
        version = int(self.rows("SELECT version FROM ledger")[0][0])
        if version > SCHEMA_VERSION:
            raise RefusedError(
                f"{self.name} was written by a newer unclone (ledger version {version}; this one "
                f"knows {SCHEMA_VERSION})",
                hint="Use that version, or another ledger.",
            )
        return version

    def migrate(self) -> None:
        """Make the tables, or change those of an earlier version; all of it or nothing."""

        def change() -> None:
            with self._connection.transaction():
                self._execute("SELECT pg_advisory_xact_lock(?)", (_LOCK,))
                # Another process may have done it while this one waited.
                before = self.version()
                if before == 0:
                    self._execute("CREATE SCHEMA IF NOT EXISTS unclone")
                for version in range(before + 1, SCHEMA_VERSION + 1):
                    self._execute(_MIGRATIONS[version])
                    self._execute("UPDATE ledger SET version = ?", (version,))

        self._guarded(change)

    # -- helpers ---------------------------------------------------------------------------
    def _connect(self) -> Connection:
        connection = psycopg.connect(
            self._url,
            autocommit=True,
            connect_timeout=_CONNECT_SECONDS,
            application_name="unclone",
            client_encoding="utf8",
            # A plan that was made for an empty table would stay as it grows: no statistics are
            # taken of it as long as it is locked.
            prepare_threshold=None,
        )
        connection.execute("SET search_path = unclone")
        return connection

    def _execute(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        # All queries are literals of this package; psycopg wants to be sure of that by the type.
        text = cast("Any", query.replace("?", "%s") if values else query)
        cursor = self._connection.execute(text, values or None)
        return cursor.fetchall() if cursor.description else []

    def _until_answered(self, work: Callable[[], _Result]) -> _Result:
        """*work*, outside of a transaction, again and again until the server carries it out."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                if self._connection.closed:
                    self._connection = self._connect()
                return work()
            except (codes.SerializationFailure, codes.DeadlockDetected):
                if time.monotonic() > deadline:
                    raise
            except psycopg.OperationalError as error:
                is_lost = self._connection.closed or error.sqlstate is None
                if not is_lost or time.monotonic() > deadline:
                    raise
            time.sleep(_RETRY_SECONDS)

    def _guarded(self, work: Callable[[], _Result]) -> _Result:
        """*work*, with the database's errors as ours."""
        try:
            return work()
        except psycopg.Error as error:
            raise self._as_ours(error) from error

    def _as_ours(self, error: psycopg.Error) -> UncloneError:
        unknown = (UncloneError, "cannot be used", NOTHING_GIVEN)
        ours, message, hint = _EXPLAINED.get(type(error), unknown)
        if self._connection.closed:
            message = "does not answer any more"
            hint = f"{NOTHING_GIVEN} Run it again when the server is there."
        return ours(f"the ledger {self.name} {message}: {_text(error)}", hint=hint)


def _text(error: psycopg.Error) -> str:
    """The first line of what the server or libpq says: the others show queries, or repeat it."""
    return printable(str(error).strip().partition("\n")[0], 200)


_EXPLAINED: dict[type[psycopg.Error], tuple[type[UncloneError], str, str]] = {
    codes.LockNotAvailable: (
        InUseError,
        f"was in use by another process for {BUSY_SECONDS:.0f} seconds",
        "Try again; the server's view pg_stat_activity shows who has it.",
    ),
    codes.InsufficientPrivilege: (
        UsageError,
        "may not be written to",
        "Ask for CREATE on the database, or for all rights on its schema unclone.",
    ),
    codes.ReadOnlySqlTransaction: (
        UsageError,
        "may not be written to",
        "It is a standby server, or set to read only. Name the primary server.",
    ),
    codes.DiskFull: (UncloneError, "cannot be written", f"Make room on its disk. {NOTHING_GIVEN}"),
}
