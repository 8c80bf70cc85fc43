"""The table of formats, and how a file's format is found."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError, UsageError
from unclone.sanitize.definitions.formats import (
    bhyve,
    cloud_hypervisor,
    firecracker,
    hyperv,
    incus,
    kubevirt,
    libvirt,
    lxc,
    ova,
    ovf,
    proxmox,
    qemu,
    qemu_config,
    vbox,
    vm_bhyve,
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
    bhyve.FORMAT,
    xen.FORMAT,
    kubevirt.FORMAT,
    incus.FORMAT,
    lxc.FORMAT,
    cloud_hypervisor.FORMAT,
    firecracker.FORMAT,
    vmx.FORMAT,
    vbox.FORMAT,
    proxmox.FORMAT,
    ovf.FORMAT,
    ova.FORMAT,
    vm_bhyve.FORMAT,
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
        raise RefusedError(
            f"{source.shown} is not the definition of a VM in a format that is known",
            hint=_hint(source),
        )
    return with_machine_ids(found.read(source))


def _hint(source: Source) -> str:
    """The format that a file is likely meant to be in, and how to say so; else all of them."""
    nearest = next((id_ for pattern, id_ in _NEAREST if re.search(pattern, source.head)), "")
    ending = source.path.suffix.lower()
    if found := _COMPANION.search(source.head):
        return _COMPANIONS[found[1]]
    nearest = nearest or _ENDINGS.get(ending, "")
    if nearest:
        title = next(each.title for each in FORMATS if each.id == nearest)
        return f"If it is a {title}, give --format {nearest}: the message then says what is wrong."
    return f"Known are: {', '.join(each.title for each in FORMATS)}."


#: XML of libvirt that describes no machine, and what becomes of it.
_COMPANION = re.compile(
    rb"\A(?:\s|<\?.*?\?>|<!--.*?-->)*<(network|volume|pool|secret|filter|domainbackup|nodedevice)[\s>]",
    re.DOTALL,
)
_COMPANIONS = {
    b"network": "It is a network of libvirt: give it with the machine's definition, "
    "--network FILE.",
    b"domainbackup": "It is a backup of libvirt: give it with the machine's definition, "
    "--snapshot FILE.",
    b"volume": "It is a volume of libvirt's storage: say where the machine's disk is with --disk.",
    b"pool": "It is a storage pool of libvirt: machines share it.",
    b"secret": "It is a secret of libvirt: disks name it by its UUID, and a copied disk keeps it.",
    b"filter": "It is a network filter of libvirt: machines share it.",
    b"nodedevice": "It is a device of the host, and no machine.",
}

#: What files have that are almost in a format, before it is told by the endings of their names.
_NEAREST = (
    (rb"(?m)^[ \t]*(?:rootfs|lxc\.[\w.]+)[ \t]*[:=]", ""),
    (rb"<domain(?:snapshot|checkpoint)?[\s>]", "libvirt"),
    (rb"<(?:\w+:)?Envelope[\s>]", "ovf"),
    (rb"kubevirt\.io/", "kubevirt"),
    (rb"(?m)^(?:net\d+|scsi\d+|virtio\d+|smbios1|vmgenid|ostype|scsihw):", "proxmox"),
    (rb"(?mi)^(?:virtualHW\.|ethernet\d+\.|displayName)", "vmx"),
    (rb"volatile\.", "incus"),
    (rb"\bqemu-(?:system-\w+|kvm)\b", "qemu"),
    (rb"(?m)^(?:vif|disk|builder|vcpus)[ \t]*=", "xen"),
)
_ENDINGS = {".vmx": "vmx", ".vbox": "vbox", ".ovf": "ovf", ".ova": "ova"}
