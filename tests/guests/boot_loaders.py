"""GRUB, put on a disk image without a kernel that has the disk.

References: UEFI specification 2.10, 3.5.1.1 (removable media boot path ``EFI/BOOT/BOOTX64.EFI``);
Debian's signed GRUB looks for its first configuration in ``/EFI/debian``. GNU GRUB 2.06,
``grub-core/boot/i386/pc/boot.S``, ``diskboot.S`` and ``include/grub/i386/pc/boot.h`` (where the
two hold the places of their successors), ``util/setup.c`` (what grub-bios-setup writes there).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from unclone.images.process import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.guests.variants import Identifiers, Variant

SECTOR = 512
#: In boot.img: up to here it is a file system's parameters or nothing, which stays as it is.
BPB_END = 0x5A
#: Where boot.img holds the first sector of core.img, and the jump that grub-bios-setup removes on
#: hard disks (a workaround for firmware that says no drive number).
KERNEL_SECTOR, DRIVE_CHECK = 0x5C, 0x66
#: From here on the sector is the partition table's: disk signature, entries, 55 AA.
TABLE = 0x1B8
#: At the end of the first sector of core.img: start, length, segment of the rest.
BLOCK_LIST = SECTOR - 12
#: core.img begins right behind the MBR, in the gap before the first partition.
CORE_AT = 1


def make_esp(work: Path, esp: Path, variant: Variant, ids: Identifiers) -> None:
    """Make the EFI system partition *esp*: Debian's signed GRUB, and the stub that it reads."""
    run(["mkfs.vfat", "-F", "32", "-n", "ESP", "-i", ids.esp.replace("-", ""), esp])
    stub = work / "stub.cfg"
    stub.write_text(
        f"search.fs_uuid {variant.boot_uuid(ids)} root\n"
        f"set prefix=($root)'{'' if variant.separate_boot else '/boot'}/grub'\n"
        "configfile $prefix/grub.cfg\n"
    )
    signed = work / "tree/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"
    run(["mmd", "-i", esp, "::EFI", "::EFI/BOOT", "::EFI/debian"])
    run(["mcopy", "-i", esp, signed, "::EFI/BOOT/BOOTX64.EFI"])
    run(["mcopy", "-i", esp, signed, "::EFI/debian/grubx64.efi"])
    run(["mcopy", "-i", esp, stub, "::EFI/debian/grub.cfg"])


def install_bios(work: Path, disk: Path) -> None:
    """Write GRUB's boot.img and core.img into *disk*, as grub-install does on one plain disk.

    The root is the first partition of an MBR. No identifier is in the core: it knows its partition
    by number, on the drive that it was started from.
    """
    modules = work / "tree/usr/lib/grub/i386-pc"
    core_file = work / "core.img"
    run(
        [
            *("grub-mkimage", "--directory", modules, "--format", "i386-pc"),
            *("--prefix", "(,msdos1)/boot/grub", "--output", core_file),
            *("biosdisk", "part_msdos", "ext2"),
        ]
    )
    core = bytearray(core_file.read_bytes())
    core += bytes(-len(core) % SECTOR)
    rest = len(core) // SECTOR - 1
    struct.pack_into("<QH", core, BLOCK_LIST, CORE_AT + 1, rest)
    boot = bytearray((modules / "boot.img").read_bytes())
    struct.pack_into("<Q", boot, KERNEL_SECTOR, CORE_AT)
    boot[DRIVE_CHECK : DRIVE_CHECK + 2] = b"\x90\x90"
    with disk.open("r+b") as handle:
        handle.write(boot[:3])  # the jump over the parameters
        handle.seek(BPB_END)
        handle.write(boot[BPB_END:TABLE])
        handle.seek(CORE_AT * SECTOR)
        handle.write(core)
