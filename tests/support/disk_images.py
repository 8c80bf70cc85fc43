"""Small real disk images of every format, with content that can be recognised again."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support import templates

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MIB = 1024 * 1024
SIZE = 64 * MIB

#: Bytes; file systems have holes of whole blocks.
_BLOCK = 4096

#: The byte that fills the old content, and the one that a test writes.
OLD, NEW = 0x11, 0x22


@dataclass(frozen=True)
class Kind:
    """A flavour of image; ``str()`` is its name in test ids."""

    name: str
    format: str
    options: str = ""
    suffix: str = ""

    def __str__(self) -> str:
        return self.name


KINDS = (
    Kind("qcow2", "qcow2"),
    Kind("qcow2-v2", "qcow2", "compat=0.10"),
    Kind("qcow2-small-clusters", "qcow2", "cluster_size=4096"),
    Kind("qcow2-extended-l2", "qcow2", "extended_l2=on,cluster_size=128k"),
    Kind("raw", "raw"),
    Kind("vmdk-monolithicSparse", "vmdk", "subformat=monolithicSparse"),
    Kind("vmdk-monolithicFlat", "vmdk", "subformat=monolithicFlat"),
    Kind("vmdk-twoGbMaxExtentSparse", "vmdk", "subformat=twoGbMaxExtentSparse"),
    Kind("vmdk-twoGbMaxExtentFlat", "vmdk", "subformat=twoGbMaxExtentFlat"),
    Kind("vdi", "vdi"),
    Kind("vhdx", "vhdx"),
)


def tool(*argv: str | Path) -> str:
    """Run a QEMU tool that must succeed; what it printed."""
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def empty(path: Path, kind: Kind, size: int = SIZE) -> Path:
    options = ("-o", kind.options) if kind.options else ()
    tool("qemu-img", "create", "-q", "-f", kind.format, *options, path, str(size))
    return path


def make(path: Path, kind: Kind = KINDS[0]) -> Path:
    """An image of *kind* whose second MiB, and only that, is filled with OLD."""

    def filled(made: Path) -> None:
        empty(made, kind)
        fill(made, OLD, MIB, MIB, kind.format)

    return templates.copy(("filled", kind), path, filled)


def fill(path: Path, byte: int, offset: int, length: int, fmt: str = "qcow2") -> None:
    tool("qemu-io", "-f", fmt, "-c", f"write -P {byte} {offset} {length}", path)


def holds(path: Path, byte: int, offset: int, length: int, fmt: str = "qcow2") -> bool:
    """Whether that stretch of the disk is nothing but *byte*, as QEMU reads it."""
    done = subprocess.run(
        ["qemu-io", "-r", "-f", fmt, "-c", f"read -P {byte} {offset} {length}", path],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0 and "Pattern verification failed" not in done.stdout


def overlay_on(path: Path, backing: Path | str, fmt: str = "qcow2") -> Path:
    """A qcow2 at *path* with *backing* (may be relative) in its header."""
    tool(
        "qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", fmt, "-b", backing, path,
        str(SIZE),
    )  # fmt: skip
    return path


def sound(path: Path, fmt: str = "qcow2") -> bool:
    """Whether ``qemu-img check`` finds neither errors nor leaks (or has nothing to check)."""
    done = subprocess.run(["qemu-img", "check", "-f", fmt, path], capture_output=True, check=False)
    return done.returncode in {0, 63}


def digest(path: Path, border: int = 0) -> str:
    """The same for two files when their contents are, from the block at *border* bytes on.

    Holes are not read.
    """
    found = hashlib.sha256(b"%d" % path.stat().st_size)
    for start, piece in templates.data(path):
        for at in range(0, len(piece), _BLOCK):
            block = piece[at : at + _BLOCK]
            # Zeros may be in a hole of the other file.
            if start + at >= border and any(block):
                found.update(b" %d " % (start + at))
                found.update(block)
    return found.hexdigest()


def digests(paths: Iterable[Path]) -> dict[str, str]:
    """The SHA-256 of every file, by name."""
    return {path.name: digest(path) for path in sorted(paths)}
