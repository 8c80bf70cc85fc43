"""Initrds as distributions make them, put together with the real cpio and compressors."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from unclone.sanitize.boot.compression import Compression

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: How initramfs-tools, dracut and people call each compressor.
COMPRESSORS = {
    Compression.NONE: ["cat"],
    Compression.GZIP: ["gzip", "-n", "-9"],
    Compression.BZIP2: ["bzip2", "-9"],
    Compression.LZMA: ["xz", "--format=lzma"],
    Compression.XZ: ["xz", "--check=crc32"],
    Compression.LZ4: ["lz4", "-9"],
    Compression.LZ4_LEGACY: ["lz4", "-l", "-9"],
    Compression.ZSTD: ["zstd", "-q", "-9"],
}

MICROCODE = "kernel/x86/microcode/GenuineIntel.bin"


def compress(compression: Compression, content: bytes, *, fast: bool = False) -> bytes:
    """*content* as people pack it, or with the least effort, where the size does not matter."""
    command = COMPRESSORS[compression]
    return subprocess.run(
        [*command, *(["-1"] if fast else [])],
        input=content,
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    ).stdout


def archive(tree: Path, form: str = "newc") -> bytes:
    """Everything in *tree*, as ``find | cpio`` packs it for an initrd."""
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    return subprocess.run(
        ["cpio", "--quiet", "-o", "-H", form],
        input="\n".join([".", *names]).encode(),
        cwd=tree,
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    ).stdout


def unpack(archives: Sequence[bytes], into: Path) -> Path:
    """Unpack plain archives one over the other with the real cpio."""
    into.mkdir(exist_ok=True)
    for one in archives:
        subprocess.run(
            ["cpio", "--quiet", "-i", "-d", "-u", "-m", "--no-absolute-filenames"],
            input=one,
            cwd=into,
            check=True,
            timeout=60,
        )
    return into


def microcode(folder: Path) -> bytes:
    """An early archive: plain, in front, padded to a sector."""
    file = folder / MICROCODE
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(range(256)) * 10)
    return archive(folder)
