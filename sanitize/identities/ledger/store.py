"""What a ledger needs of the database that keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Version of the tables, the same in every database::
#:
#:     machines(id, name unique, source, allocated)         allocated: UTC, 2026-01-31T12:00:00Z
#:     identities(kind, value, machine -> machines, field)  kind + value unique
SCHEMA_VERSION = 1

#: Seconds that one process waits for another's transaction. Each takes milliseconds.
BUSY_SECONDS = 60.0

#: What goes for every error after which nothing was recorded.
NOTHING_GIVEN = "Nothing was given out."


class Store(Protocol):
    """A database with the two tables, at one place. Its errors are ours.

    Outside a transaction each query stands for itself.
    """

    @property
    def name(self) -> str:
        """What people call it, printable."""

    @property
    def warning(self) -> str:
        """What a person should know about where it is; "" when there is nothing."""

    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Carry out *query*, in which ``?`` stands for the *values*; its rows."""

    def begin(self) -> None:
        """Begin a transaction once no other writes. Raises InUseError after BUSY_SECONDS."""

    def commit(self, last: tuple[int, str] | None) -> None:
        """Make the transaction durable; an error means that it was not.

        *last* is the id of the machine that it wrote last, and the name; "" for one that it
        removed. None when it wrote nothing.
        """

    def rollback(self) -> None:
        """Undo the transaction, if there still is one."""

    def close(self) -> None:
        """Close it; what was not committed is undone."""
