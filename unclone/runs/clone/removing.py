"""``clone --remove``: machines with all their files, and their rows in the ledger."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from unclone.images.errors import UsageError
from unclone.images.text import shown
from unclone.runs.clone import libvirt
from unclone.runs.clone.batch import read_record
from unclone.sanitize.definitions.identity_map import require_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from unclone.sanitize.identities.ledger.place import Place


def remove(
    folder: Path, names: Sequence[str], ledger: Place | None, *, unregister: bool = False
) -> list[Path]:
    """Remove the machines *names* from *folder*, with all their files; from the ledger, if given.

    With *unregister* libvirt forgets them first. Raises UncloneError, before any is removed,
    for one that is not there, and for a domain that is another machine's or not shut off.
    """
    import shutil  # noqa: PLC0415 (only needed here)

    for name in names:
        require_name(name)
    paths = [folder / name for name in names]
    for path in paths:
        if read_record(path) is None:
            raise UsageError(f"there is no machine {shown(path)}", hint="See -o, and --remove.")
    if unregister:
        libvirt.require_virsh()
        domains = {path.name: libvirt.require_idle(path) for path in paths}
        for name, xml in domains.items():
            if xml is not None:
                libvirt.unregister(name, xml)
    for path in paths:
        hidden = path.with_name(f".{path.name}.{os.getpid()}.old")
        path.rename(hidden)  # absent at once, whatever happens while its files go
        shutil.rmtree(hidden)
    if ledger is not None:
        from unclone.sanitize.identities.ledger import Ledger  # noqa: PLC0415 (only needed here)

        with Ledger.open(ledger) as opened:
            for name in names:
                if opened.machine(name) is not None:
                    opened.release(name)
    return paths
