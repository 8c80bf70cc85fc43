"""``unclone define --virtio``: devices move to virtio if the guest boots from them afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.formats.header import Format
from unclone.images.text import shown
from unclone.runs.opening import read_image
from unclone.runs.request import Request
from unclone.sanitize import clone_readiness
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.formats.table import definition_in
from unclone.sanitize.definitions.text.source import Source
from unclone.sanitize.definitions.text.splicing import splice
from unclone.sanitize.facts import Facts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from unclone.sanitize.definitions.definition import Definition, Disk

_HINT = "Correct that in the guest first, or leave out --virtio."


def moved(
    definition: Definition, disks: Mapping[str, str], *, unchecked: bool
) -> tuple[Definition, dict[str, str], tuple[Note, ...]]:
    """The definition with its devices on virtio, *disks* by their new names, and what to say.

    The guest on the disks is looked at first, unless *unchecked*: the new disk where *disks* says
    which and it is there, else the source's. Raises RefusedError with the reason when it would not
    boot, and when it cannot be looked at.
    """
    plan = definition.virtio()
    if plan.labels and not unchecked:
        _require_bootable(definition, disks)
    text = splice(definition.source.text, plan.edits)
    source = Source(definition.source.path, definition.source.encoded(text))
    renamed = {plan.labels.get(old, old): new for old, new in disks.items()}
    return definition_in(source, definition.format.id), renamed, plan.notes


def _require_bootable(definition: Definition, disks: Mapping[str, str]) -> None:
    folder = definition.source.path.parent  # what relative paths in it start from
    found = (_image(disk, disks, folder) for disk in definition.disks)
    images = [image for image in found if image]
    if not images:
        raise RefusedError(
            f"{definition.source.shown}: none of its disks is here, so it is not known whether the "
            "guest would boot from virtio",
            hint="Run it where the disks are, or say --unchecked.",
        )
    (first, kind), *others = images
    formats = [str(each) for each in Format]
    request = Request(
        first,
        add_disks=tuple(path for path, _ in others),
        format=kind if kind in formats and not others else "",
    )
    notes = read_image(request, lambda guest: clone_readiness.notes(guest, Facts(guest)))
    obstacles = obstacles_in(notes)
    if obstacles:
        raise RefusedError(
            f"{shown(first)} would not boot from virtio: {obstacles[0]}"
            + (f" (and {len(obstacles) - 1} more)" if obstacles[1:] else ""),
            hint=_HINT,
        )


def obstacles_in(notes: Sequence[Note]) -> list[str]:
    """What of the notes about a guest keeps it from finding its disks on another bus."""
    return [note.text for note in notes if note.level is Level.WARNING]


def _image(disk: Disk, disks: Mapping[str, str], folder: Path) -> tuple[Path, str] | None:
    if disk.removable:
        return None
    new = disks.get(disk.path) or disks.get(disk.label)
    for path in (new, disk.path):
        if path and (folder / path).is_file():
            return folder / path, disk.format
    return None
