"""The files that go with a machine's new definition, and where they are written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.sanitize.definitions.associated_files import CopiedFile
from unclone.sanitize.definitions.rule import FieldKind

if TYPE_CHECKING:
    from unclone.sanitize.definitions.associated_files import AssociatedFile
    from unclone.sanitize.definitions.definition import DefinitionPlan


def files_of(
    plan: DefinitionPlan, output: Path, home: Path | None, nvram: Path | None
) -> list[AssociatedFile]:
    """What goes with the definition of *plan*, which is written to *output*.

    What goes into *home* is written beside *output*, whose folder gets that name when it is
    complete. UEFI variables are copied from *nvram*, if it is given.
    """
    found = list(plan.definition.associated_files(plan, output))
    if nvram is not None:
        stores = [each.new for each in plan.fields if each.field.rule.kind is FieldKind.FIRMWARE]
        found = [CopiedFile(nvram, Path(new)) for new in dict.fromkeys(stores) if new]
    return [
        replace(each, target=output.parent / each.target.name)
        if isinstance(each, CopiedFile) and each.target.parent == home
        else each
        for each in found
    ]
