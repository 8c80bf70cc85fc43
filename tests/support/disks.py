"""Tiny disks with real partition tables and file systems, made in a second without root.

``make_disk(path, [Part("ext4", tree=DEBIAN_12), Part("swap")])``; files of a tree are written as
:func:`tests.support.tree.plant` takes them. XFS wants 300 MiB, which costs nothing: the images are
sparse.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import templates
from tests.support.templates import copy_into
from tests.support.tree import plant
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

MIB = 1024 * 1024

ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"

#: MiB; the smallest each is comfortable with.
SIZES = {
    "ext2": 24,
    "ext3": 24,
    "ext4": 24,
    "xfs": 320,
    "btrfs": 128,
    "vfat": 40,
    "swap": 4,
    "exfat": 8,
    "f2fs": 64,
}

#: What has to be there for a root to be one.
BARE_ROOT: Mapping[str, str | bytes | None] = {
    "/etc/os-release": "ID=debian\n",
    "/etc/hostname": "template\n",
    "/usr/bin": None,
}


@dataclass(frozen=True)
class Part:
    """One partition; ``type`` is blkid's word, "" leaves it unformatted."""

    type: str
    tree: Mapping[str, str | bytes | None] = field(default_factory=dict)
    uuid: str = ""
    label: str = ""
    size: int = 0  # MiB, 0 for the smallest
    gpt_type: str = ""  # sfdisk's word or a GUID
    gpt_name: str = ""
    gpt_uuid: str = ""
    gpt_attributes: str = ""  # as sfdisk spells them
    options: tuple[str, ...] = ()  # for mkfs

    @property
    def mib(self) -> int:
        return self.size or SIZES.get(self.type, 8)


def make_disk(path: Path, parts: Sequence[Part], *, table: str = "gpt", form: str = "raw") -> Path:
    """Make a disk image at *path* with a partition table ("gpt" or "dos") and *parts*."""
    description = [*map(vars, parts), table, form]
    return templates.copy(description, path, lambda made: _make_disk(made, parts, table, form))


def _make_disk(path: Path, parts: Sequence[Part], table: str, form: str) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        raw = path if form == "raw" else Path(work) / "disk.raw"
        _sparse(raw, sum(part.mib for part in parts) + 2)
        lines = [f"label: {table}"]
        start = 1
        for part in parts:
            lines.append(f"start={start}MiB, size={part.mib}MiB{_gpt_fields(part, table)}")
            start += part.mib
        run(["sfdisk", "--quiet", "--no-reread", raw], stdin="\n".join(lines).encode() + b"\n")
        start = 1
        for number, part in enumerate(parts, 1):
            if part.type:
                content = make_file_system(Path(work) / f"{number}.img", part)
                copy_into(content, raw, start * MIB)
            start += part.mib
        if raw != path:
            run(["qemu-img", "convert", "-f", "raw", "-O", form, raw, path])


def make_file_system(path: Path, part: Part) -> Path:
    """Make an image at *path* with nothing but the file system of *part*."""
    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        folder = Path(work) / "tree"
        folder.mkdir()
        folder.chmod(0o755)
        plant(folder, part.tree)
        _sparse(path, part.mib)
        _MAKERS[part.type](path, part, folder)
    return path


class FileBlocks:
    """The bytes of a raw image, as the modules of ``images/file_systems/`` read and write them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = path.stat().st_size

    def read(self, offset: int, count: int) -> bytes:
        with self._path.open("rb") as file:
            file.seek(offset)
            return file.read(count)

    def write(self, offset: int, content: bytes) -> None:
        poke(self._path, offset, content)

    def close(self) -> None:
        """Nothing to do: each access opens the file."""


def poke(path: Path, offset: int, data: bytes | bytearray) -> None:
    """Overwrite *data* at *offset* of a raw image."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def _gpt_fields(part: Part, table: str) -> str:
    if table != "gpt":
        return ""
    named = {"type": part.gpt_type, "name": part.gpt_name, "uuid": part.gpt_uuid}
    named["attrs"] = part.gpt_attributes
    return "".join(f', {key}="{value}"' for key, value in named.items() if value)


def _sparse(path: Path, mib: int) -> None:
    with path.open("wb") as file:
        file.truncate(mib * MIB)


def _ext(path: Path, part: Part, folder: Path) -> None:
    # Few inodes and a small journal: what is checked and copied often should be small.
    options = [*("-q", "-F", "-t", part.type, "-E", "root_owner=0:0"), *part.options]
    options += _pairs(("-U", part.uuid), ("-L", part.label))
    run(["mke2fs", *options, "-d", folder, path])


def _xfs(path: Path, part: Part, folder: Path) -> None:
    options = ["-q", *part.options, *_pairs(("-L", part.label))]
    if part.uuid:
        options += ["-m", f"uuid={part.uuid}"]
    proto = folder.with_suffix(".proto")
    proto.write_text("\n".join(["/nowhere", "0 0", "d--755 0 0", *_proto(folder), "$"]) + "\n")
    run(["mkfs.xfs", *options, "-p", proto, path])


def _proto(folder: Path) -> Iterable[str]:
    """The prototype file of mkfs.xfs(8); names must have no blanks in them."""
    for entry in sorted(folder.iterdir()):
        mode = f"{entry.lstat().st_mode & 0o777:03o}"
        if entry.is_symlink():
            yield f"{entry.name} l--777 0 0 {entry.readlink()}"
        elif entry.is_dir():
            yield f"{entry.name} d--{mode} 0 0"
            yield from _proto(entry)
            yield "$"
        else:
            yield f"{entry.name} ---{mode} 0 0 {entry}"


def _btrfs(path: Path, part: Part, folder: Path) -> None:
    options = _pairs(("-U", part.uuid), ("-L", part.label))
    run(["mkfs.btrfs", "-q", *options, *part.options, "--rootdir", folder, path])


def _vfat(path: Path, part: Part, folder: Path) -> None:
    options = _pairs(("-i", part.uuid.replace("-", "")), ("-n", part.label))
    run(["mkfs.vfat", *(part.options or ("-F", "32")), *options, path])
    entries = sorted(folder.iterdir())
    if entries:
        run(["mcopy", "-s", "-m", "-i", path, *entries, "::/"])


def _exfat(path: Path, part: Part, folder: Path) -> None:
    assert not part.tree, "nothing here can fill an exFAT"
    run(["mkfs.exfat", *part.options, *_pairs(("-L", part.label)), path])
    if part.uuid:
        run(["tune.exfat", "-I", f"0x{part.uuid.replace('-', '')}", path])


def _f2fs(path: Path, part: Part, folder: Path) -> None:
    options = _pairs(("-U", part.uuid), ("-l", part.label))
    run(["mkfs.f2fs", "-q", *options, *part.options, path])
    if part.tree:
        run(["sload.f2fs", "-f", folder, path])


def _swap(path: Path, part: Part, folder: Path) -> None:
    run(["mkswap", "-q", *_pairs(("-U", part.uuid), ("-L", part.label)), path])


_MAKERS: Mapping[str, Callable[[Path, Part, Path], None]] = {
    "ext2": _ext,
    "ext3": _ext,
    "ext4": _ext,
    "xfs": _xfs,
    "btrfs": _btrfs,
    "vfat": _vfat,
    "swap": _swap,
    "exfat": _exfat,
    "f2fs": _f2fs,
}


def _pairs(*options: tuple[str, str]) -> list[str]:
    return [word for option, value in options if value for word in (option, value)]
