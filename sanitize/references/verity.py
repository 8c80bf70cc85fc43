"""dm-verity: hashes over the root or /usr, and partition GUIDs made from the hash of them all.

References: systemd-veritysetup-generator(8) (``roothash=``, ``usrhash=``); UAPI Group,
"Discoverable Partitions Specification" (the GUIDs of the partition and of its hashes are the first
and the last 128 bits of the root hash).
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize.references.blocking import BlockingReference
from unclone.sanitize.renewal import Blocker
from unclone.sanitize.step import StepInfo, StepKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.facts import Facts
    from unclone.sanitize.step import PlanningContext

_ARGUMENT = re.compile(r"(?:rd\.)?(?:systemd\.verity_\w+|(?P<place>root|usr)hash)=(?P<hash>.*)")
_DIGITS = re.compile(r"[0-9a-fA-F]{64,}")


def require_unhashed(guest: Guest, facts: Facts, paths: Iterable[str]) -> None:
    """Raise RefusedError when one of the physical *paths* is on a file system that is hashed."""
    hashed = set(guest.layout.hashed)
    for match in _arguments(facts):
        if match["place"]:
            hashed.add({"root": "/", "usr": "/usr"}[match["place"]])
    if not hashed:
        return
    for path in paths:
        tops = [top for top in guest.layout.mounts if f"{path}/".startswith(f"{top.rstrip('/')}/")]
        if (top := max(tops, key=len)) in hashed:
            raise RefusedError(
                f"{printable(path)} would have to change, and dm-verity protects the file system "
                f"on {top}: the guest could not mount it any more",
                hint="Build the image anew, without what identifies a machine in it.",
            )


def _find(context: PlanningContext) -> Sequence[Blocker]:
    devices = _devices(context)
    return [
        Blocker(
            each,
            "dm-verity hashes what is there, and its root hash would not match",
            "Build the image anew for each machine.",
        )
        for each in context.renewals.renewed
        if devices is None or each.device in devices
    ]


def _devices(context: PlanningContext) -> set[str] | None:
    """The devices with hashes and with what is hashed; None when that cannot be told."""
    guest = context.guest
    file_systems = guest.file_systems()
    mounts = guest.layout.mounts
    found = {mounts[place].device for place in guest.layout.hashed & mounts.keys()}
    if found:
        found |= {fs.device for fs in file_systems if fs.type == "DM_verity_hash"}
    for match in _arguments(context.facts):
        digits = _DIGITS.fullmatch(match["hash"])
        halves = [digits[0][:32], digits[0][-32:]] if digits and match["place"] else []
        guids = [str(uuid.UUID(half)) for half in halves]
        named = {fs.device for fs in file_systems if fs.partition_uuid.lower() in guids}
        if len(named) != 2:
            return None
        found |= named
    return found


def _arguments(facts: Facts) -> Iterator[re.Match[str]]:
    for line in facts.kernel_command_lines:
        for word in line.arguments:
            if match := _ARGUMENT.fullmatch(word):
                yield match


REFERENCE = BlockingReference(
    info=StepInfo(
        id="verity",
        title="dm-verity",
        why="partition GUIDs are made from the root hash, which covers the file system's UUID",
        sources=("systemd-veritysetup-generator(8)", "systemd-gpt-auto-generator(8)"),
        kind=StepKind.KEEP,
    ),
    find=_find,
)
