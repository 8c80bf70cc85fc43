"""A folder as a guest whose devices have identifiers: enough to plan, apply and verify renewals."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.support.tree import TreeVolumes
from unclone.images.guest import Guest
from unclone.images.layout import Layout, Mount
from unclone.images.volumes import FileSystem, Identifier, IdentifierKind
from unclone.sanitize.renewal import Renewal, Renewals

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

ROOT = Renewal(
    IdentifierKind.FILE_SYSTEM_UUID,
    "/dev/sda1",
    "aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb",
    "cccccccc-5555-4666-8777-dddddddddddd",
)
BOOT = Renewal(
    IdentifierKind.FILE_SYSTEM_UUID,
    "/dev/sda4",
    "0b0b0b0b-1111-4222-8333-0b0b0b0b0b0b",
    "b0b0b0b0-5555-4666-8777-b0b0b0b0b0b0",
)
BTRFS_DEVICE = Renewal(
    IdentifierKind.BTRFS_DEVICE_UUID,
    "/dev/sda4",
    "0d0d0d0d-1111-4222-8333-0d0d0d0d0d0d",
    "d0d0d0d0-5555-4666-8777-d0d0d0d0d0d0",
)
SWAP = Renewal(
    IdentifierKind.SWAP_UUID,
    "/dev/sda3",
    "51515151-1111-4222-8333-515151515151",
    "15151515-5555-4666-8777-151515151515",
)
ESP = Renewal(IdentifierKind.VFAT_SERIAL, "/dev/sda2", "12AB-56CD", "FE12-DC34")
LUKS = Renewal(
    IdentifierKind.LUKS_UUID,
    "/dev/sda5",
    "1c1c1c1c-1111-4222-8333-1c1c1c1c1c1c",
    "c1c1c1c1-5555-4666-8777-c1c1c1c1c1c1",
)
PARTITION = Renewal(
    IdentifierKind.PARTITION_GUID,
    "/dev/sda1",
    "9a9a9a9a-1111-4222-8333-9a9a9a9a9a9a",
    "a9a9a9a9-5555-4666-8777-a9a9a9a9a9a9",
)
DISK = Renewal(IdentifierKind.MBR_DISK_ID, "/dev/sda", "0a1b2c3d", "99887766")
ARRAY = Renewal(
    IdentifierKind.MD_UUID,
    "/dev/md0",
    "00000001:00000002:00000003:0000000a",
    "11111111:11111112:11111113:1111111b",
)
GROUP = Renewal(
    IdentifierKind.LVM_VG_UUID,
    "/dev/vg",
    "abcdef-0123-ABCD-4567-efgh-ijkl-MNOPQR",
    "zyxwvu-0000-AAAA-1111-bbbb-cccc-DDDDDD",
)
VOLUME = Renewal(
    IdentifierKind.LVM_PV_UUID,
    "/dev/sda6",
    "fedcba-0123-ABCD-4567-efgh-ijkl-MNOPQR",
    "uvwxyz-0000-AAAA-1111-bbbb-cccc-DDDDDD",
)
TABLE = Renewal(
    IdentifierKind.DISK_GUID,
    "/dev/sdb",
    "6d6d6d6d-1111-4222-8333-6d6d6d6d6d6d",
    "d6d6d6d6-5555-4666-8777-d6d6d6d6d6d6",
)
ALL = (ROOT, BOOT, BTRFS_DEVICE, SWAP, ESP, GROUP, VOLUME, LUKS, ARRAY, PARTITION, TABLE, DISK)
RENEWALS = Renewals(ALL)


class IdentifiedVolumes(TreeVolumes):
    """A folder with devices that exist in name only."""

    def __init__(
        self,
        folder: Path,
        identifiers: Iterable[Identifier],
        refused: Mapping[str, str] | None = None,
        file_systems: Sequence[FileSystem] = (),
    ) -> None:
        super().__init__(folder)
        self._identifiers = list(identifiers)
        self._refused = refused or {}
        self._file_systems = file_systems
        self.batches: list[tuple[Identifier, ...]] = []

    def file_systems(self) -> Sequence[FileSystem]:
        return self._file_systems

    def identifiers(self) -> Sequence[Identifier]:
        return tuple(self._identifiers)

    def unsettable(self, identifier: Identifier) -> str:
        return self._refused.get(identifier.value, "")

    def set_identifiers(self, identifiers: Sequence[Identifier]) -> None:
        self.batches.append(tuple(identifiers))
        new = {(each.kind, each.device): each.value for each in identifiers}
        self._identifiers = [
            replace(each, value=new.get((each.kind, each.device), each.value))
            for each in self._identifiers
        ]


def olds(renewals: Iterable[Renewal] = ALL) -> list[Identifier]:
    """The identifiers as they are before a run."""
    return [
        Identifier(each.kind, each.device, each.old)
        for each in renewals
        if isinstance(each.kind, IdentifierKind)
    ]


def identified_guest(volumes: IdentifiedVolumes, *mounts: Mount) -> Guest:
    """The guest on *volumes*, with its root and *mounts*."""
    return Guest(volumes, Layout((Mount("/dev/sda1", "/", "ext4"), *mounts)))
