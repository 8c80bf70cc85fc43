"""Identifiers that live on devices: read from the disk, written in place.

The UUID of an ext file system is the seed of its checksums, so ``tune2fs`` writes that; the others
are a few bytes at a known place.

References: tune2fs(8) ``-U`` (wants a fresh ``e2fsck -f``); Linux ``include/linux/swap.h``; the
partition tables and FAT as in :mod:`.tables` and :mod:`.fat.boot`.
"""

from __future__ import annotations

import re
import struct
import uuid
from typing import TYPE_CHECKING

from images import process
from images.engines.direct.block_file import BlockFile
from images.engines.direct.fat.boot import parse as parse_boot
from images.engines.direct.probing import SWAP_UUID
from images.engines.direct.tables import set_gpt_guid, set_mbr_id
from images.errors import EngineError
from images.text import printable
from images.volumes import Identifier, IdentifierKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from images.engines.direct.devices import Device

_SERIAL = re.compile(r"[0-9a-fA-F]{4}-[0-9a-fA-F]{4}")
_DISK_ID = re.compile(r"(0x)?[0-9a-fA-F]{8}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_BY_TYPE = {"swap": IdentifierKind.SWAP_UUID, "vfat": IdentifierKind.VFAT_SERIAL}

#: Seconds; every checksum of a large file system is written anew.
_LIMIT = 3600.0


def read_identifiers(devices: Sequence[Device]) -> Sequence[Identifier]:
    """Every identifier on *devices*, in order."""
    return [identifier for device in devices for identifier in _of(device)]


def set_identifier(device: Device, identifier: Identifier) -> None:
    """Set one identifier of *device*, which is not mounted. Raises EngineError when it cannot."""
    setter = _SETTERS.get(identifier.kind)
    if setter is None:
        raise EngineError(f"the direct engine cannot set a {identifier.kind} ({device.name})")
    setter(device, identifier.value)


def _of(device: Device) -> Iterator[Identifier]:
    if device.content.uuid:
        kind = _BY_TYPE.get(device.content.type, IdentifierKind.FILE_SYSTEM_UUID)
        yield Identifier(kind, device.name, device.content.uuid)
    if device.partition and device.of and device.of.kind == "gpt":
        yield Identifier(IdentifierKind.PARTITION_GUID, device.name, device.partition.uuid)
    if device.table and device.table.id:
        gpt = device.table.kind == "gpt"
        kind = IdentifierKind.DISK_GUID if gpt else IdentifierKind.MBR_DISK_ID
        yield Identifier(kind, device.name, device.table.id)


# -- setting -------------------------------------------------------------------------------
def _set_file_system_uuid(device: Device, value: str) -> None:
    _require(_UUID, value, device)
    if device.content.ext is None:
        raise EngineError(
            f"{device.name}: the direct engine sets no UUID of a file system of type "
            f"'{printable(device.content.type)}'"
        )
    process.run(["e2fsck", "-fp", device.for_tools], timeout=_LIMIT, ok=(0, 1))
    process.run(["tune2fs", "-U", value, device.for_tools], timeout=_LIMIT)


def _set_swap_uuid(device: Device, value: str) -> None:
    _require(_UUID, value, device)
    if device.content.type != "swap":
        raise EngineError(f"{device.name}: there is no swap area")
    _write(device, SWAP_UUID, uuid.UUID(value).bytes)


def _set_vfat_serial(device: Device, value: str) -> None:
    _require(_SERIAL, value, device)
    volume = device.open()
    try:
        boot = parse_boot(volume.read(0, 512), volume.size)
        if boot is None:
            raise EngineError(f"{device.name}: this is not a FAT file system")
        serial = struct.pack("<I", int(value.replace("-", ""), 16))
        first, *copies = boot.serial_offsets
        volume.write(first, serial)
        for offset in copies:
            sector = offset // boot.sector * boot.sector
            if volume.read(sector + 510, 2) == b"\x55\xaa":
                volume.write(offset, serial)
    finally:
        volume.close()


def _set_partition_guid(device: Device, value: str) -> None:
    _require(_UUID, value, device)
    if device.partition is None or device.of is None or device.of.kind != "gpt":
        raise EngineError(f"{device.name}: this is not a partition of a GPT")
    disk = BlockFile(device.file)
    try:
        set_gpt_guid(disk, uuid.UUID(value), partition=device.partition.number)
    finally:
        disk.close()


def _set_disk_guid(device: Device, value: str) -> None:
    _require(_UUID, value, device)
    if device.table is None or device.table.kind != "gpt":
        raise EngineError(f"{device.name}: there is no GPT to hold a disk GUID")
    disk = device.open()
    try:
        set_gpt_guid(disk, uuid.UUID(value))
    finally:
        disk.close()


def _set_mbr_disk_id(device: Device, value: str) -> None:
    _require(_DISK_ID, value, device)
    if device.table is None or device.table.kind != "dos":
        raise EngineError(f"{device.name}: there is no MBR partition table to hold a disk id")
    disk = device.open()
    try:
        set_mbr_id(disk, int(value, 16))
    finally:
        disk.close()


_SETTERS: dict[str, Callable[[Device, str], None]] = {
    IdentifierKind.FILE_SYSTEM_UUID: _set_file_system_uuid,
    IdentifierKind.SWAP_UUID: _set_swap_uuid,
    IdentifierKind.VFAT_SERIAL: _set_vfat_serial,
    IdentifierKind.PARTITION_GUID: _set_partition_guid,
    IdentifierKind.DISK_GUID: _set_disk_guid,
    IdentifierKind.MBR_DISK_ID: _set_mbr_disk_id,
}


def _write(device: Device, offset: int, content: bytes) -> None:
    volume = device.open()
    try:
        volume.write(offset, content)
    finally:
        volume.close()


def _require(pattern: re.Pattern[str], value: str, device: Device) -> None:
    if not pattern.fullmatch(value):
        raise EngineError(f"{device.name}: '{printable(value)}' is not an identifier of this kind")
