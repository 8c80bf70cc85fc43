#!/usr/bin/env python3
"""What ``unclone define`` does with a folder of real definitions.

Every file below FOLDER that a format recognises is planned as the machine web-01, in this process,
and the plan is proved as a run proves it; nothing is written. Then every value that may be an
identity is judged: one with the shape of a UUID, a MAC address, a WWN, a name in storage or the
path of a socket, and one whose place is called as identities are (serial, address, port, path).

renewed  the text changes there, or it is in what is taken out
said     it stays, and a note of the report has its value or its place
listed   it stays without a word: a list of the format says why
rule     it stays without a word, at the place of a rule whose condition it does not meet
silent   it stays, and nothing knows it

With --verbose each group of the last three is printed, with some of its values. The slowest files
come last.

    python benchmarks/definitions.py FOLDER [--verbose]
"""

from __future__ import annotations

import argparse
import re
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from unclone.images.errors import UncloneError
from unclone.images.text import printable
from unclone.sanitize.definitions.classification import is_telling, lists_of, reason_of
from unclone.sanitize.definitions.formats.table import FORMATS, definition_in, format_of
from unclone.sanitize.definitions.identity_map import IdentityMap
from unclone.sanitize.definitions.planning import plan_definition
from unclone.sanitize.definitions.substitution import UUID
from unclone.sanitize.definitions.text.source import Source
from unclone.sanitize.definitions.verifying import verify
from unclone.sanitize.identities.allocation import Pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.sanitize.definitions.definition import DefinitionPlan

NAME = "web-01"
SLOWEST = 5
SAMPLES = 6
OUTCOMES = ("done", "refused", "failed")
JUDGED = ("renewed", "said", "listed", "rule", "silent")
SHAPES = (
    ("uuid", UUID),
    (
        "mac",
        re.compile(r"(?<![0-9A-Fa-f:-])[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}(?![0-9A-Fa-f:-])"),
    ),
    ("storage name", re.compile(r"\b(?:iqn|nqn)\.\d{4}-\d\d\.|\b(?:naa|eui)\.[0-9A-Fa-f]{16}")),
    ("wwn", re.compile(r"(?<![0-9A-Fa-f])(?:0x)?[1256][0-9A-Fa-f]{15}(?![0-9A-Fa-f])")),
    ("socket", re.compile(r"^/\S*(?:\.sock(?:et)?\b|/run/|^/tmp/)")),
)


def sources(folder: Path) -> Iterator[Source]:
    """The files that are definitions of a format, as far as their content tells."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            source = Source(path)
            if format_of(source) is not None:
                yield source


class Judged(NamedTuple):
    """What became of values: in which format, how, and at which place, for which reason."""

    format: str
    outcome: str
    place: str
    why: str


def shape_of(value: str) -> str:
    """What *value* looks like, or "" for nothing that identifies."""
    return next((name for name, pattern in SHAPES if pattern.search(value)), "")


def _plain(place: str) -> str:
    """A field's place as the paths of leaves are written, without numbers and the root."""
    return re.sub(r"\[\d+\]", "", place).removeprefix("/").partition("/")[2] or place


def judged(plan: DefinitionPlan) -> Iterator[tuple[Judged, str]]:
    """Every value that may be an identity, with what became of it."""
    definition = plan.definition
    notes = "\n".join(note.text for note in plan.notes)
    changed = [(edit.start, edit.end) for edit in plan.edits if edit.end > edit.start]
    stays = [each.field for each in plan.fields if not each.changed]
    whole = {_plain(field.place) for field in stays if field.start == field.end}
    lists = lists_of(definition.format)
    for leaf in definition.leaves():
        if not leaf.value or not (is_telling(leaf.path) or shape_of(leaf.value)):
            continue
        shape = shape_of(leaf.value)
        place = f"{leaf.path} ({shape})" if shape else leaf.path
        why = ""
        if any(start < leaf.end and leaf.start < end for start, end in changed):
            outcome = "renewed"
        elif (
            leaf.value in notes
            or leaf.path in notes
            or any(leaf.start <= field.start <= field.end <= leaf.end for field in stays)
        ):
            outcome = "said"
        elif any(leaf.path.startswith(place) for place in whole):
            outcome = "said"  # with the device that it is part of
        elif why := reason_of(definition.format, leaf.path):
            outcome = "listed"
        else:
            outcome = "rule" if lists.known.fullmatch(leaf.path) else "silent"
        yield Judged(definition.format.id, outcome, place, why), leaf.value


def main() -> None:
    """Plan every file, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--verbose", action="store_true", help="name files, messages and places")
    options = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    times: list[tuple[float, Path]] = []
    groups: Counter[Judged] = Counter()
    values: dict[Judged, dict[str, None]] = {}
    for source in sources(options.folder):
        format_ = format_of(source)
        kind = format_.id if format_ else ""
        begun = time.perf_counter()
        try:
            identities = IdentityMap(Pool().machine(NAME), NAME)
            plan = plan_definition(definition_in(source), identities)
            verify(plan)
            plan.definition.require_off()
            outcome = "done"
            for group, value in judged(plan):
                groups[group] += 1
                if len(shown := values.setdefault(group, {})) < SAMPLES:
                    shown[printable(value, 60)] = None
        except UncloneError as error:
            outcome = "refused"
            if options.verbose:
                print(f"{source.path}: {error.message}")
        except Exception:  # noqa: BLE001 (a fault of ours, which is counted)
            outcome = "failed"
            print(f"{source.path}:\n{traceback.format_exc()}")
        counts[kind, outcome] += 1
        times.append((time.perf_counter() - begun, source.path))
    heads = (*OUTCOMES, *JUDGED)
    print(f"{'format':18}{'files':>8}" + "".join(f"{each:>9}" for each in heads))
    sums: Counter[tuple[str, str]] = Counter()
    for group, number in groups.items():
        sums[group.format, group.outcome] += number
    for kind in (each.id for each in FORMATS):
        row = [counts[kind, outcome] for outcome in OUTCOMES]
        if sum(row):
            row = [sum(row), *row, *(sums[kind, outcome] for outcome in JUDGED)]
            print(f"{kind:18}{row[0]:8}" + "".join(f"{number:9}" for number in row[1:]))
    for group, number in groups.most_common() if options.verbose else ():
        if group.outcome in JUDGED[2:]:
            print(f"  {number:6}  {group.outcome}  {group.format}  {group.place}  {group.why}")
            print(f"          {' | '.join(values[group])}")
    for seconds, path in sorted(times, reverse=True)[:SLOWEST]:
        print(f"{seconds * 1000:8.0f} ms  {path.stat().st_size:9} bytes  {path}")


if __name__ == "__main__":
    main()
