"""Guests for the appliance engine: file systems that only a kernel opens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.disks import MIB
from tests.support.lvm import make_physical_volume
from unclone.images.chain import read_chain
from unclone.images.engines.appliance.volumes import ApplianceVolumes
from unclone.images.engines.engine import Drive, no_keys
from unclone.images.errors import ToolError
from unclone.images.formats.header import Format
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from unclone.images.engines.engine import Keys

#: What makes an empty file system of each type in a file, and what judges one.
MAKERS: Mapping[str, tuple[str, ...]] = {
    "xfs": ("mkfs.xfs", "-q", "-f"),
    "btrfs": ("mkfs.btrfs", "-q", "-f"),
    "ext4": ("mkfs.ext4", "-q", "-F"),
}
#: What the conformance tests use.
CONTAINED = "ext4-on-lvm-in-luks"
SERVED = ("xfs", "btrfs", CONTAINED)
_JUDGES = {
    "xfs": ("xfs_repair", "-n", "-f"),
    "btrfs": ("btrfs", "check", "--readonly"),
    "ext4": ("e2fsck", "-fn"),
}
#: Opens the containers that :func:`encrypt` makes.
KEY = b"not a line\nbut two"


def make_volume(path: Path, kind: str, *options: str, mib: int = 320) -> Path:
    """Make a sparse image at *path* that is all one file system."""
    with path.open("wb") as file:
        file.truncate(mib * 1024 * 1024)
    run([*MAKERS[kind], *options, path])
    return path


def open_appliance(
    *images: Path, read_only: bool = False, keys: Keys = no_keys
) -> ApplianceVolumes:
    """Raw *images* as one guest, with nothing mounted."""
    drives = [Drive(path, "raw", read_chain(path, Format.RAW)) for path in images]
    return ApplianceVolumes(drives, keys=keys, read_only=read_only, say=lambda _: None)


def mounted_appliance(
    image: Path, device: str = "/dev/sda", keys: Keys = no_keys
) -> ApplianceVolumes:
    """*device*, which is all of *image* unless that is a container, mounted as the root."""
    volumes = open_appliance(image, keys=keys)
    try:
        volumes.mount(device, "/", subvolume="", read_only=False)
    except BaseException:
        volumes.drop()
        raise
    return volumes


def require_clean(image: Path, kind: str) -> None:
    """Have the file system's own checker look at *image*."""
    run([*_JUDGES[kind], image])


def complaint(kind: str) -> Callable[[Path], str]:
    """What says what the checker of *kind* complains of in an image, "" when it is clean."""

    def judged(image: Path) -> str:
        try:
            require_clean(image, kind)
        except ToolError as error:
            return error.message
        return ""

    return judged


def encrypt(plain: Path, key: Path, *options: str) -> None:
    """Make *plain* a LUKS container that has its content and is opened by :data:`KEY`.

    *options* are for cryptsetup. The key is also written to *key*.
    """
    key.write_bytes(KEY)
    with plain.open("r+b") as file:
        file.truncate(plain.stat().st_size + 16 * 1024 * 1024)
    encryption = ("--encrypt", "--type", "luks2", "--reduce-device-size", "16M", "--batch-mode")
    quick = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")
    run(["cryptsetup", "reencrypt", *encryption, *quick, "--key-file", key, *options, plain])


def decrypt(image: Path, key: Path) -> None:
    """Make the LUKS container in *image* its content, by cryptsetup."""
    header = image.with_suffix(".header")
    options = ("--decrypt", "--force-offline-reencrypt", "--batch-mode")
    run(["cryptsetup", "reencrypt", *options, "--header", header, "--key-file", key, image])
    header.unlink()


def serve_appliance(image: Path, kind: str) -> Iterator[Callable[[], ApplianceVolumes]]:
    """Gives the mounted volumes of a new *image*, which has to be clean at the end.

    :data:`CONTAINED` is ext4 on LVM in LUKS.
    """
    if kind != CONTAINED:
        volumes = mounted_appliance(make_volume(image, kind))
        yield lambda: volumes
        volumes.close()
        require_clean(image, kind)
        return
    content, key = image.with_suffix(".content"), image.with_suffix(".key")
    make_volume(content, "ext4", mib=64)
    make_physical_volume(image, "vg", {"root": content})
    encrypt(image, key)
    volumes = mounted_appliance(image, "/dev/vg/root", lambda _: [KEY])
    yield lambda: volumes
    volumes.close()
    decrypt(image, key)
    content.write_bytes(image.read_bytes()[MIB : MIB + content.stat().st_size])
    require_clean(content, "ext4")
