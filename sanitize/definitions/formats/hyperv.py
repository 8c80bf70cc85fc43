"""Hyper-V's own files: recognised, and refused with what to run instead.

A machine's id is the name of its .vmcx file, and Hyper-V keeps more of it than the file: only its
own import makes another machine of an export.

References: Import-VM (Hyper-V PowerShell module, -Copy and -GenerateNewId); dissect.hypervisor
c_hyperv.py for the signature of .vmcx and .vmrs files (0x01282014, little endian, at the start).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from unclone.images.errors import RefusedError
from unclone.sanitize.definitions.definition import Definition, Format

if TYPE_CHECKING:
    from unclone.sanitize.definitions.source import Source

_BINARY = bytes.fromhex("14202801")
#: XML up to Windows Server 2012 R2: <configuration> with <properties>, ids of type "string".
_SETTINGS = re.compile(rb"<configuration[\s>]")
_IDS = re.compile(rb"<(?:global_id|logical_id|vm_worker)\b")
#: .exp of Windows Server 2008: CIM instances of the virtualisation provider.
_INSTANCES = re.compile(rb'"Msvm_[A-Za-z]+"')
_MARKS = (b"\xff\xfe", b"\xfe\xff")


def detects(head: bytes) -> bool:
    """Whether it is a .vmcx, an .exp, or the XML that Hyper-V had before .vmcx."""
    if head.startswith(_BINARY):
        return True
    text = head.replace(b"\0", b"") if head[:2] in _MARKS or b"\0" in head[:4] else head
    is_xml = text.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")[:1] == b"<"
    settings = _SETTINGS.search(text) and _IDS.search(text)
    return is_xml and bool(settings or _INSTANCES.search(text))


def read(source: Source) -> NoReturn:
    """Raise RefusedError: this machine is copied by Hyper-V alone."""
    what = "Hyper-V's binary format" if source.head.startswith(_BINARY) else "Hyper-V's own format"
    raise RefusedError(
        f"{source.shown} is in {what}, which only Hyper-V can change",
        hint=(
            "Run in PowerShell: Import-VM -Path FILE -Copy -GenerateNewId, then Rename-VM. Network "
            "cards with dynamic addresses get new ones; set static ones with "
            "Set-VMNetworkAdapter -StaticMacAddress."
        ),
    )


def _read(source: Source) -> Definition:
    read(source)


FORMAT = Format(
    "hyperv", "Hyper-V (refused: use Import-VM -Copy -GenerateNewId)", (), detects, _read
)
