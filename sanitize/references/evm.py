"""EVM: the kernel's integrity codes over a file's attributes include the file system's UUID.

Reference: Linux security/integrity/evm/Kconfig (EVM_ATTR_FSUUID, on by default).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.volumes import IdentifierKind
from unclone.sanitize.references.blocking import BlockingReference
from unclone.sanitize.renewal import Blocker
from unclone.sanitize.step import StepInfo, StepKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.sanitize.step import PlanningContext

#: Labelled when anything is.
_SAMPLES = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd", "/sbin/init", "/etc/fstab")


def _find(context: PlanningContext) -> Sequence[Blocker]:
    guest = context.guest
    if not any(
        "security.evm" in guest.xattrs(guest.resolve(path))
        for path in _SAMPLES
        if guest.is_file(path)
    ):
        return ()
    return [
        Blocker(
            each,
            "its files carry EVM integrity codes, which the UUID is part of",
            "Change the UUID in the guest, and sign its files again with evmctl.",
        )
        for each in context.renewals.renewed
        if each.kind is IdentifierKind.FILE_SYSTEM_UUID
    ]


REFERENCE = BlockingReference(
    info=StepInfo(
        id="evm",
        title="EVM integrity codes",
        why="with another file system UUID the kernel considers every file tampered with",
        sources=("evmctl(1)", "Linux: security/integrity/evm/Kconfig"),
        kind=StepKind.KEEP,
    ),
    find=_find,
)
