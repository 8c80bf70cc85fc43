"""Small file systems for the direct engine: every variant that it says it can work with."""

from __future__ import annotations

import re
import struct
import subprocess
from typing import TYPE_CHECKING

from unclone.images.chain import read_chain
from unclone.images.engines.direct.access.disk import Disk, Place
from unclone.images.engines.direct.volumes import DirectVolumes
from unclone.images.engines.engine import Drive
from unclone.images.formats.header import Format
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: mke2fs options by a readable name; the first is what Debian makes today.
EXT_VARIANTS: Mapping[str, tuple[str, ...]] = {
    "ext4": ("-t", "ext4"),
    "ext2": ("-t", "ext2"),
    "ext3": ("-t", "ext3"),
    "ext4-small-blocks": ("-t", "ext4", "-b", "1024"),
    "ext4-small-inodes": ("-t", "ext4", "-I", "128"),
    "ext4-inline-data": ("-t", "ext4", "-O", "inline_data"),
    "ext4-no-checksums": ("-t", "ext4", "-O", "^metadata_csum,uninit_bg"),
    "ext4-no-htree": ("-t", "ext4", "-O", "^dir_index"),
    "ext4-new": ("-t", "ext4", "-O", "metadata_csum_seed,orphan_file,sparse_super2"),
    "ext4-fast-commit": ("-t", "ext4", "-O", "fast_commit,stable_inodes"),
    "ext4-meta-bg": ("-t", "ext4", "-O", "meta_bg,^resize_inode"),
    "ext4-32bit": ("-t", "ext4", "-O", "^64bit,^flex_bg,^extra_isize"),
    "ext4-large-dir": ("-t", "ext4", "-O", "large_dir", "-b", "1024"),
    "ext4-no-filetype": ("-t", "ext4", "-O", "^filetype"),
}

#: Those that differ most in how things are stored; for tests that take a while.
TYPICAL = ("ext4", "ext2", "ext4-inline-data", "ext4-small-inodes")


def revision_0() -> tuple[str, ...]:
    """The mke2fs options for the oldest ext2. Since e2fsprogs 1.47.1 they have another name."""
    said = subprocess.run(["mke2fs", "-V"], capture_output=True, text=True, check=True).stderr
    version = re.match(r"mke2fs (\d+)\.(\d+)\.(\d+)", said)
    assert version is not None, said
    new = tuple(map(int, version.groups())) > (1, 47, 0)
    return ("-E", "revision=0") if new else ("-r", "0")


def make_ext(path: Path, variant: str = "ext4", *, mib: int = 48) -> Path:
    """Make a sparse image at *path* with nothing but an empty file system."""
    with path.open("wb") as file:
        file.truncate(mib * 1024 * 1024)
    run(["mke2fs", "-q", "-F", *EXT_VARIANTS[variant], path])
    return path


def make_fat(path: Path, bits: int, *, mib: int) -> Path:
    """Make a sparse image at *path* with an empty FAT file system."""
    with path.open("wb") as file:
        file.truncate(mib * 1024 * 1024)
    run(["mkfs.fat", "-F", str(bits), path])
    return path


def file_disk(path: Path) -> Disk:
    """The plain file at *path* as a disk of the direct engine."""
    return Disk(Place(str(path), path.stat().st_size))


def open_direct(*images: Path, read_only: bool = False) -> DirectVolumes:
    """Raw *images* as one guest, with nothing mounted."""
    drives = [Drive(path, "raw", read_chain(path, Format.RAW)) for path in images]
    return DirectVolumes(drives, read_only=read_only)


def mounted_direct(image: Path) -> DirectVolumes:
    """The file system that is all of *image*, mounted as the root."""
    volumes = open_direct(image)
    try:
        volumes.mount("/dev/sda", "/", subvolume="", read_only=False)
    except BaseException:
        volumes.drop()
        raise
    return volumes


def require_sound(volumes: DirectVolumes, image: Path) -> None:
    """Close *volumes* and have the file system's own checker look at *image*."""
    volumes.close()
    found = complaints(image)
    assert not found, found


def complaints(image: Path) -> str:
    """What ``e2fsck -fn`` or ``fsck.fat -n`` has against *image*; "" when nothing."""
    with image.open("rb") as file:
        file.seek(1080)
        ext = file.read(2) == b"\x53\xef"
    command = ["e2fsck", "-fn"] if ext else ["fsck.fat", "-n"]
    done = subprocess.run([*command, image], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def make_huge_directory(path: Path) -> Path:
    """Make a sparse image whose directory ``/many`` has 100,000 entries, of ``/f0`` to ``/f9``."""
    image = make_ext(path, "ext3", mib=64)
    volumes = mounted_direct(image)
    for number in range(10):
        volumes.create(f"/f{number}", b"", mode=0o644, uid=0, gid=0)
    volumes.create("/many", _huge_directory(1024, first=12), mode=0o644, uid=0, gid=0)
    volumes.close()
    run(["debugfs", "-w", "-R", "set_inode_field many mode 040755", image])
    subprocess.run(["e2fsck", "-fyD", image], check=False, capture_output=True)
    assert not complaints(image), complaints(image)
    return image


def _huge_directory(block_size: int, first: int) -> bytes:
    """The blocks of a directory with 100,000 links to the ten inodes from *first* on."""
    names = [(first + n % 10, 1, f"{n:06}-{'x' * 20}".encode()) for n in range(100_000)]
    dots = [(first + 10, 2, b"."), (2, 2, b"..")]
    blocks = [bytearray()]
    for inode, kind, name in [*dots, *names]:
        size = 8 + -(-len(name) // 4) * 4
        if len(blocks[-1]) + size > block_size:
            blocks.append(bytearray())
        blocks[-1] += struct.pack("<IHBB", inode, size, len(name), kind) + name
        blocks[-1] += bytes(-len(name) % 4)
    for block in blocks:  # the last entry reaches to the end of its block
        at = 0
        while at + (size := struct.unpack_from("<H", block, at + 4)[0]) < len(block):
            at += size
        struct.pack_into("<H", block, at + 4, block_size - at)
    return b"".join(block.ljust(block_size, b"\0") for block in blocks)
