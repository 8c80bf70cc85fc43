"""The reference engine: libguestfs, with one appliance for one guest."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from unclone.images.engines.admission import await_admission
from unclone.images.engines.guestfs.appliance import start
from unclone.images.engines.guestfs.containers import open_containers
from unclone.images.engines.guestfs.volumes import GuestfsVolumes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from unclone.images.engines.engine import Drive, Keys, Say
    from unclone.images.volumes import Volumes


class GuestfsEngine:
    """An :class:`unclone.images.engines.engine.Engine`."""

    name = "guestfs"

    def start_ahead(self) -> AbstractContextManager[None]:
        """Start nothing: the appliance is started with its drives."""
        return nullcontext()

    @contextmanager
    def open(
        self, drives: Sequence[Drive], *, keys: Keys, read_only: bool, say: Say
    ) -> Iterator[Volumes]:
        """As ``Engine.open``. Raises RefusedError for LUKS that no key opens."""
        await_admission()
        appliance = start(drives, read_only=read_only, say=say)
        try:
            volumes = GuestfsVolumes(appliance, open_containers(appliance, keys))
            yield volumes
            volumes.close()
        except Exception:
            appliance.require_alive()  # else the error is a consequence
            raise
        finally:
            appliance.abandon()
