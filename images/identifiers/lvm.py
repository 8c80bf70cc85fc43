"""LVM2: UUIDs of physical volumes and volume groups, in headers and in the metadata text.

A physical volume has its UUID in its label. The metadata text of the group names every member by
its UUID and is in the metadata areas of all members. LVM's tools set only random UUIDs, and need
the group to be inactive. Here a UUID is replaced by one of the same length, so that nothing moves;
active volumes are not disturbed, because the kernel does not use these UUIDs.

References: LVM2 2.03 ``lib/label/label.h`` (``struct label_header``), ``lib/format_text/layout.h``
(``pv_header``, ``mda_header``, ``raw_locn``), ``lib/format_text/format-text.c`` (the area is a
ring buffer after its header), ``lib/misc/crc.c``.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from unclone.images.blocks import number, read_exactly
from unclone.images.errors import EngineError
from unclone.images.identifiers.lvm_text import Group, parse_group
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unclone.images.blocks import Blocks

_SECTOR = 512
_LABEL_SECTORS = 4
_AREA_MAGIC = b"\x20LVM2\x20x[5A%r0N*>"
_HEADER = 512  # bytes of a metadata area before its ring buffer
_LOCATION = struct.Struct("<QQII")
_FIRST_LOCATION = 40
#: The start value of LVM's CRC-32, which is not inverted.
_CRC_START = 0xF597A6CF
#: Bytes; an area is 1 MiB by default, and its text a few KiB for each logical volume.
_AREA_LIMIT, _TEXT_LIMIT = 64 << 20, 16 << 20
#: Areas in one list of the label; further ones are ignored.
_MANY_AREAS = 16


@dataclass(frozen=True, slots=True)
class Area:
    """A metadata area: ``text`` is the current one, ``offset`` bytes from the area's start."""

    start: int
    size: int
    header: bytes
    offset: int
    text: bytes


@dataclass(frozen=True, slots=True)
class PhysicalVolume:
    """One physical volume; ``group`` is None without metadata, which other members may have."""

    uuid: str
    label: int  # bytes from the start of the device
    areas: tuple[Area, ...]
    group: Group | None
    damage: str


@dataclass(frozen=True, slots=True)
class VolumeGroup:
    """A group, its UUID, and the devices of those members that are present."""

    name: str
    uuid: str
    members: tuple[str, ...]
    #: Why its identifiers have to stay; "" when they can be set.
    unsettable: str
    #: The names of its snapshots, and of their origins.
    snapshots: Mapping[str, str]
    #: The newest text of its members.
    text: Group


def read(blocks: Blocks) -> PhysicalVolume | None:
    """The physical volume on *blocks*; None when there is none."""
    head = blocks.read(0, _LABEL_SECTORS * _SECTOR)
    for label in range(0, len(head), _SECTOR):
        sector = head[label : label + _SECTOR]
        if _is_label(sector, label // _SECTOR):
            return _physical_volume(blocks, sector, label)
    return None


def groups(volumes: Mapping[str, PhysicalVolume]) -> Sequence[VolumeGroup]:
    """The groups on the devices *volumes*, by name."""
    newest: dict[tuple[str, str], Group] = {}
    for volume in volumes.values():
        if volume.group:
            key = volume.group.name, volume.group.uuid
            known = newest.get(key)
            if known is None or known.number < volume.group.number:
                newest[key] = volume.group
    return [_group(found, volumes) for _, found in sorted(newest.items())]


def unsettable(volumes: Mapping[str, PhysicalVolume], device: str) -> str:
    """Why the UUID of the physical volume *device* has to stay; "" when it can be set."""
    if device not in volumes:
        return "there is no physical volume of LVM2 on it"
    for group in groups(volumes):
        if device in group.members and group.unsettable:
            return group.unsettable
    return volumes[device].damage


def set_physical_volume(devices: Mapping[str, Blocks], device: str, value: str) -> None:
    """Set the UUID of the physical volume *device*, one of *devices*. Raises EngineError."""
    volumes = _volumes(devices)
    if why := unsettable(volumes, device):
        raise EngineError(why)
    members = {device}
    for group in groups(volumes):
        members |= set(group.members) if device in group.members else set()
    old = volumes[device].uuid
    for member in sorted(members):
        _replace(devices[member], volumes[member], old, value)
    _write_label(devices[device], volumes[device], value)


def set_volume_group(devices: Mapping[str, Blocks], name: str, value: str) -> None:
    """Set the UUID of the volume group *name* on its members. Raises EngineError."""
    volumes = _volumes(devices)
    found = [group for group in groups(volumes) if group.name == name]
    if len(found) != 1:
        raise EngineError(f"there are {len(found)} volume groups named '{printable(name)}'")
    if found[0].unsettable:
        raise EngineError(found[0].unsettable)
    for member in found[0].members:
        _replace(devices[member], volumes[member], found[0].uuid, value)


def _volumes(devices: Mapping[str, Blocks]) -> dict[str, PhysicalVolume]:
    found = {name: read(blocks) for name, blocks in devices.items()}
    return {name: volume for name, volume in found.items() if volume}


# -- reading -------------------------------------------------------------------------------
def _is_label(sector: bytes, place: int) -> bool:
    return (
        len(sector) == _SECTOR
        and sector.startswith(b"LABELONE")
        and sector[24:32] == b"LVM2 001"
        and number(sector, 8, "<Q") == place
        and number(sector, 16, "<I") == _crc(sector[20:])
    )


def _physical_volume(blocks: Blocks, sector: bytes, label: int) -> PhysicalVolume:
    at = number(sector, 20, "<I")
    uuid = _spelled(sector[at : at + 32].decode("ascii", "replace"))
    places = _areas(sector, at + 40)
    read_areas = [_area(blocks, start, size) for start, size in places]
    areas = tuple(area for area in read_areas if area)
    damaged = not uuid or len(areas) < len(places)
    texts = [parse_group(area.text) for area in areas if area.text]
    found = [group for group in texts if group]
    damaged |= len(found) < len(texts)
    return PhysicalVolume(
        uuid=uuid,
        label=label,
        areas=areas,
        group=max(found, key=lambda group: group.number, default=None),
        damage="its LVM metadata is damaged" if damaged else "",
    )


def _areas(sector: bytes, at: int) -> Sequence[tuple[int, int]]:
    """Offset and size of the metadata areas: the second list; lists end with an offset of 0."""
    lists: list[list[tuple[int, int]]] = [[]]
    while at + 16 <= _SECTOR and len(lists) <= 2 and len(lists[-1]) < _MANY_AREAS:
        start, size = struct.unpack_from("<QQ", sector, at)
        at += 16
        if start:
            lists[-1].append((start, size))
        else:
            lists.append([])
    return lists[1] if len(lists) > 1 else []


def _area(blocks: Blocks, start: int, size: int) -> Area | None:
    """The area at byte *start*; None when it is damaged."""
    header = read_exactly(blocks, start, _HEADER)
    if not header or not _HEADER < size <= _AREA_LIMIT or start + size > blocks.size:
        return None
    if header[4:20] != _AREA_MAGIC or number(header, 0, "<I") != _crc(header[4:]):
        return None
    if (number(header, 24, "<Q"), number(header, 32, "<Q")) != (start, size):
        return None
    offset, length, checksum, _ = _LOCATION.unpack_from(header, _FIRST_LOCATION)
    if not offset or not length:
        return Area(start, size, header, _HEADER, b"")
    if not _HEADER <= offset < size or length > min(size - _HEADER, _TEXT_LIMIT):
        return None
    before_end = min(length, size - offset)
    text = blocks.read(start + offset, before_end)
    text += blocks.read(start + _HEADER, length - before_end)
    if _crc(text) != checksum:
        return None
    return Area(start, size, header, offset, text)


def _group(group: Group, volumes: Mapping[str, PhysicalVolume]) -> VolumeGroup:
    members = tuple(name for name, volume in volumes.items() if volume.uuid in group.members)
    why = _why_not(group, members, volumes)
    return VolumeGroup(group.name, group.uuid, members, why, group.snapshots, group)


def _why_not(group: Group, members: Sequence[str], volumes: Mapping[str, PhysicalVolume]) -> str:
    named = f"its volume group {printable(group.name)}"
    there = {volumes[name].uuid for name in members}
    if group.is_shared:
        return f"{named} is shared by a cluster"
    if group.is_exported:
        return f"{named} is exported"
    if group.system_id:
        return f"{named} belongs to the host with the LVM system ID {printable(group.system_id)}"
    if len(members) > len(there):
        return f"{named} has two devices with the same UUID"
    if len(there) < len(group.members):
        return f"of {named}, only {len(there)} of {len(group.members)} devices are there"
    return next((volumes[name].damage for name in members if volumes[name].damage), "")


# -- writing -------------------------------------------------------------------------------
def _replace(blocks: Blocks, volume: PhysicalVolume, old: str, new: str) -> None:
    """Replace *old* in every area: in the current text, and in the rest of earlier ones."""
    for area in volume.areas:
        length = area.size - _HEADER
        ring = blocks.read(area.start + _HEADER, length)
        turn = area.offset - _HEADER
        turned = ring[turn:] + ring[:turn]  # so that the current text does not wrap around
        changed = turned.replace(old.encode("ascii"), new.encode("ascii"))
        back = length - turn
        after = changed[back:] + changed[:back]
        for start, end in _differences(ring, after):
            blocks.write(area.start + _HEADER + start, after[start:end])
        if area.text:
            header = bytearray(area.header)
            checksum = _crc(changed[: len(area.text)])
            struct.pack_into("<I", header, _FIRST_LOCATION + 16, checksum)
            struct.pack_into("<I", header, 0, _crc(header[4:]))
            blocks.write(area.start, bytes(header))


def _write_label(blocks: Blocks, volume: PhysicalVolume, value: str) -> None:
    sector = bytearray(blocks.read(volume.label, _SECTOR))
    at = number(sector, 20, "<I")
    sector[at : at + 32] = value.replace("-", "").encode("ascii")
    struct.pack_into("<I", sector, 16, _crc(sector[20:]))
    blocks.write(volume.label, bytes(sector))


def _differences(before: bytes, after: bytes, step: int = 4096) -> Sequence[tuple[int, int]]:
    """Start and end of the areas that differ, in units of *step* bytes."""
    spans: list[tuple[int, int]] = []
    for start in range(0, len(before), step):
        if before[start : start + step] != after[start : start + step]:
            end = min(start + step, len(before))
            if spans and spans[-1][1] == start:
                spans[-1] = spans[-1][0], end
            else:
                spans.append((start, end))
    return spans


def _crc(raw: bytes | bytearray) -> int:
    return zlib.crc32(raw, _CRC_START ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def _spelled(raw: str) -> str:
    """32 characters grouped as 6-4-4-4-4-4-6; "" for characters that LVM does not use."""
    if not re.fullmatch(r"[0-9A-Za-z!#]{32}", raw):
        return ""
    ends = (0, 6, 10, 14, 18, 22, 26, 32)
    return "-".join(raw[a:b] for a, b in pairwise(ends))
