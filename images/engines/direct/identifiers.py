"""Identifiers on devices: read from the disk, written in place.

Where each kind is stored, and when it must not be changed, is in ``images/file_systems/`` and
``images/identifiers/``.

References: for partition tables, those of :mod:`.partition_tables`; tune2fs(8), xfs_admin(8),
btrfstune(8).
"""

from __future__ import annotations

import uuid
from contextlib import closing
from typing import TYPE_CHECKING

from unclone.images import process
from unclone.images.engines.direct.block_file import BlockFile
from unclone.images.engines.direct.partition_tables import set_gpt_guid, set_mbr_id
from unclone.images.errors import EngineError
from unclone.images.file_systems import btrfs, ext, ext_checksum_seed, ext_checksums
from unclone.images.file_systems.table import type_of
from unclone.images.identifiers import btrfs_device
from unclone.images.identifiers import devices as identified
from unclone.images.identifiers.forms import require_form
from unclone.images.text import printable
from unclone.images.volumes import Identifier, IdentifierKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from unclone.images.engines.direct.checks import AsFile
    from unclone.images.engines.direct.devices import Device
    from unclone.images.engines.direct.in_place.formats import InPlace

#: Seconds; all checksums of a large file system are computed.
_LIMIT = 3600.0


def read_identifiers(devices: Sequence[Device]) -> Sequence[Identifier]:
    """Every identifier on *devices*, in order."""
    found = [identifier for device in devices for identifier in _of(device)]
    return [*found, *identified.volume_groups(devices)]


def unsettable(identifier: Identifier, devices: Sequence[Device]) -> str:
    """As :meth:`unclone.images.volumes.Volumes.unsettable`."""
    if identifier.kind in identified.TABLE_KINDS:
        device = identified.find(identifier.device, devices)
        return "" if identifier.kind in {i.kind for i in _of(device)} else identified.NO_TABLE
    if why := identified.unsettable(identifier, devices):
        return why
    for device in devices:
        with_tools = device.name == identifier.device and type_of(device.type).commands
        if with_tools and len(identified.sharing(device, devices)) > 1:
            return f"the direct engine cannot change a {device.type} on several devices"
    return ""


def set_identifier(
    identifier: Identifier,
    devices: Sequence[Device],
    as_file: AsFile,
    formats: Mapping[str, InPlace],
) -> None:
    """Set one identifier of one of *devices*, none of which is mounted.

    *as_file* gives the content of a device as a file, for tools, *formats* are those
    that need none. Raises EngineError when it cannot be set.
    """
    require_form(identifier)
    if identified.has(identifier, devices):
        return
    if why := unsettable(identifier, devices):
        raise EngineError(f"{printable(identifier.device)}: {identifier.kind} not set: {why}")
    if identifier.kind in identified.TABLE_KINDS:
        _set_in_table(identified.find(identifier.device, devices), identifier)
    elif identified.is_bytes(identifier, devices):
        identified.write(identifier, devices)
    else:
        device = identified.find(identifier.device, devices)
        if device.type in formats:
            formats[device.type].set_uuid(device.open(), identifier.value)
        else:
            _set_with_tools(device, identifier.value, as_file)


def keep_checksum_seeds(devices: Sequence[Device]) -> None:
    """Keep the checksum seed of each ext4 in its superblock, where all features are supported."""
    for device in devices:
        if device.content.ext is not None:
            _keep_checksum_seed(device)


def _keep_checksum_seed(device: Device) -> None:
    blocks = device.open()
    try:
        found = ext.superblock(blocks)
        if found and not ext_checksum_seed.is_kept(found) and ext_checksums.can_set_uuid(blocks):
            ext_checksum_seed.keep(blocks, found)
    finally:
        blocks.close()


def _of(device: Device) -> Iterator[Identifier]:
    if device.content.uuid:
        yield Identifier(type_of(device.type).identifier, device.name, device.content.uuid)
    if device.type in btrfs.TYPE.names:
        with closing(device.open()) as blocks:
            uuid_ = btrfs_device.read(blocks)
        if uuid_:
            yield Identifier(IdentifierKind.BTRFS_DEVICE_UUID, device.name, uuid_)
    if device.partition and device.parent_table and device.parent_table.kind == "gpt":
        yield Identifier(IdentifierKind.PARTITION_GUID, device.name, device.partition.uuid)
    if device.table and device.table.id:
        gpt = device.table.kind == "gpt"
        kind = IdentifierKind.DISK_GUID if gpt else IdentifierKind.MBR_DISK_ID
        yield Identifier(kind, device.name, device.table.id)


# -- setting -------------------------------------------------------------------------------
def _set_in_table(device: Device, identifier: Identifier) -> None:
    disk = BlockFile(device.disk)
    try:
        if identifier.kind is IdentifierKind.MBR_DISK_ID:
            set_mbr_id(disk, int(identifier.value, 16))
        else:
            number = device.partition.number if device.partition else 0
            set_gpt_guid(disk, uuid.UUID(identifier.value), partition=number)
    finally:
        disk.close()


def _set_with_tools(device: Device, value: str, as_file: AsFile) -> None:
    if device.type in ext.TYPE.names and _set_ext_uuid(device, value):
        output = "the checksums were changed"
    else:
        kind = type_of(device.type)
        find_areas = kind.identifier_areas or kind.metadata
        with closing(device.open()) as blocks:
            found_areas = find_areas(blocks) if find_areas else None
            areas = None if found_areas is None else list(found_areas)
        with as_file(device, areas) as file:
            output = _run(device, str(file), value)
    found = identified.read(device)
    if found != value.lower():  # xfs_admin exits with 0 without having done anything
        raise EngineError(f"{device.name}: the UUID is still {found}: {output}")


def _set_ext_uuid(device: Device, value: str) -> bool:
    blocks = device.open()
    try:
        return ext_checksums.set_uuid(blocks, value)
    finally:
        blocks.close()


def _run(device: Device, target: str, value: str) -> str:
    output = []
    for command in identified.commands(device, target, value):
        done = process.run(command.argv, timeout=_LIMIT, ok=command.ok)
        output.append((done.stdout + done.stderr).decode("utf-8", "replace"))
    return printable(" ".join(" ".join(output).split()))
