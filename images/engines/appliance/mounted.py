"""A file system that is mounted in the virtual machine."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from unclone.images.engines.appliance.agent_kernel import BTRFS_DESTROY
from unclone.images.engines.direct.remote_driver import RemoteDriver
from unclone.images.errors import EngineError
from unclone.images.volumes import Subvolume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.engines.appliance.machine import Machine

_LONG = frozenset({"remove", "close"})


class Mounted(RemoteDriver):
    """A file system of type *kind*, mounted in *machine*.

    A request may take *limit* seconds of processor time, or *long_limit* where it takes long in a
    large file system.
    """

    def __init__(
        self, machine: Machine, handle: int, kind: str, *, limit: float, long_limit: float
    ) -> None:
        def call(method: str, handle: int, *arguments: Any) -> Any:  # noqa: ANN401
            most = long_limit if method in _LONG else limit
            return machine.call(method, handle, *arguments, limit=most)

        super().__init__(call, handle)
        self.kind = kind

    def call(self, method: str, *arguments: Any) -> Any:  # noqa: ANN401
        """Have *method* carried out."""
        try:
            return self._call(method, *arguments)
        except OSError as error:
            raise EngineError(f"{method} failed in the virtual machine: {error}") from error

    def search(
        self, path: bytes, needles: Sequence[bytes], exclude: Sequence[bytes], limit: int
    ) -> Sequence[bytes]:
        search = self._call("search", path, list(needles), list(exclude), limit)
        found: list[bytes] = []
        try:
            while (hits := self._remote("search_on", 0, search)) is not None:
                found += hits
        finally:
            with suppress(OSError, EngineError):
                self._remote("walk_end", 0, search)
        return found

    def subvolumes(self) -> tuple[Sequence[Subvolume], str]:
        """As ``Volumes.subvolumes``."""
        if self.kind != "btrfs":
            return (), ""
        listed, default = self.call("subvolumes")
        found = {
            number: Subvolume(os.fsdecode(path), _uuid(own), _uuid(parent), number)
            for path, own, parent, number in listed
        }
        chosen = found.get(default)
        return tuple(found.values()), chosen.path if chosen else ""

    def delete_subvolumes(self, paths: Sequence[str]) -> None:
        """Delete *paths*, and wait until their blocks are freed."""
        if self.kind != "btrfs":
            raise EngineError("no btrfs is mounted")
        numbers = {s.path: s.number for s in self.subvolumes()[0]}
        for path in paths:
            self.call("subvolume_request", BTRFS_DESTROY, b"/" + os.fsencode(path))
        while not self.call("wait_until_freed", [numbers[path] for path in paths]):
            pass


def _uuid(raw: bytes) -> str:
    from uuid import UUID  # noqa: PLC0415 (only btrfs has these)

    return str(UUID(bytes=raw)) if any(raw) else ""
