"""Guests for the appliance engine: file systems that only a kernel opens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.chain import read_chain
from unclone.images.engines.appliance.volumes import ApplianceVolumes
from unclone.images.engines.engine import Drive
from unclone.images.formats.header import Format
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

#: What makes an empty file system of each type in a file, and what judges one.
MAKERS: Mapping[str, tuple[str, ...]] = {
    "xfs": ("mkfs.xfs", "-q", "-f"),
    "btrfs": ("mkfs.btrfs", "-q", "-f"),
}
_JUDGES = {"xfs": ("xfs_repair", "-n", "-f"), "btrfs": ("btrfs", "check", "--readonly")}


def make_volume(path: Path, kind: str, *options: str, mib: int = 320) -> Path:
    """Make a sparse image at *path* that is all one file system."""
    with path.open("wb") as file:
        file.truncate(mib * 1024 * 1024)
    run([*MAKERS[kind], *options, path])
    return path


def open_appliance(*images: Path, read_only: bool = False) -> ApplianceVolumes:
    """Raw *images* as one guest, with nothing mounted."""
    drives = [Drive(path, "raw", read_chain(path, Format.RAW)) for path in images]
    return ApplianceVolumes(drives, read_only=read_only, say=lambda _: None)


def mounted_appliance(image: Path) -> ApplianceVolumes:
    """The file system that is all of *image*, mounted as the root."""
    volumes = open_appliance(image)
    try:
        volumes.mount("/dev/sda", "/", subvolume="", read_only=False)
    except BaseException:
        volumes.drop()
        raise
    return volumes


def require_clean(image: Path, kind: str) -> None:
    """Have the file system's own checker look at *image*."""
    run([*_JUDGES[kind], image])


def serve_appliance(image: Path, kind: str) -> Iterator[Callable[[], ApplianceVolumes]]:
    """Gives the mounted volumes of a new *image*, which has to be clean at the end."""
    volumes = mounted_appliance(make_volume(image, kind))
    yield lambda: volumes
    volumes.close()
    require_clean(image, kind)
