"""The firmware's variables: files that the new machine needs copies of its own of.

Their names come from the definition, which may be hostile: files are only looked at, and none is
copied that does not begin as such a file does.

References: UEFI Platform Initialization Specification, volume 3, 3.2.1 (EFI_FIRMWARE_VOLUME_HEADER:
"_FVH" at byte 40).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.change import Level, Note

if TYPE_CHECKING:
    from collections.abc import Sequence

    #: A place in a file, and the bytes there.
    Signature = tuple[int, bytes]

_STORE_SIGNATURE = (40, b"_FVH")
_QCOW2_SIGNATURE = (0, b"QFI\xfb")
_HEAD = 1024


def is_beside(definition: Path, name: str) -> bool:
    """Whether there is a file or folder *name* in the folder of *definition*."""
    try:
        return is_plain(name) and (definition.parent / name).exists()
    except OSError:
        return False  # a name too long to be there


def is_plain(name: str) -> bool:
    """Whether *name* is that of a file, and no path."""
    return bool(name) and name not in (".", "..") and "/" not in name and "\0" not in name


def why_not_copied(definition: Path, name: str, signatures: Sequence[Signature]) -> str:
    """Why the firmware's variables in file *name* are not copied; "" when they can be.

    Only what has one of the *signatures* is.
    """
    shown = printable(name, 200)
    lost = "without its copy the new machine starts with empty variables"
    if not is_plain(name):
        return f"{shown} is not in the machine's own folder and is not copied: {lost}"
    try:
        with (definition.parent / name).open("rb") as file:
            head = file.read(_HEAD)
    except FileNotFoundError:
        return f"{shown} is not beside the definition: {lost}"
    except OSError as error:
        return f"cannot read {shown}: {error.strerror}: {lost}"
    if not any(head[at:].startswith(signature) for at, signature in signatures):
        return f"{shown} holds no firmware variables and is not copied"
    return ""


def uefi_variables(path: str) -> tuple[bool, Note | None]:
    """Whether the UEFI variables at *path* can be copied; else what a person should know."""
    shown = printable(path, 200)
    lost = "without its copy the new machine starts with empty UEFI variables"
    if not path.startswith("/") or "\0" in path:
        return False, Note("nvram", Level.WARNING, f"{shown} is no path of this host: {lost}")
    try:
        with Path(path).open("rb") as file:
            head = file.read(64)
    except FileNotFoundError:
        return False, Note("nvram", Level.WARNING, f"{shown} is not on this host: {lost}")
    except OSError as error:
        message = f"cannot read {shown}: {error.strerror}: {lost}"
        return False, Note("nvram", Level.WARNING, message)
    for offset, signature in (_STORE_SIGNATURE, _QCOW2_SIGNATURE):
        if head[offset:].startswith(signature):
            return True, None
    return False, Note("nvram", Level.WARNING, f"{shown} holds no UEFI variables and is not copied")
