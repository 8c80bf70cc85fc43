"""Catalogue rows for values that machines share and that no rule knows: drafts for a person."""

from __future__ import annotations

import glob
import re
from typing import TYPE_CHECKING

import yaml

from unclone.images.errors import UncloneError, UsageError
from unclone.images.text import shown

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.runs.audit.run import Audit

#: A path that a row can name.
_PATH = re.compile(r"/[ -~]*[!-~]")


def write_rows(found: Audit, path: Path) -> int:
    """Write a row for each file with such a value to the new file *path*; how many there are.

    Raises UsageError when there is a file already, UncloneError when it cannot be written.
    """
    kinds: dict[str, set[str]] = {}
    for each in found.unknown:
        for place in {place for places in each.machines.values() for place in places}:
            if _PATH.fullmatch(place):
                kinds.setdefault(place, set()).add(each.kind)
    ids: set[str] = set()
    rows = [_row(place, sorted(kinds[place]), ids) for place in kinds]
    text = yaml.safe_dump(rows, sort_keys=False, allow_unicode=False, width=88) if rows else "[]\n"
    try:
        with path.open("x", encoding="ascii") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(
            f"{shown(path)} exists already", hint="Give --suggest the name of a new file."
        ) from None
    except OSError as error:
        raise UncloneError(f"{shown(path)} cannot be written: {error.strerror}") from error
    return len(rows)


def _row(path: str, kinds: list[str], ids: set[str]) -> dict[str, object]:
    slug = re.sub(r"[^a-z0-9]+", "-", path.lower()).strip("-")[-50:].strip("-")
    name = f"found-{slug}"
    while name in ids:
        name += "-x"
    ids.add(name)
    return {
        "id": name,
        "title": f"To review: {', '.join(kinds)} in {path}",
        "why": "Several machines have the same value here. Say whose it is, and what goes wrong "
        "when two machines have it.",
        "action": "tell",
        "paths": [glob.escape(path)],
        "remedy": "To review: say what gives a clone its own, or choose another action.",
        "sources": ["https://example.org/where-this-was-learned"],
    }
