#!/usr/bin/env python3
"""What ``unclone define`` does with a folder of real definitions.

Every file below FOLDER that a format recognises is planned as the machine web-01, in this process,
and the plan is proved as a run proves it; nothing is written. The table says how many files became
another machine, how many were refused, and in how many an identity stayed that the report does not
mention: a UUID, a MAC address or a name in storage, or a serial number, an address or a path by
the name of its place, that is the same before and after. The slowest files come last.

    python benchmarks/definitions.py FOLDER [--verbose]
"""

from __future__ import annotations

import argparse
import io
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from unclone.images.errors import UncloneError
from unclone.sanitize.definitions.classification import is_telling
from unclone.sanitize.definitions.formats.table import FORMATS, definition_in, format_of
from unclone.sanitize.definitions.identity_map import IdentityMap
from unclone.sanitize.definitions.planning import plan_definition
from unclone.sanitize.definitions.text.source import Source
from unclone.sanitize.definitions.verifying import verify
from unclone.sanitize.identities.allocation import Pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.sanitize.definitions.definition import DefinitionPlan

NAME = "web-01"
SLOWEST = 5


def sources(folder: Path) -> Iterator[Source]:
    """The files that are definitions of a format, as far as their content tells."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            source = Source(path)
            if format_of(source) is not None:
                yield source


def unmentioned(plan: DefinitionPlan) -> list[str]:
    """Places that are called as identities are, whose value stays and is in no note."""
    output = io.BytesIO()
    plan.definition.write(plan.edits, output)
    text = "\n".join(note.text for note in plan.notes)
    changed = [(each.field.start, each.field.end) for each in plan.fields if each.changed]
    fields = {(each.field.start, each.field.end) for each in plan.fields}
    found = []
    for leaf in plan.definition.leaves():
        stays = not any(start < leaf.end and leaf.start < end for start, end in changed)
        said = leaf.value in text or leaf.path in text or (leaf.start, leaf.end) in fields
        if stays and not said and is_telling(leaf.path):
            found.append(leaf.path)
    return found


def main() -> None:
    """Plan every file, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--verbose", action="store_true", help="name files, messages and places")
    options = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    times: list[tuple[float, Path]] = []
    places: Counter[tuple[str, str]] = Counter()
    for source in sources(options.folder):
        format_ = format_of(source)
        kind = format_.id if format_ else ""
        begun = time.perf_counter()
        try:
            identities = IdentityMap(Pool().machine(NAME), NAME)
            plan = plan_definition(definition_in(source), identities)
            verify(plan)
            outcome = "done"
            places.update((kind, place) for place in unmentioned(plan))
        except UncloneError as error:
            outcome = "refused"
            if options.verbose:
                print(f"{source.path}: {error.message}")
        except Exception:  # noqa: BLE001 (a fault of ours, which is counted)
            outcome = "failed"
            print(f"{source.path}:\n{traceback.format_exc()}")
        counts[kind, outcome] += 1
        times.append((time.perf_counter() - begun, source.path))
    outcomes = ("done", "refused", "failed")
    print(f"{'format':18}{'files':>8}" + "".join(f"{each:>10}" for each in outcomes))
    for kind in (each.id for each in FORMATS):
        row = [counts[kind, outcome] for outcome in outcomes]
        if sum(row):
            print(f"{kind:18}{sum(row):8}" + "".join(f"{number:10}" for number in row))
    print(f"kept by a list without a word: {sum(places.values())} values at {len(places)} places")
    for (kind, place), number in places.most_common() if options.verbose else ():
        print(f"  {number:6}  {kind}  {place}")
    for seconds, path in sorted(times, reverse=True)[:SLOWEST]:
        print(f"{seconds * 1000:8.0f} ms  {path.stat().st_size:9} bytes  {path}")


if __name__ == "__main__":
    main()
