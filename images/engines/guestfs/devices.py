"""The devices in the appliance: disks, partitions, opened containers, and their blkid tags.

One shell command reads all of it. libguestfs would need a dozen calls, each of which waits for udev
first: under software emulation they take longer than everything else.

Devices are named as in the API of libguestfs: ``/dev/sda`` is the first drive that was attached.
:attr:`Device.node` is the name in the appliance's kernel, which may find disks in any order.

References: blkid(8) "Low-level probing", "OUTPUT FORMAT"; Linux ``Documentation/ABI/testing/
sysfs-block-dm``; LVM2 ``lib/misc/lvm-string.c`` (how VG and LV names form a device-mapper name).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from unclone.images.device_names import disk_name
from unclone.images.volumes import FileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from unclone.images.engines.guestfs.appliance import Appliance

_SEPARATOR = "----\n"

_PROBE = r"""
find /sys/block -type l -printf '%f %l\n'; echo ----
cat /proc/partitions; echo ----
for d in /sys/block/dm-*; do
  [ -e "$d" ] || continue
  read -r name <"$d/dm/name"; read -r uuid <"$d/dm/uuid"
  echo "${d##*/} $name $uuid"
done; echo ----
blkid -p -o export /dev/[shv]d* /dev/md[0-9]* /dev/dm-* 2>/dev/null; true
"""

#: MBR types of an extended partition (CHS, LBA, Linux).
_EXTENDED = {"0x5", "0xf", "0x85"}


@dataclass(frozen=True, slots=True)
class Device:
    """One block device. ``tags`` are from blkid; ``disk`` is the drive of a partition."""

    name: str
    node: str
    size: int  # bytes
    tags: Mapping[str, str] = field(default_factory=dict)
    disk: str = ""
    number: int = 0  # of the partition; 0 when it is none
    mapper_uuid: str = ""

    @property
    def type(self) -> str:
        """The type of its content, as blkid names it."""
        return self.tags.get("TYPE", "unknown")

    @property
    def table(self) -> str:
        """The kind of partition table on it: ``gpt``, ``dos``, or ""."""
        return self.tags.get("PTTYPE", "")

    def file_system(self) -> FileSystem:
        """The device as a :class:`FileSystem`."""
        gpt = self.tags.get("PART_ENTRY_SCHEME") == "gpt"
        return FileSystem(
            device=self.name,
            type=self.type,
            uuid=self.tags.get("UUID", ""),
            label=self.tags.get("LABEL", ""),
            partition_uuid=self.tags.get("PART_ENTRY_UUID", ""),
            partition_label=self.tags.get("PART_ENTRY_NAME", ""),
            size=self.size,
            partition_type=self.tags.get("PART_ENTRY_TYPE", "") if gpt else "",
            partition_attributes=int(self.tags.get("PART_ENTRY_FLAGS", "0"), 0) if gpt else 0,
            mapper_uuid=self.mapper_uuid,
        )


def read_devices(appliance: Appliance, drives: Sequence[str] = ()) -> Sequence[Device]:
    """All devices on *drives* (all when empty), read now: drives, partitions, containers."""
    printed = appliance.shell(_PROBE).decode("utf-8", "surrogateescape")
    # libguestfs removes the last newline. The output of blkid, which has text of disks, is last.
    links, listed, mapped, probed = f"{printed}\n".split(_SEPARATOR, 3)
    sizes = {f"/dev/{fields[3]}": int(fields[2]) * 1024 for fields in _rows(listed, 4)}
    found: list[Device] = []
    for name, node in _drives(links, len(appliance.drives)):
        if not drives or name in drives:
            found.append(Device(name, node, sizes[node]))
            found.extend(_partitions(name, node, sizes))
    found += [Device(name, node, sizes.get(node, 0)) for name, node in _arrays(sizes)]
    found += [
        Device(name, node, sizes.get(node, 0), mapper_uuid=uuid)
        for name, node, uuid in _mapped(mapped)
    ]
    tags = _tags(probed)
    passed_over = [device.node for device in found if device.node not in tags]
    if passed_over:  # blkid stops at the first device on which it finds nothing
        tags |= _tags(_each(appliance, passed_over))
    return [replace(device, tags=tags.get(device.node, {})) for device in found]


def holds_file_system(device: Device) -> bool:
    """Whether *device* is one to mount or open, not a drive or partition with partitions."""
    if device.tags.get("PART_ENTRY_TYPE") in _EXTENDED:
        return False
    return device.type != "unknown" or bool(device.number) or not device.table


def _each(appliance: Appliance, nodes: Sequence[str]) -> str:
    script = f"for d in {' '.join(nodes)}; do blkid -p -o export $d; echo; done 2>/dev/null; true"
    return appliance.shell(script).decode("utf-8", "surrogateescape")


def _drives(links: str, attached: int) -> Iterator[tuple[str, str]]:
    """Name and node of the attached drives, in order; the drive of the appliance is last."""
    addresses = []
    for line in links.splitlines():
        node, _, target = line.partition(" ")
        address = re.search(r"/(\d+):(\d+):(\d+):(\d+)/block/", target)
        if address:
            addresses.append((tuple(map(int, address.groups())), node))
    for index, (_, node) in enumerate(sorted(addresses)[:attached]):
        yield disk_name(index), f"/dev/{node}"


def _partitions(name: str, node: str, sizes: Mapping[str, int]) -> Iterator[Device]:
    numbered = []
    for other in sizes:
        digits = other.removeprefix(node)
        if other.startswith(node) and digits.isdecimal():
            numbered.append(int(digits))
    for number in sorted(numbered):
        partition = f"{node}{number}"
        yield Device(f"{name}{number}", partition, sizes[partition], {}, name, number)


def _arrays(sizes: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    for node in sorted(sizes):
        if re.fullmatch(r"/dev/md\d+(p\d+)?", node):
            yield node, node


def _mapped(listed: str) -> Iterator[tuple[str, str, str]]:
    """Name, node and UUID of logical volumes and opened LUKS containers, without internal LVs."""
    for node, name, uuid in _rows(listed, 3):
        if re.fullmatch(r"LVM-\w{64}", uuid):
            group, _, volume = re.sub("--", "\0", name).partition("-")
            yield f"/dev/{group}/{volume}".replace("\0", "-"), f"/dev/{node}", uuid
        elif uuid.startswith("CRYPT-"):
            yield f"/dev/mapper/{name}", f"/dev/{node}", uuid


def _rows(text: str, width: int) -> Iterator[list[str]]:
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == width and fields[0] != "major":
            yield fields


def _tags(text: str) -> dict[str, Mapping[str, str]]:
    """The tags in the output of ``blkid -o export``, by node."""
    tags: dict[str, Mapping[str, str]] = {}
    for block in text.split("\n\n"):
        pairs = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        node = pairs.pop("DEVNAME", "")
        tags[node] = {key: _decoded(value) for key, value in pairs.items()}
    return tags


def _decoded(value: str) -> str:
    r"""*value* without blkid's escapes: ``\x0a`` for other bytes, ``\ `` for special characters."""

    def plain(match: re.Match[bytes]) -> bytes:
        escaped = match.group(1)
        return bytes([int(escaped[1:], 16)]) if len(escaped) == 3 else escaped

    raw = re.sub(rb"\\(x[0-9a-f]{2}|.)", plain, value.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "surrogateescape")
