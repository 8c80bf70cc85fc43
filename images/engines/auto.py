"""The default engine: it uses a virtual machine only for guests that need one."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from unclone.images.engines.direct.engine import BeyondReachError, DirectEngine
from unclone.images.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from unclone.images.engines.engine import Drive, Keys, Say
    from unclone.images.volumes import Volumes


class AutoEngine:
    """The direct engine where it supports the whole guest, else libguestfs."""

    name = "auto"

    def __init__(self) -> None:
        self._direct = DirectEngine()

    def start_ahead(self) -> AbstractContextManager[None]:
        """As ``Engine.start_ahead``, for the direct engine: it is tried first."""
        return self._direct.start_ahead()

    @contextmanager
    def open(
        self, drives: Sequence[Drive], *, keys: Keys, read_only: bool, say: Say
    ) -> Iterator[Volumes]:
        """As ``Engine.open``; *say* is called before a virtual machine is started."""
        with ExitStack() as stack:
            try:
                opening = self._direct.open(drives, keys=keys, read_only=read_only, say=say)
                volumes = stack.enter_context(opening)
            except BeyondReachError as beyond:
                from unclone.images.engines.guestfs.engine import GuestfsEngine  # noqa: PLC0415 (slow to load)

                say(f"starting a virtual machine: {beyond.message}")
                opening = GuestfsEngine().open(drives, keys=keys, read_only=read_only, say=say)
                try:
                    volumes = stack.enter_context(opening)
                except EngineError as error:  # the user did not ask for this engine
                    message = f"{error.message} (needed because {beyond.message})"
                    raise EngineError(message, hint=error.hint) from error
            yield volumes
