"""Damaged file systems for the engines, and everything they are asked to do with them."""

from __future__ import annotations

import hashlib
import random
from enum import Enum
from functools import cache, partial
from typing import TYPE_CHECKING

from tests.support.direct import EXT_VARIANTS, complaints, make_fat, mounted_direct
from tests.support.disks import Part, make_file_system
from tests.support.templates import copy_sparse
from unclone.images.errors import EngineError
from unclone.images.process import run
from unclone.images.volumes import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from unclone.images.engines.direct.volumes import DirectVolumes

_MIB = 1024 * 1024
_SIZE = 8 * _MIB
_MARGIN = 64 * 1024
_FAT = "vfat"
#: The types of :func:`damaged_for_a_kernel`, and where the first superblock of each is.
KERNEL_TYPES = {"xfs": 0, "btrfs": 65536}


class Outcome(Enum):
    """What became of a damaged image: each of these is fine."""

    UNHARMED = "everything was done, and the checker is content"
    FOUND = "something was done, and the check afterwards says no"
    REFUSED = "it could not be opened"


def damaged(path: Path, seed: int) -> Path:
    """Make a file system with a few flipped bits in what it calls metadata."""
    chosen = random.Random(seed)
    variant = chosen.choice([*EXT_VARIANTS, _FAT])
    pristine = path.with_name(f"pristine-{variant}")
    if not pristine.exists():
        unfinished = pristine.with_suffix(".unfinished")
        _make(unfinished, variant)
        unfinished.rename(pristine)
    raw = bytearray(pristine.read_bytes())
    used = [n for n in range(0, _SIZE, 512) if raw[n : n + 512] != bytes(512)]
    first = [n for n in used if n < 64 * 1024]
    for _ in range(chosen.choice([1, 2, 8, 40])):
        at = chosen.choice(chosen.choice([first, used])) + chosen.randrange(512)
        raw[at] ^= 1 << chosen.randrange(8)
    path.write_bytes(raw)
    return path


def damaged_for_a_kernel(path: Path, seed: int) -> tuple[Path, str]:
    """As :func:`damaged`, for the appliance: the image, and its type, which the seeds alternate."""
    chosen = random.Random(seed)
    kind = [*KERNEL_TYPES][seed % len(KERNEL_TYPES)]
    pristine = path.with_name(f"pristine-{kind}")
    if not pristine.exists():
        tree: dict[str, str | bytes | None] = {name: f"{name}\n" * 400 for name in _FILES}
        tree |= {f"/etc/many/a-file-with-a-long-name-{number}": "x" for number in range(80)}
        make_file_system(pristine, Part(kind, tree))
    copy_sparse(pristine, path)
    with path.open("r+b") as file:
        used, first = _used(str(pristine)), KERNEL_TYPES[kind]
        for _ in range(chosen.choice([1, 2, 8, 40])):
            at = chosen.choice([*chosen.choices(used, k=5), first]) + chosen.randrange(512)
            file.seek(at)
            (old,) = file.read(1)
            file.seek(at)
            file.write(bytes([old ^ 1 << chosen.randrange(8)]))
    return path, kind


@cache
def _used(path: str) -> Sequence[int]:
    """The offsets of the sectors that are not zeros."""
    found = []
    with open(path, "rb") as file:
        while piece := file.read(_MIB):
            if piece.count(0) != len(piece):
                start = file.tell() - len(piece)
                found += [start + n for n in range(0, len(piece), 512) if any(piece[n : n + 512])]
    return found


def exercise(
    image: Path,
    chosen: random.Random,
    mounted: Callable[[Path], DirectVolumes] = mounted_direct,
    judge: Callable[[Path], str] | None = None,
) -> Outcome:
    """Do everything a run does with *image*; anything but an ``Outcome`` is a failure.

    Fails as well when a byte beyond the file system was changed, or when *judge* complains of what
    the engine calls clean.
    """
    size = image.stat().st_size
    with image.open("ab") as file:
        file.write(b"\xa5" * _MARGIN)
    try:
        volumes = mounted(image)
    except EngineError:
        return Outcome.REFUSED
    try:
        _use(volumes, chosen)
        volumes.unmount_all()
        clean = volumes.begin_check("/dev/sda")().state == "clean"
        volumes.close()
    except EngineError:
        volumes.drop()
        clean = False
    with image.open("r+b") as file:
        file.seek(size)
        if file.read() != b"\xa5" * _MARGIN:
            raise AssertionError("something was written beyond the file system")
        file.truncate(size)
    if clean and judge is None and _FAT not in _type(image):
        judge = complaints
    if clean and judge is not None and (said := judge(image)):
        raise AssertionError(f"the check missed: {said}")
    return Outcome.UNHARMED if clean else Outcome.FOUND


def _type(image: Path) -> str:
    """``ext`` or ``vfat``."""
    with image.open("rb") as file:
        return _FAT if file.read(1) == b"\xeb" else "ext"


def _use(volumes: DirectVolumes, chosen: random.Random) -> None:
    for path in [_BASE, *_FILES]:
        _try(partial(volumes.lstat, path))
        _try(partial(volumes.get_xattrs, path))
        _try(partial(volumes.read, path, _MIB))
    _try(lambda: [m.path for m in volumes.walk("/", exclude=(), limit=_MIB)])
    _try(lambda: volumes.search(["/"], [b"needle"], exclude=(), limit=_MIB))
    changes: list[Callable[[], object]] = [
        lambda: volumes.write(_FILES[0], b"x" * 9000),
        lambda: volumes.create("/etc/new", b"y" * 5000, mode=0o644, uid=0, gid=0),
        lambda: volumes.make_directory("/etc/new.d", mode=0o755, uid=0, gid=0),
        lambda: volumes.make_symlink("/etc/link", "z" * 100),
        lambda: volumes.rename(_FILES[1], "/renamed"),
        lambda: volumes.remove("/etc/many"),
        lambda: volumes.remove(_FILES[2]),
        lambda: volumes.set_mode(_FILES[3], 0o600),
        lambda: volumes.set_xattr(_FILES[3], "user.x", b"v" * 200),
    ]
    chosen.shuffle(changes)
    for change in changes:
        _try(change)
    kinds = _try(lambda: volumes.scan("/"))
    for name, kind in kinds.items() if isinstance(kinds, dict) else ():
        if kind is Kind.DIRECTORY:
            _try(partial(volumes.remove, f"/{name}"))


def _try(operation: Callable[[], object]) -> object:
    try:
        return operation()
    except OSError:
        return None


_BASE = "/etc"
_FILES = [f"/etc/file{number}" for number in range(6)]


def _make(path: Path, variant: str) -> None:
    if variant == _FAT:
        make_fat(path, 12, mib=_SIZE // _MIB)
    else:
        with path.open("wb") as file:
            file.truncate(_SIZE)
        run(["mke2fs", "-q", "-F", *EXT_VARIANTS[variant], path])
    volumes = mounted_direct(path)
    volumes.make_directory("/etc", mode=0o755, uid=0, gid=0)
    volumes.make_directory("/etc/many", mode=0o755, uid=0, gid=0)
    for number, name in enumerate(_FILES):
        content = hashlib.sha256(name.encode()).digest() * 40 * number
        volumes.create(name, content, mode=0o644, uid=0, gid=0)
    for number in range(80):
        name = f"/etc/many/a file with a long name {number}"
        volumes.create(name, b"x", mode=0o644, uid=0, gid=0)
    if variant != _FAT:
        volumes.set_xattr(_FILES[0], "user.large", b"v" * 300)
        volumes.make_symlink("/etc/long", "t" * 200)
    volumes.close()
