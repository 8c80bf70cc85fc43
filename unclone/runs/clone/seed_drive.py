"""The drive of a golden machine's definition that each clone has its seed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.sanitize.definitions.formats.table import definition_in
from unclone.sanitize.definitions.text.source import Source
from unclone.sanitize.definitions.text.splicing import splice
from unclone.seeds.errors import SeedError

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.sanitize.definitions.definition import Definition

#: The medium of a drive that was added, before each machine's own seed takes its place.
ADDED = "/unclone/seed.iso"


def with_seed_drive(definition: Definition) -> Definition:
    """*definition*, with a drive for the seed where it has none and can have one."""
    edits = () if _seeds(definition) else definition.seed_drive(ADDED)
    if not edits:
        return definition
    text = splice(definition.source.text, edits)
    source = Source(definition.source.path, definition.source.encoded(text))
    return definition_in(source, definition.format.id)


def seed_drive(definition: Definition) -> str:
    """The CD drive whose medium is a seed, as the definition names its file; "" without one."""
    found = _seeds(definition)
    return found[0] if len(found) == 1 else ""


def _seeds(definition: Definition) -> list[str]:
    folder = definition.source.path.parent
    return [
        disk.path
        for disk in definition.disks
        if disk.path and (disk.removable or disk.read_only) and _is_seed(folder / disk.path)
    ]


def _is_seed(path: Path) -> bool:
    from unclone.seeds.output import read_image  # noqa: PLC0415 (only for definitions with a CD)

    try:
        with path.open("rb") as file:
            return bool(read_image(file.read(16 * 1024 * 1024)))
    except (OSError, SeedError, ValueError):
        return any(word in path.name.lower() for word in ("seed", "cidata", "cloud-init"))
