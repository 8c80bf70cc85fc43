"""Files beside a definition, named in it. Names may be hostile: none leads out of the folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    #: A place in a file, and the bytes there.
    Signature = tuple[int, bytes]

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

    Only what bears one of the *signatures* is.
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
