"""Other systems on a btrfs: snapshots and subvolumes that the guest does not mount by itself.

Each has a machine-id and private host keys of its own, which are the original's. They are out of
reach of the guest's own paths, so they are looked into once, from the top of the file system.

References: btrfs-subvolume(8) (``list``, ``get-default``); snapper(8); timeshift; btrbk(1).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images.errors import EngineError
from unclone.images.guest import Guest
from unclone.images.layout import Layout, Mount, OtherSystem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.volumes import Volumes

#: Subvolumes that are looked into. With more, the rest is named as not looked into.
_MANY = 1000
#: Bytes of a machine-id file.
_ID_LIMIT = 64
_ID = re.compile(rb"\s*[0-9a-fA-F-]{32,36}\s*")


def other_systems(volumes: Volumes, mounts: Sequence[Mount]) -> tuple[OtherSystem, ...]:
    """Those on every btrfs of *mounts*. Leaves nothing mounted."""
    devices = dict.fromkeys(mount.device for mount in mounts if mount.type == "btrfs")
    return tuple(found for device in devices for found in _on(volumes, device, mounts))


def _on(volumes: Volumes, device: str, mounts: Sequence[Mount]) -> Iterator[OtherSystem]:
    top = Mount(device, "/", "btrfs", "/")
    volumes.unmount_all()
    try:
        volumes.mount(device, "/", subvolume="/", read_only=True)
        paths, default = volumes.subvolumes()
        mounted = {
            mount.subvolume.strip("/") or default for mount in mounts if mount.device == device
        }
        guest = Guest(volumes, Layout((top,)))
        # The top of the file system is not in the list of its subvolumes.
        others = [path for path in ("", *paths) if path not in mounted]
        for path in others[:_MANY]:
            files = tuple(_identifying(guest, f"/{path}".rstrip("/")))
            if files:
                yield OtherSystem(device, path, files)
        for path in others[_MANY:]:
            yield OtherSystem(device, path, ())
    except EngineError:
        return  # its check says what is wrong with it
    finally:
        volumes.unmount_all()


def _identifying(guest: Guest, base: str) -> Iterator[str]:
    """The machine-id and private host keys below *base*, as paths there."""
    for name in ("etc/machine-id", "var/lib/dbus/machine-id"):
        stat = guest.lstat(f"{base}/{name}")
        if stat is not None and _ID.fullmatch(_content(guest, f"{base}/{name}")):
            yield name
    for name in guest.list(f"{base}/etc/ssh"):
        if name.startswith("ssh_host_") and name.endswith("_key"):
            yield f"etc/ssh/{name}"


def _content(guest: Guest, path: str) -> bytes:
    try:
        return guest.read(path, _ID_LIMIT)
    except OSError:
        return b""
