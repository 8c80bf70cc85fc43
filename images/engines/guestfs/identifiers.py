"""Identifiers that live on devices: read as blkid sees them, written by the tool that owns each.

What a tool said is not taken as proof; :meth:`images.guest.Guest.identifiers` reads back what is
on the disk. Changing LUKS, LVM and MD identifiers is refused: no tool sets those to a given value
without more knowledge of the guest than this module has.

References: tune2fs(8) ``-U`` (wants a fresh ``e2fsck -f``), xfs_admin(8), btrfstune(8),
swaplabel(8), sfdisk(8) ``--part-uuid`` ``--disk-id``; Microsoft "FAT: General Overview of On-Disk
Format" 1.03, pages 9 to 13 and 22 (BS_VolID, BPB_BkBootSec); UEFI 2.10, 5.2.1 "Legacy Master Boot
Record" (UniqueMBRDiskSignature at 440).
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from images.errors import EngineError
from images.text import printable
from images.volumes import Identifier, IdentifierKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from images.engines.guestfs.appliance import Appliance
    from images.engines.guestfs.devices import Device

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SERIAL = re.compile(r"[0-9a-fA-F]{4}-[0-9a-fA-F]{4}")
_DISK_ID = re.compile(r"(0x)?[0-9a-fA-F]{8}")

_BY_TYPE = {
    "crypto_LUKS": IdentifierKind.LUKS_UUID,
    "LVM2_member": IdentifierKind.LVM_PV_UUID,
    "linux_raid_member": IdentifierKind.MD_UUID,
    "swap": IdentifierKind.SWAP_UUID,
    "vfat": IdentifierKind.VFAT_SERIAL,
}

#: How a file system's UUID is set, by its type.
_SET_UUID = {
    "ext2": "e2fsck -fp {node}; [ $? -le 1 ] && tune2fs -U {value} {node}",
    "ext3": "e2fsck -fp {node}; [ $? -le 1 ] && tune2fs -U {value} {node}",
    "ext4": "e2fsck -fp {node}; [ $? -le 1 ] && tune2fs -U {value} {node}",
    "xfs": "xfs_admin -U {value} {node}",
    "btrfs": "btrfstune -f -U {value} {node}",
}


def read_identifiers(appliance: Appliance, devices: Sequence[Device]) -> Sequence[Identifier]:
    """Every identifier on *devices*."""
    found = [identifier for device in devices for identifier in _of(device)]
    if any(device.type == "LVM2_member" for device in devices):
        found.extend(_volume_groups(appliance, devices))
    return found


def set_identifier(appliance: Appliance, device: Device, identifier: Identifier) -> None:
    """Set one identifier of *device*, which is not mounted.

    Raises EngineError, naming the kind, for what cannot be set, and with the tool's words when it
    fails.
    """
    setter = _SETTERS.get(identifier.kind)
    if setter is None:
        raise EngineError(f"the guestfs engine cannot set a {identifier.kind} ({device.name})")
    setter(appliance, device, identifier.value)


def _of(device: Device) -> Iterator[Identifier]:
    uuid = device.tags.get("UUID", "")
    if uuid:
        kind = _BY_TYPE.get(device.type, IdentifierKind.FILE_SYSTEM_UUID)
        yield Identifier(kind, device.name, _array(uuid) if kind == "md-uuid" else uuid)
    if device.tags.get("PART_ENTRY_SCHEME") == "gpt" and device.number:
        guid = device.tags.get("PART_ENTRY_UUID", "")
        yield Identifier(IdentifierKind.PARTITION_GUID, device.name, guid)
    table = device.tags.get("PTUUID", "")
    if table and not device.number and device.table in {"gpt", "dos"}:
        gpt = device.table == "gpt"
        kind = IdentifierKind.DISK_GUID if gpt else IdentifierKind.MBR_DISK_ID
        yield Identifier(kind, device.name, table)


def _array(uuid: str) -> str:
    """Blkid's spelling of an MD UUID in mdadm's: four groups of eight digits."""
    digits = uuid.replace("-", "")
    return ":".join(digits[n : n + 8] for n in range(0, 32, 8))


def _volume_groups(appliance: Appliance, devices: Sequence[Device]) -> Iterator[Identifier]:
    mine = {device.node for device in devices}
    mine |= {device.name for device in devices if device.name.startswith("/dev/mapper/")}
    listed = appliance.shell(
        "lvm pvs --noheadings --separator ' ' -o pv_name,vg_name,vg_uuid 2>/dev/null; true"
    )
    groups: dict[str, str] = {}
    for line in listed.decode().splitlines():
        words = line.split()
        if len(words) == 3 and words[0] in mine:  # a physical volume of no group has fewer
            groups[words[1]] = words[2]
    for name, uuid in sorted(groups.items()):
        yield Identifier(IdentifierKind.LVM_VG_UUID, f"/dev/{name}", uuid)


# -- setting -------------------------------------------------------------------------------
def _set_file_system_uuid(appliance: Appliance, device: Device, value: str) -> None:
    _require(_UUID, value, device)
    command = _SET_UUID.get(device.type)
    if command is None:
        raise EngineError(
            f"{device.name}: no tool sets the UUID of a file system of type "
            f"'{printable(device.type)}'"
        )
    _tool(appliance, command.format(node=device.node, value=value))


def _set_swap_uuid(appliance: Appliance, device: Device, value: str) -> None:
    _require(_UUID, value, device)
    _tool(appliance, f"swaplabel -U {value} {device.node}")


def _set_partition_guid(appliance: Appliance, device: Device, value: str) -> None:
    _require(_UUID, value, device)
    drive = device.node[: -len(str(device.number))]
    _tool(appliance, f"sfdisk --no-reread --part-uuid {drive} {device.number} {value}")


def _set_disk_guid(appliance: Appliance, device: Device, value: str) -> None:
    _require(_UUID, value, device)
    _tool(appliance, f"sfdisk --no-reread --disk-id {device.node} {value}")


def _set_mbr_disk_id(appliance: Appliance, device: Device, value: str) -> None:
    _require(_DISK_ID, value, device)
    if device.table != "dos":
        raise EngineError(f"{device.name}: there is no MBR partition table to hold a disk id")
    _write(appliance, device, struct.pack("<I", int(value, 16)), 0x1B8)


def _set_vfat_serial(appliance: Appliance, device: Device, value: str) -> None:
    """Write the serial to the boot sector, and to its copy on FAT32."""
    _require(_SERIAL, value, device)
    boot = _read(appliance, device, 512, 0)
    (sector_size,) = struct.unpack_from("<H", boot, 11)
    (fat_size,) = struct.unpack_from("<H", boot, 22)  # BPB_FATSz16, 0 on FAT32
    (copy,) = struct.unpack_from("<H", boot, 50)  # BPB_BkBootSec, meaningful on FAT32
    if boot[510:] != b"\x55\xaa" or sector_size not in {512, 1024, 2048, 4096}:
        raise EngineError(f"{device.name}: this is not the boot sector of a FAT file system")
    offset = 39 if fat_size else 67
    serial = struct.pack("<I", int(value.replace("-", ""), 16))
    _write(appliance, device, serial, offset)
    if fat_size == 0 and 0 < copy < 0xFFFF:
        (signature,) = struct.unpack("<H", _read(appliance, device, 2, copy * sector_size + 510))
        if signature == 0xAA55:
            _write(appliance, device, serial, copy * sector_size + offset)


_SETTERS: dict[str, Callable[[Appliance, Device, str], None]] = {
    IdentifierKind.FILE_SYSTEM_UUID: _set_file_system_uuid,
    IdentifierKind.SWAP_UUID: _set_swap_uuid,
    IdentifierKind.VFAT_SERIAL: _set_vfat_serial,
    IdentifierKind.PARTITION_GUID: _set_partition_guid,
    IdentifierKind.DISK_GUID: _set_disk_guid,
    IdentifierKind.MBR_DISK_ID: _set_mbr_disk_id,
}


def _require(pattern: re.Pattern[str], value: str, device: Device) -> None:
    if not pattern.fullmatch(value):
        raise EngineError(f"{device.name}: '{printable(value)}' is not an identifier of this kind")


def _tool(appliance: Appliance, command: str) -> None:
    # Some tools (tune2fs) say on stdout why they refuse; this way it is in the error's words.
    appliance.shell(f"exec 2>&1; {command} </dev/null")


def _read(appliance: Appliance, device: Device, count: int, offset: int) -> bytes:
    return bytes(appliance.call(lambda: appliance.binding.pread_device(device.name, count, offset)))


def _write(appliance: Appliance, device: Device, content: bytes, offset: int) -> None:
    pwrite = appliance.binding.pwrite_device
    written = appliance.call(lambda: pwrite(device.name, content, offset))
    if written != len(content):
        raise EngineError(f"{device.name}: only {written} of {len(content)} bytes were written")
