"""dm-verity: a hash over the root file system, and partition GUIDs made from that hash.

References: systemd-veritysetup-generator(8) (``roothash=``, ``usrhash=``); UAPI Group,
"Discoverable Partitions Specification" (the GUIDs are the halves of the root hash).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.sanitize.references.blocking import BlockingReference
from unclone.sanitize.renewal import Blocker
from unclone.sanitize.step import StepInfo, StepKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.sanitize.step import PlanningContext

_HASH = re.compile(r"(rd\.)?(systemd\.verity_\w+|(root|usr)hash)=.*")


def _find(context: PlanningContext) -> Sequence[Blocker]:
    lines = context.facts.kernel_command_lines
    if not any(_HASH.match(word) for line in lines for word in line.arguments):
        return ()
    return [
        Blocker(
            each,
            "the kernel command line asks for dm-verity, and its root hash would not match",
            "Build the image anew for each machine.",
        )
        for each in context.renewals.renewed
    ]


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
