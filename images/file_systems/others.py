"""Types that are only recognised: their identifiers are not changed.

References: util-linux 2.38 ``libblkid/src/superblocks/*.c`` (magics and their offsets);
cryptsetup 2.7 ``lib/verity/verity.c`` (the UUID in a superblock of dm-verity).
"""

from __future__ import annotations

import uuid

from unclone.images.file_systems.file_system_type import FileSystemType, Signature

_READ_ONLY = "it is a read-only file system"
_FIRMWARE_RAID = "it belongs to a RAID of the firmware"


def _type(
    name: str, *signatures: tuple[int, bytes], root_of: str = "", unsettable: str = ""
) -> FileSystemType:
    magics = tuple(Signature(*signature) for signature in signatures)
    return FileSystemType((name,), magics, root_of=root_of, unsettable=unsettable)


TYPES = (
    # Windows
    _type(
        "BitLocker",
        (3, b"-FVE-FS-"),
        root_of="windows",
        unsettable="it is encrypted by Windows",
    ),
    _type(
        "ntfs",
        (3, b"NTFS    "),
        root_of="windows",
        unsettable="the boot configuration of Windows names it by its serial",
    ),
    _type("ReFS", (3, b"ReFS\0"), root_of="windows"),
    # Linux
    _type("jfs", (0x8000, b"JFS1"), root_of="linux"),
    _type("reiserfs", (0x10034, b"ReIsEr"), (0x2034, b"ReIsEr"), root_of="linux"),
    _type("nilfs2", (0x406, b"\x34\x34"), root_of="linux"),
    _type(
        "bcachefs",
        (0x1018, b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef"),
        (0x1018, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"),
        root_of="linux",
        unsettable="nothing can change the UUID of a bcachefs offline",
    ),
    # images and optical discs
    _type("squashfs", (0, b"hsqs"), unsettable=_READ_ONLY),
    _type("erofs", (0x400, b"\xe2\xe1\xf5\xe0"), unsettable=_READ_ONLY),
    _type("iso9660", (0x8001, b"CD001"), unsettable=_READ_ONLY),
    _type("udf", unsettable="nothing can change the identifier of a UDF"),
    # below file systems
    _type(
        "bcache",
        (0x1018, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x82"),
        unsettable="a bcache and its cache name each other by their UUIDs",
    ),
    _type(
        "stratis",
        (0x204, b"!Stra0tis\x86\xff\x02^Arh"),
        (0x1204, b"!Stra0tis\x86\xff\x02^Arh"),
    ),
    _type("vdo", (0, b"dmvdo001")),
    FileSystemType(
        ("DM_verity_hash",),
        (Signature(0, b"verity\0\0"),),
        read=lambda blocks: str(uuid.UUID(bytes=blocks.read(16, 16).ljust(16, b"\0"))),
        unsettable="it holds the dm-verity hashes of another partition",
    ),
    _type("DM_integrity", (0, b"integrt\0")),
    _type(
        "zfs_member",
        unsettable="a ZFS pool gets another identifier only while it is imported (zpool reguid)",
    ),
    _type("jbd", unsettable="it is the journal of another file system, which names it by its UUID"),
    _type("DDF_raid_member", unsettable=_FIRMWARE_RAID),
    _type("ddf_raid_member", unsettable=_FIRMWARE_RAID),
    _type("isw_raid_member", unsettable=_FIRMWARE_RAID),
)
