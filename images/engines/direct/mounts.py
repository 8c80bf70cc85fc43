"""Which mounted file system a path is on, and the path in it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from unclone.images.engines.direct.no_snapshots import NoSnapshots
from unclone.images.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.engines.direct.driver import Driver


class Mounts(NoSnapshots):
    """Methods of ``Volumes``, and helpers, that pass paths on to the file systems they are on."""

    def prefetch(self, directories: Sequence[str], files: Sequence[str]) -> None:
        """As :meth:`unclone.images.volumes.Volumes.prefetch`."""
        wanted: dict[int, tuple[Driver, tuple[list[bytes], list[bytes]]]] = {}
        for number, paths in enumerate((directories, files)):
            for path in paths:
                driver, below = self._at(path)
                wanted.setdefault(id(driver), (driver, ([], [])))[1][number].append(below)
        for driver, both in wanted.values():
            driver.prefetch(*both)

    def _at(self, path: str) -> tuple[Driver, bytes]:
        """The file system that *path* is on, and the path in it."""
        inside = f"{path.rstrip('/')}/"
        places = (m for m in self._mounts if inside.startswith(f"{m.rstrip('/')}/"))
        place = max(places, key=len, default="")
        if not place:
            raise EngineError("nothing is mounted")
        below = path if place == "/" else path[len(place) :]
        return self._mounts[place][2], raw(below) or b"/"

    def _tops(self, path: str, exclude: Sequence[str]) -> Sequence[str]:
        """*path* and the mount points below it that are not excluded: one walk for each."""
        place = path.rstrip("/")
        mounted = [m for m in self._mounts if m != "/" and m.startswith(f"{place}/")]
        kept = [
            m for m in mounted if not any(f"{m}/".startswith(f"{e.rstrip('/')}/") for e in exclude)
        ]
        return [path, *kept]

    def _part(
        self, path: str, exclude: Sequence[str]
    ) -> tuple[Driver, bytes, str, Sequence[bytes]]:
        """The driver for *path*, *path* in it, its mount point, and what to leave out there."""
        driver, below = self._at(path)
        inner = text(below).strip("/")
        place = path.rstrip("/")
        outside = place[: len(place) - len(inner)].rstrip("/") if inner else place
        left_out = [*exclude, *self._mounts]
        inside = [raw(e[len(outside) :]) for e in left_out if e.startswith(f"{outside}/")]
        return driver, below, outside, [e for e in inside if e != b"/"]

    def _require_no_mount(self, path: str) -> None:
        place = path.rstrip("/")
        if any(m == place or m.startswith(f"{place}/") for m in self._mounts):
            raise OSError(errno.EBUSY, "something is mounted there", path)


def raw(path: str) -> bytes:
    """*path* as the bytes that a file system has."""
    if "\0" in path:
        raise ValueError("embedded null byte")
    return path.encode("utf-8", "surrogateescape")


def text(path: bytes) -> str:
    """*path* as a guest path; what is not UTF-8 is escaped (PEP 383)."""
    return path.decode("utf-8", "surrogateescape")
