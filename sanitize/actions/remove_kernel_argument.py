"""Take one argument out of every kernel command line in a file.

Details: ``kind`` (an ``ArgumentKind``), ``name`` of the argument, ``prefix`` (only where its value
begins with this), ``keep`` (values it may have), ``later`` (the file's path at the end of the run,
when a later change renames it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.boot import grubenv, pe
from unclone.sanitize.boot.efi_programs import SIZE_LIMIT
from unclone.sanitize.boot.kernel_arguments import (
    ArgumentKind,
    KernelArgumentFile,
    blanked,
    read,
    values,
    without,
)

if TYPE_CHECKING:
    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change


class RemoveKernelArgument:
    """Afterwards no line of the file has the argument. Everything else is as it was."""

    def apply(self, guest: Guest, change: Change) -> str:
        """Edit the text; a GRUB environment block and an EFI program keep their size."""
        kind = ArgumentKind(change.details["kind"])
        if kind is ArgumentKind.UKI:
            _blank(guest, change)
            return ""
        text = guest.read_text(change.target)
        name, prefix, keep = _argument(change)
        changed = without(text, kind, name, prefix=prefix, keep=keep)
        if kind is ArgumentKind.GRUBENV:
            changed = grubenv.refit(changed, len(text.encode("utf-8", "surrogateescape")))
        if changed != text:
            guest.write(change.target, changed.encode("utf-8", "surrogateescape"))
        return ""

    def verify(self, guest: Guest, change: Change, learned: str) -> str:  # noqa: ARG002
        """Parse the file again."""
        path = change.details.get("later") or change.target
        kind = ArgumentKind(change.details["kind"])
        name, prefix, keep = _argument(change)
        text = read(guest, KernelArgumentFile(path, kind))
        left = {value for value in values(text, kind, name) if value.startswith(prefix)}
        return f"{printable(path)} still has {name}={prefix}" if left - set(keep) else ""


def _argument(change: Change) -> tuple[str, str, list[str]]:
    details = change.details
    return details["name"], details.get("prefix", ""), details["keep"]


def _blank(guest: Guest, change: Change) -> None:
    """In an EFI program nothing may move. Raises RefusedError for one that is signed."""
    name, prefix, keep = _argument(change)

    def rewrite(section: bytes) -> bytes:
        text = section.decode("utf-8", "surrogateescape")
        changed = blanked(text, ArgumentKind.UKI, name, prefix=prefix, keep=keep)
        return changed.encode("utf-8", "surrogateescape")

    before = guest.read(change.target, SIZE_LIMIT)
    after = pe.patched(before, ".cmdline", rewrite)
    if after != before:
        guest.write(change.target, after)
