"""The engine for XFS, btrfs, LVM and LUKS without libguestfs: a virtual machine that was frozen.

It is the direct engine with a kernel: see :mod:`.volumes` and :mod:`.frozen`.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from unclone.images.engines.appliance.volumes import ApplianceVolumes
from unclone.images.engines.direct.engine import BeyondReachError, beyond_this_host, finished

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from unclone.images.engines.engine import Drive, Keys, Say
    from unclone.images.volumes import Volumes


class ApplianceEngine:
    """An :class:`unclone.images.engines.engine.Engine`."""

    name = "appliance"

    def start_ahead(self) -> AbstractContextManager[None]:
        """Start nothing: the machine is resumed with its disks."""
        return nullcontext()

    @contextmanager
    def open(
        self, drives: Sequence[Drive], *, keys: Keys, read_only: bool, say: Say
    ) -> Iterator[Volumes]:
        """Open *drives*; nothing is mounted.

        Raises BeyondReachError, with nothing changed, when something on the drives, or on this
        host, needs another engine.
        """
        with beyond_this_host(self.name):
            volumes = ApplianceVolumes(drives, keys=keys, read_only=read_only, say=say)
        with finished(volumes, drives):
            with beyond_this_host(self.name):
                volumes.require_programs()
                if why := volumes.beyond_reach():
                    raise BeyondReachError(
                        f"the appliance engine cannot open this guest: {why}",
                        hint="Use --engine guestfs.",
                    )
                if not read_only or volumes.needs_machine():
                    volumes.start()
            yield volumes
