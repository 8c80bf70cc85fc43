"""What is mounted over a directory or a file from elsewhere in the guest: it is not followed.

Steps look below the mount point, where a boot sees nothing. An identity in what is mounted over it
(a directory or file with ``bind``, the upper directory of an overlay) would come back, so it is
refused; other such mounts, and images that are mounted through a loop device, are named.

References: mount(8) ("Bind mount operation", "The loop device"); systemd.mount(5); Linux
Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images import fstab, mount_units
from unclone.images.errors import RefusedError
from unclone.images.subvolumes import identifying, is_identity
from unclone.images.text import printable
from unclone.sanitize.change import Level, Note
from unclone.sanitize.files import TEXT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.images.fstab import Entry
    from unclone.images.guest import Guest

#: Where identities are kept. Nothing else that is mounted matters.
_MATTERS = re.compile(r"/(etc|var|usr|boot|efi|root)(/.*)?")
_DOES_NOT = re.compile(r"/var/(tmp|cache|spool|www)(/.*)?")

_LAYERS = re.compile(r"(?:upperdir|lowerdir\+?)=(.*)")
#: Where the initrd has the root, when it is the one that mounts.
_IN_INITRD = re.compile(r"^/sysroot(?=/)")
_BETWEEN_LAYERS = re.compile(r"(?<!\\):+")


def notes(guest: Guest) -> Iterator[Note]:
    """One for each. Raises RefusedError where one hides a machine-id, host keys or the like."""
    table = fstab.parse(guest.text_or_empty("/etc/fstab", TEXT_LIMIT)).entries
    for entry in mount_units.merged(table, guest):
        place = _resolved(guest, entry.mount_point)
        if not _MATTERS.fullmatch(place) or _DOES_NOT.fullmatch(place):
            continue
        for source in _sources(guest, entry):
            physical = _resolved(guest, source)
            is_folder = guest.is_dir(physical)
            if physical == place or not (is_folder or guest.is_file(physical)):
                continue  # the lowest layer of an overlay is looked at where it is
            what = (
                f"{printable(entry.unit, 120) or 'fstab'} mounts the "
                f"{'folder' if is_folder else 'file'} {printable(source, 120)} over "
                f"{printable(entry.mount_point, 120)}"
            )
            if found := list(_identities(guest, physical, place)):
                raise RefusedError(
                    f"{what}, which is not followed: "
                    f"{', '.join(printable(name, 80) for name in found[:5])} in it would stay",
                    hint="Remove these files in the guest, or mount the folder another way, before "
                    "it is copied.",
                )
            if is_folder or _is_bind(entry):
                left = f"what is in that {'folder' if is_folder else 'file'} is only looked for at "
                yield Note("bind-mounts", Level.WARNING, f"{what}: {left}its own place.")
            else:
                left = "what is in that image is not looked at, and stays"
                yield Note("bind-mounts", Level.KEPT, f"{what}: {left}.")


def _sources(guest: Guest, entry: Entry) -> Iterator[str]:
    """The paths in the guest that *entry* mounts; a device is none."""
    if entry.type == "overlay":
        for option in entry.options:
            if layers := _LAYERS.fullmatch(option):
                for layer in _BETWEEN_LAYERS.split(layers[1]):
                    yield _IN_INITRD.sub("", re.sub(r"\\(.)", r"\1", layer))
    elif _is_bind(entry) or guest.is_file(entry.spec):
        yield entry.spec


def _is_bind(entry: Entry) -> bool:
    return bool({"bind", "rbind"} & set(entry.options))


def _identities(guest: Guest, source: str, place: str) -> Iterator[str]:
    """What identifies the original in *source*, which is seen at *place*."""
    if guest.is_dir(source):
        yield from identifying(guest, source.strip("/"), place)
    elif is_identity(guest, source, place):
        yield source


def _resolved(guest: Guest, path: str) -> str:
    try:
        return guest.resolve(path)
    except OSError:
        return path
