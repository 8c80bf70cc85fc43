"""The catalogue: identities that paths and an action describe, as data in YAML.

One file per theme beside this one; people add files of their own with ``--catalogue``. A row is
one identity kind: ``docs/catalogue.md`` says how to write one, ``schema.json`` what is allowed.
"""

from __future__ import annotations

import functools
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images.errors import UsageError
from unclone.images.text import printable
from unclone.sanitize.catalogue import compiled
from unclone.sanitize.catalogue.reading import HINT, read_rows, rows_of
from unclone.sanitize.catalogue.row import CatalogueStep

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from importlib.resources.abc import Traversable

    from unclone.sanitize.catalogue.row import CatalogueRow


def load(own: Sequence[str] = ()) -> tuple[CatalogueStep, ...]:
    """The built-in rows, sorted by id, then those of the files at the host paths *own*.

    Raises :class:`UsageError` naming the file, the row and the field that is wrong.
    """
    rows = list(_built_in())
    known = {row.id: "the built-in catalogue" for row in rows}
    for name in own:
        for row in read_rows(_text(name), printable(name)):
            if row.id in known:
                raise UsageError(
                    f"{printable(name)}: row {row.id}: id: is taken by {known[row.id]}",
                    hint=f"Choose another id. To replace a row, also pass --disable {row.id}.",
                )
            known[row.id] = printable(name)
            rows.append(row)
    return tuple(CatalogueStep(row) for row in rows)


@functools.cache
def _built_in() -> tuple[CatalogueRow, ...]:
    # The schema is not checked again here: tests/sanitize/catalogue/test_rows.py does, for all.
    rows = [row for f in _files() for row in rows_of(compiled.load(f), f.name, checked=True)]
    return tuple(sorted(rows, key=lambda row: row.id))


def built_in_files() -> Iterable[tuple[str, str]]:
    """The name and text of each file of the built-in catalogue."""
    return [(f.name, f.read_text("utf-8")) for f in _files()]


def _files() -> Sequence[Traversable]:
    found = [f for f in files(__package__).iterdir() if f.name.endswith(".yaml")]
    return sorted(found, key=lambda f: f.name)


def _text(name: str) -> str:
    try:
        return Path(name).read_text("utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot read the catalogue file {printable(name)}: {error.strerror}", hint=HINT
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{printable(name)} is not UTF-8 text", hint=HINT) from error
