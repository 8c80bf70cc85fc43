"""The spelling of each kind of identifier."""

from __future__ import annotations

import re

from unclone.images.errors import EngineError
from unclone.images.text import printable
from unclone.images.volumes import Identifier, IdentifierKind

_UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_LVM = r"[0-9A-Za-z]{6}(-[0-9A-Za-z]{4}){5}-[0-9A-Za-z]{6}"
_OTHERS = {
    IdentifierKind.VFAT_SERIAL: r"[0-9a-fA-F]{4}-[0-9a-fA-F]{4}",
    IdentifierKind.MBR_DISK_ID: r"(0x)?[0-9a-fA-F]{8}",
    IdentifierKind.LVM_PV_UUID: _LVM,
    IdentifierKind.LVM_VG_UUID: _LVM,
    IdentifierKind.MD_UUID: r"[0-9a-fA-F]{8}(:[0-9a-fA-F]{8}){3}",
}


def require_form(identifier: Identifier) -> None:
    """Raise EngineError unless the value has the form of its kind (see IdentifierKind)."""
    if not re.fullmatch(_OTHERS.get(identifier.kind, _UUID), identifier.value):
        raise EngineError(
            f"{printable(identifier.device)}: '{printable(identifier.value)}' is not an "
            f"identifier of this kind ({identifier.kind})"
        )
