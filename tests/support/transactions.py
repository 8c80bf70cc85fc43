"""Transactions for tests: a change to make, and how to see whether it was made."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.support.disk_images import KINDS, MIB, NEW, OLD, fill, holds, make, overlay_on, tool
from unclone.images import journal
from unclone.images.files import identity
from unclone.images.journal import Entry
from unclone.images.overlay import journal_path, overlay_path
from unclone.images.transaction import Disk, InPlace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

BY_NAME = {str(kind): kind for kind in KINDS}


def change(transaction: InPlace, number: int = 0) -> None:
    fill(transaction.overlays[number], NEW, 3 * MIB, MIB)


def changed(image: Path, fmt: str = "qcow2") -> bool:
    return holds(image, NEW, 3 * MIB, MIB, fmt) and holds(image, OLD, MIB, MIB, fmt)


def run(image: Path, body: Callable[[InPlace], None]) -> None:
    """A whole transaction."""
    with InPlace([Disk(image)]) as transaction:
        body(transaction)
        transaction.commit()


def interrupt(images: Sequence[Path], *, committed: bool) -> None:
    """Leave behind what a run over *images* has on disk just before or after its marker."""
    with InPlace([Disk(path) for path in images]) as transaction:
        for path in transaction.overlays:
            fill(path, NEW, 3 * MIB, MIB)
        if committed:
            journal.write([Entry(i.path, i.format, identity(i.path)) for i in transaction.images])
        left = [path for image in images for path in (overlay_path(image), journal_path(image))]
        for path in (path for path in left if path.exists()):
            shutil.copy2(path, path.with_name(f"{path.name}.kept"))
    for path in left:
        kept = path.with_name(f"{path.name}.kept")
        if kept.exists():
            kept.rename(path)


def is_old(image: Path, fmt: str = "qcow2") -> bool:
    return holds(image, OLD, MIB, MIB, fmt) and holds(image, 0, 3 * MIB, MIB, fmt)


def is_new(image: Path, fmt: str = "qcow2") -> bool:
    return holds(image, OLD, MIB, MIB, fmt) and holds(image, NEW, 3 * MIB, MIB, fmt)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def on_a_chain(directory: Path) -> Path:
    make(directory / "base.raw", BY_NAME["raw"])
    overlay_on(directory / "middle.qcow2", "base.raw", "raw")
    return overlay_on(directory / "disk.qcow2", "middle.qcow2")


def with_snapshot(directory: Path) -> Path:
    path = make(directory / "disk.qcow2")
    tool("qemu-img", "snapshot", "-c", "before", path)
    return path


def three(directory: Path) -> list[Path]:
    """Three disks, one of them in another directory."""
    (directory / "elsewhere").mkdir()
    return [
        make(directory / "disk.qcow2"),
        make(directory / "elsewhere" / "data.qcow2"),
        make(directory / "swap.qcow2"),
    ]
