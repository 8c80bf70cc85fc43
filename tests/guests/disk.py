"""From two tarballs to a bootable disk image, with user-space tools only.

References: UEFI specification 2.10, 3.5.1.1 (removable media boot path ``EFI/BOOT/BOOTX64.EFI``)
and chapter 5 (GPT); Debian's signed GRUB looks for its first configuration in ``/EFI/debian``.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from images.process import run

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024
ESP_MIB, ROOT_MIB, SWAP_MIB = 64, 2304, 128
#: First MiB of each partition; one MiB stays free at either end for the two partition tables.
ESP_AT = 1
ROOT_AT = ESP_AT + ESP_MIB
SWAP_AT = ROOT_AT + ROOT_MIB
DISK_MIB = SWAP_AT + SWAP_MIB + 1

#: Everything that has to be root's: under fakeroot unless we are root.
UNPACK = """\
set -e
mkdir tree
tar --extract --file base.tar --directory tree --numeric-owner --preserve-permissions \
    --exclude './dev/*'
tar --extract --file overlay.tar --directory tree --numeric-owner --preserve-permissions
mke2fs -q -F -t ext4 -O ^metadata_csum_seed,^orphan_file -L root -U "$1" -d tree \
    root.img "$2"
"""


@dataclass(frozen=True)
class Identifiers:
    """The identifiers of the disk that files inside it refer to."""

    root: str
    swap: str
    esp: str  # volume serial as /etc/fstab spells it: XXXX-XXXX

    @classmethod
    def fresh(cls) -> Identifiers:
        """Return new random identifiers."""
        serial = os.urandom(4).hex().upper()
        return cls(str(uuid.uuid4()), str(uuid.uuid4()), f"{serial[:4]}-{serial[4:]}")


def assemble(work: Path, ids: Identifiers) -> None:
    """Make ``disk.raw`` in *work* from its ``base.tar`` and ``overlay.tar``."""
    as_root = [] if os.geteuid() == 0 else ["fakeroot", "--"]
    unpack = f"cd {_quoted(work)}\n{UNPACK}"
    run([*as_root, "sh", "-c", unpack, "sh", ids.root, f"{ROOT_MIB}M"], timeout=900)
    _make_esp(work, ids)
    run(["mkswap", "-q", "-U", ids.swap, _sized(work / "swap.img", SWAP_MIB)])
    raw = _sized(work / "disk.raw", DISK_MIB)
    table = (
        "label: gpt\n"
        f"start={ESP_AT}MiB, size={ESP_MIB}MiB, type=U, name=esp\n"
        f"start={ROOT_AT}MiB, size={ROOT_MIB}MiB, type=L, name=root\n"
        f"start={SWAP_AT}MiB, size={SWAP_MIB}MiB, type=S, name=swap\n"
    )
    run(["sfdisk", "--quiet", raw], stdin=table.encode())
    for name, start in (("esp.img", ESP_AT), ("root.img", ROOT_AT), ("swap.img", SWAP_AT)):
        _copy_sparse(work / name, raw, start * MIB)
        (work / name).unlink()


def _make_esp(work: Path, ids: Identifiers) -> None:
    esp = _sized(work / "esp.img", ESP_MIB)
    run(["mkfs.vfat", "-F", "32", "-n", "ESP", "-i", ids.esp.replace("-", ""), esp])
    stub = work / "stub.cfg"
    stub.write_text(
        f"search.fs_uuid {ids.root} root\n"
        "set prefix=($root)'/boot/grub'\n"
        "configfile $prefix/grub.cfg\n"
    )
    signed = work / "tree/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"
    run(["mmd", "-i", esp, "::EFI", "::EFI/BOOT", "::EFI/debian"])
    run(["mcopy", "-i", esp, signed, "::EFI/BOOT/BOOTX64.EFI"])
    run(["mcopy", "-i", esp, signed, "::EFI/debian/grubx64.efi"])
    run(["mcopy", "-i", esp, stub, "::EFI/debian/grub.cfg"])


def _sized(path: Path, mib: int) -> Path:
    with path.open("wb") as handle:
        handle.truncate(mib * MIB)
    return path


def _copy_sparse(source: Path, target: Path, offset: int) -> None:
    """Copy *source* into *target* at byte *offset*, leaving holes where the source has holes."""
    with source.open("rb") as reader, target.open("r+b") as writer:
        end = os.fstat(reader.fileno()).st_size
        here = 0
        while here < end:
            try:
                here = os.lseek(reader.fileno(), here, os.SEEK_DATA)
            except OSError:  # ENXIO: nothing but a hole until the end
                return
            stop = os.lseek(reader.fileno(), here, os.SEEK_HOLE)
            while here < stop:
                chunk = os.pread(reader.fileno(), min(4 * MIB, stop - here), here)
                os.pwrite(writer.fileno(), chunk, offset + here)
                here += len(chunk)


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"
