"""Hyper-V's own files: recognised, and refused with what to run instead.

A machine's id is the name of its .vmcx file, and Hyper-V keeps more of it than the file: only its
own import makes another machine of an export.

References: Import-VM (Hyper-V PowerShell module, -Copy and -GenerateNewId); dissect.hypervisor
c_hyperv.py for the signature of .vmcx and .vmrs files (0x01282014, little endian, at the start).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from unclone.images.errors import RefusedError
from unclone.sanitize.definitions.formats.hyperv import BINARY

if TYPE_CHECKING:
    from unclone.sanitize.definitions.text.source import Source


def read(source: Source) -> NoReturn:
    """Raise RefusedError: this machine is copied by Hyper-V alone."""
    what = "Hyper-V's binary format" if source.head.startswith(BINARY) else "Hyper-V's own format"
    raise RefusedError(
        f"{source.shown} is in {what}, which only Hyper-V can change",
        hint=(
            "Run in PowerShell: Import-VM -Path FILE -Copy -GenerateNewId, then Rename-VM. Network "
            "cards with dynamic addresses get new ones; set static ones with "
            "Set-VMNetworkAdapter -StaticMacAddress."
        ),
    )
