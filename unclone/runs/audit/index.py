"""Which values several machines have: an index that is on disk when it is large.

Each machine is added once and forgotten, so the memory that is needed does not grow with their
number.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unclone.sanitize.audit.values import bare_digits, digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from unclone.sanitize.audit.values import Found

_DIGITS = re.compile(rb"[0-9a-f]{32}")

#: Places of one value in one machine that are named.
PLACES = 10

#: SQLite's name for a database that it keeps in memory up to the size of its cache, and else in a
#: file without a name.
_TEMPORARY = ""


@dataclass(frozen=True, slots=True)
class Shared:
    """A value that several machines have: by machine (its number) the places, in order."""

    kind: str
    value: str
    machines: dict[int, tuple[str, ...]]
    harmless: str = ""
    score: int = 0

    def to_json(self, names: list[str]) -> dict[str, Any]:
        """As documented in docs/json.md."""
        return {
            "kind": self.kind,
            "value": self.value,
            "machines": [
                {"machine": names[number], "places": list(places)}
                for number, places in self.machines.items()
            ],
        }


class Index:
    """The values of all machines."""

    def __init__(self) -> None:
        self._database = sqlite3.connect(_TEMPORARY, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute(
            "CREATE TABLE found (kind TEXT, value TEXT, machine INTEGER, place TEXT,"
            " harmless TEXT, score INTEGER, bare TEXT)"
        )

    def close(self) -> None:
        """Forget everything."""
        self._database.close()

    def add(self, machine: int, values: Iterable[Found]) -> None:
        """Add the *values* of the machine with this number."""
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT INTO found VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    *(_text(v.kind), _text(v.value), machine, _text(v.place)),
                    *(v.harmless, v.score, _bare(v)),
                )
                for v in dict.fromkeys(values)
            ),
        )
        self._database.execute("COMMIT")

    def shared(self) -> Iterator[Shared]:
        """What several machines have: by kind, most machines first; unknown values by score.

        To be called once.
        """
        self._database.execute("CREATE INDEX by_bare ON found (bare) WHERE bare != ''")
        # An identity of one machine, in a file of another that no rule knows.
        self._database.execute(
            "INSERT INTO found SELECT rule.kind, rule.value, file.machine, file.place, '', 0, ''"
            " FROM found AS file JOIN (SELECT DISTINCT kind, value, bare FROM found"
            " WHERE bare != '' AND score = 0 AND harmless = '') AS rule ON rule.bare = file.bare"
            " WHERE file.bare != '' AND file.score > 0"
        )
        self._database.execute("CREATE INDEX by_value ON found (kind, value)")
        groups = self._database.execute(
            "SELECT kind, value, MIN(harmless), MAX(score) AS score, COUNT(DISTINCT machine) AS n"
            " FROM found GROUP BY kind, value HAVING n > 1 ORDER BY score DESC, kind, n DESC, value"
        )
        for kind, value, harmless, score, _ in groups:
            places: dict[int, tuple[str, ...]] = {}
            rows = self._database.execute(
                "SELECT machine, place FROM found WHERE kind = ? AND value = ? ORDER BY machine",
                (kind, value),
            )
            for machine, place in rows:
                known = places.get(machine, ())
                places[machine] = (*known, place)[:PLACES]
            yield Shared(kind, value, places, harmless, score)


def _bare(found: Found) -> str:
    """What values of 32 hexadecimal digits are compared by, whatever they are called; else ""."""
    if found.score:
        return found.value
    digits = bare_digits(found.value.encode("utf-8", "replace"))
    return digest(digits) if _DIGITS.fullmatch(digits) else ""


def _text(text: str) -> str:
    """*text* as SQLite stores it: a byte that is not UTF-8 becomes an escape."""
    return text.encode("utf-8", "backslashreplace").decode()
