"""The engine that needs no virtual machine, no root and no KVM: ext2/3/4, vfat, swap, GPT, MBR.

libext2fs, in a process of its own, and our own FAT code change the file systems in a scratch file
for the image; the overlay is written from it at the end. It needs no FUSE and no daemon. A guest
that is not supported is refused, with the reason, before anything is changed.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from unclone.images.engines.direct import helpers
from unclone.images.engines.direct.volumes import DirectVolumes
from unclone.images.errors import EngineError, RefusedError, ToolError, UncloneError, is_full
from unclone.images.files import temporary_directory
from unclone.images.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from unclone.images.engines.engine import Drive, Keys, Say
    from unclone.images.volumes import Volumes

__all__ = ["BeyondReachError", "DirectEngine", "reach"]


class BeyondReachError(EngineError):
    """The direct engine does not support the guest."""


class DirectEngine:
    """An :class:`unclone.images.engines.engine.Engine`."""

    name = "direct"

    def __init__(self, *, in_place: bool = False) -> None:
        """With *in_place* it also overwrites content in the formats of ``in_place``."""
        self._in_place = in_place

    def start_ahead(self) -> AbstractContextManager[None]:
        """As ``Engine.start_ahead``: the ext worker."""
        return helpers.start_ahead()

    @contextmanager
    def open(
        self, drives: Sequence[Drive], *, keys: Keys, read_only: bool, say: Say
    ) -> Iterator[Volumes]:
        """Open *drives*; nothing is mounted. *keys* and *say* are not needed.

        Raises BeyondReachError, with nothing changed, when something on the drives needs another
        engine.
        """
        del keys, say
        with beyond_this_host(self.name):
            volumes = DirectVolumes(drives, read_only=read_only, in_place=self._in_place)
        with finished(volumes, drives):
            with beyond_this_host(self.name):
                _require_reach(volumes)
            yield volumes


@contextmanager
def finished(volumes: DirectVolumes, drives: Sequence[Drive]) -> Iterator[None]:
    """Close *volumes*, which are on *drives*, at the end; by an exception, unfinished.

    An EngineError then says whether another engine may do what failed.
    """
    try:
        yield
        volumes.close()
    except Exception as error:
        volumes.require_alive()  # else the error is a consequence
        if isinstance(error, EngineError):
            error.engine = volumes.engine if _is_of_this_engine(error, drives) else ""
            if is_full(error.message):
                error.hint = error.hint or "Free some space there, or in TMPDIR, and try again."
        elif isinstance(error, RefusedError) and (failure := volumes.failure) is not None:
            # Nothing could be read any more: that says nothing of the guest.
            failure.engine = volumes.engine
            raise failure from error
        raise
    finally:
        volumes.drop()


@contextmanager
def beyond_this_host(engine: str) -> Iterator[None]:
    """What fails while a guest is opened, and not because of the guest, another engine can do."""
    try:
        yield
    except UncloneError as error:
        if type(error) not in {UncloneError, EngineError, ToolError}:
            raise
        raise BeyondReachError(
            f"the {engine} engine does not work here: {error.message}",
            hint=error.hint or "Use --engine guestfs.",
        ) from error


def _is_of_this_engine(error: EngineError, drives: Sequence[Drive]) -> bool:
    """Whether another engine may do what failed with *error*."""
    if not is_full(error.message):
        # What the guest's file system answered, another engine would be answered, too.
        cause = error.__cause__
        return not isinstance(cause, OSError) or isinstance(cause, ConnectionError)
    temporary = temporary_directory().stat().st_dev
    return not any(
        temporary == drive.path.stat().st_dev or shown(drive.path) in error.message
        for drive in drives
    )


def reach(drives: Sequence[Drive], *, once_prepared: bool = False) -> str:
    """Why this engine does not support the guest on *drives*; "" when it does.

    With *once_prepared*: why it would not with ``in_place``, after a kernel has unmounted it.
    """
    volumes = DirectVolumes(drives, read_only=True, in_place=once_prepared)
    try:
        return volumes.beyond_reach(clean=not once_prepared)
    finally:
        volumes.drop()


def keep_checksum_seeds(drives: Sequence[Drive]) -> None:
    """Write the checksum seed of each ext4 on *drives* to its superblock.

    A new UUID then changes no other checksum. Linux supports this since 4.4, GRUB since about 2.06.
    Raises EngineError.
    """
    volumes = DirectVolumes(drives, read_only=False, in_place=True)
    try:
        volumes.keep_checksum_seeds()
    except BaseException:
        volumes.drop()
        raise
    volumes.close()


def _require_reach(volumes: DirectVolumes) -> None:
    volumes.require_programs()
    if why := volumes.beyond_reach():
        raise BeyondReachError(
            f"the direct engine cannot open this guest: {why}", hint="Use --engine guestfs."
        )
