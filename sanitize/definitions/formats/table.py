"""The table of formats, and how a file's format is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError, UsageError
from unclone.sanitize.definitions.formats import (
    cloud_hypervisor,
    firecracker,
    hyperv,
    incus,
    kubevirt,
    libvirt,
    ova,
    ovf,
    proxmox,
    qemu,
    qemu_config,
    vbox,
    vmx,
    xen,
)
from unclone.sanitize.definitions.machine_ids import with_machine_ids
from unclone.sanitize.definitions.text.source import Source

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.sanitize.definitions.definition import Definition, Format

#: Every format, in the order in which they are asked whether they recognise a file.
FORMATS: tuple[Format, ...] = (
    libvirt.FORMAT,
    qemu.FORMAT,
    qemu_config.FORMAT,
    xen.FORMAT,
    kubevirt.FORMAT,
    incus.FORMAT,
    cloud_hypervisor.FORMAT,
    firecracker.FORMAT,
    vmx.FORMAT,
    vbox.FORMAT,
    proxmox.FORMAT,
    ovf.FORMAT,
    ova.FORMAT,
    hyperv.FORMAT,
)


def format_of(source: Source) -> Format | None:
    """The format *source* looks like; None for a file that is no definition."""
    return next((each for each in FORMATS if each.detects(source.head)), None)


def read_definition(path: Path, format_id: str = "") -> Definition:
    """The definition in the file at *path*, told by its content unless *format_id* names it.

    Raises UsageError for a file that is not there, RefusedError for one that is no definition.
    """
    return definition_in(Source(path), format_id)


def definition_in(source: Source, format_id: str = "") -> Definition:
    """As :func:`read_definition`, for a file that is open or was read already."""
    if format_id:
        known = {each.id: each for each in FORMATS}
        if format_id not in known:
            raise UsageError(f"there is no format '{format_id}'", hint=f"One of {', '.join(known)}")
        return with_machine_ids(known[format_id].read(source))
    found = format_of(source)
    if found is None:
        titles = ", ".join(each.title for each in FORMATS)
        raise RefusedError(
            f"{source.shown} is not the definition of a VM in a format that is known",
            hint=f"Known are: {titles}.",
        )
    return with_machine_ids(found.read(source))
