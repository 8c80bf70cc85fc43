"""Directories that fstab mounts over others (``bind``): what a boot sees there is kept elsewhere.

Steps look below the mount point, where a boot sees nothing. An identity in what is mounted over it
would come back, so it is refused; other such mounts are named.

Reference: mount(8) ("Bind mount operation").
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images import fstab
from unclone.images.errors import RefusedError
from unclone.images.subvolumes import identifying
from unclone.images.text import printable
from unclone.sanitize.change import Level, Note
from unclone.sanitize.files import TEXT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.images.guest import Guest

#: Where identities are kept. Nothing else that is mounted matters.
_MATTERS = re.compile(r"/(etc|var|usr|boot|efi|root)(/.*)?")
_DOES_NOT = re.compile(r"/var/(tmp|cache|spool|www)(/.*)?")


def notes(guest: Guest) -> Iterator[Note]:
    """One for each. Raises RefusedError where one hides a machine-id, host keys or the like."""
    for entry in fstab.parse(guest.text_or_empty("/etc/fstab", TEXT_LIMIT)).entries:
        if not {"bind", "rbind"} & set(entry.options) or not _is_looked_into(entry.mount_point):
            continue
        if not guest.is_dir(entry.spec):
            continue
        what = (
            f"fstab mounts the folder {printable(entry.spec, 120)} over "
            f"{printable(entry.mount_point, 120)}"
        )
        found = list(identifying(guest, guest.resolve(entry.spec).strip("/"), entry.mount_point))
        if found:
            raise RefusedError(
                f"{what}, which is not followed: "
                f"{', '.join(printable(name, 80) for name in found[:5])} in it would stay",
                hint="Remove these files in the guest, or mount the folder another way, before "
                "it is copied.",
            )
        yield Note(
            "bind-mounts",
            Level.WARNING,
            f"{what}: what is in that folder is only looked for at its own place.",
        )


def _is_looked_into(place: str) -> bool:
    return _MATTERS.fullmatch(place) is not None and not _DOES_NOT.fullmatch(place)
