"""Golden definitions: what is before, what is asked for, and what comes out.

``golden/FORMAT/NAME.before.EXT`` becomes ``NAME.after.EXT`` as the machine web-01, with the
identities of :class:`tests.support.allocator.Counting`. ``NAME.options.json`` beside it may hold
``disks`` (old to new) and ``oui``. To write what comes out now as what should come out::

    python -m tests.support.definitions FORMAT
"""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.allocator import Counting
from unclone.sanitize.definitions.formats.table import read_definition
from unclone.sanitize.definitions.identity_map import IdentityMap
from unclone.sanitize.definitions.planning import plan_definition

if TYPE_CHECKING:
    from unclone.sanitize.definitions.definition import DefinitionPlan, PlannedField

FOLDER = Path(__file__).resolve().parents[1] / "sanitize" / "definitions" / "golden"
NAME = "web-01"


@dataclass(frozen=True)
class Golden:
    """One pair of files."""

    before: Path

    def __str__(self) -> str:
        return f"{self.format}-{self.before.name.split('.before')[0]}"

    @property
    def format(self) -> str:
        return self.before.parent.name

    @property
    def after(self) -> Path:
        return self.before.with_name(self.before.name.replace(".before", ".after"))

    @property
    def options(self) -> dict[str, Any]:
        stem = self.before.name.split(".before")[0]
        file = self.before.with_name(f"{stem}.options.json")
        return dict(json.loads(file.read_text())) if file.exists() else {}


def goldens(format_id: str = "*") -> list[Golden]:
    """Every pair, or those of one format."""
    return [Golden(path) for path in sorted(FOLDER.glob(f"{format_id}/*.before*"))]


def planned(golden: Golden) -> DefinitionPlan:
    """What becomes of the definition."""
    options = golden.options
    oui = bytes.fromhex(options.get("oui", "").replace(":", ""))
    identities = IdentityMap(Counting(), NAME, oui=oui)
    return plan_definition(read_definition(golden.before), identities, disks=options.get("disks"))


@cache
def exercised(format_id: str) -> tuple[PlannedField, ...]:
    """Every field of every definition of a format."""
    return tuple(field for golden in goldens(format_id) for field in planned(golden).fields)


def written(plan: DefinitionPlan) -> bytes:
    """The new definition."""
    output = io.BytesIO()
    plan.definition.write(plan.edits, output)
    return output.getvalue()


def main(format_id: str) -> None:
    """Write what comes out now as what should come out."""
    for golden in goldens(format_id):
        golden.after.write_bytes(written(planned(golden)))


if __name__ == "__main__":
    main(sys.argv[1])
