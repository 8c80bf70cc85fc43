"""Several file systems of one guest, each a folder of the host, to see how it mounts itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.tree import TreeVolumes, plant
from unclone.images.errors import EngineError
from unclone.images.volumes import (
    CheckResult,
    CheckState,
    FileSystem,
    Identifier,
    Kind,
    Subvolume,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


class ForestVolumes:
    """``Volumes`` as far as inspection needs it; mounting is bookkeeping.

    A btrfs subvolume is a folder in the folder of its file system. What was changed is recorded by
    nobody: inspection only reads, and mounts read-only.
    """

    engine = "forest"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._systems: list[FileSystem] = []
        self._broken: set[str] = set()
        #: Identifiers, and why each cannot be set.
        self.identified: dict[Identifier, str] = {}
        self.volume_copies: dict[str, str] = {}
        self.mounted: dict[str, str] = {}
        #: The subvolumes of the one btrfs, and which of them is the default one.
        self.listed: tuple[str | Subvolume, ...] = ()
        self.default = ""

    def add(
        self, fs: FileSystem, tree: Mapping[str, str | bytes | None], *, broken: bool = False
    ) -> None:
        folder = self._place(fs.device)
        folder.mkdir()
        plant(folder, tree)
        self._systems.append(fs)
        if broken:
            self._broken.add(fs.device)

    # -- devices ---------------------------------------------------------------------------
    def file_systems(self) -> Sequence[FileSystem]:
        return tuple(self._systems)

    def identifiers(self) -> Sequence[Identifier]:
        return tuple(self.identified)

    def volume_snapshots(self) -> Mapping[str, str]:
        return self.volume_copies

    def unsettable(self, identifier: Identifier) -> str:
        return self.identified[identifier]

    def set_identifiers(self, identifiers: Sequence[Identifier]) -> None:
        raise AssertionError("inspection changes nothing")

    def check(self, device: str, *, repair: bool, force: bool = True) -> CheckResult:
        assert not repair, "inspection changes nothing"
        state = CheckState.DAMAGED if device in self._broken else CheckState.CLEAN
        return CheckResult(device, "", state, "Bad magic number")

    def begin_check(self, device: str) -> Callable[[], CheckResult]:
        result = self.check(device, repair=False)
        return lambda: result

    def mount(self, device: str, mount_point: str, *, subvolume: str, read_only: bool) -> None:
        assert read_only, "inspection changes nothing"
        folder = self._place(device) / subvolume.strip("/")
        if device in self._broken or not folder.is_dir():
            raise EngineError(f"mount: {device}: wrong fs type, bad superblock")
        assert mount_point == "/" or self.lstat(mount_point).kind is Kind.DIRECTORY
        self.mounted[mount_point] = str(folder)

    def subvolumes(self, mount_point: str) -> tuple[Sequence[Subvolume], str]:
        assert mount_point in self.mounted
        listed = (Subvolume(each) if isinstance(each, str) else each for each in self.listed)
        return tuple(listed), self.default

    def delete_subvolumes(self, paths: Sequence[str]) -> None:
        raise AssertionError("inspection changes nothing")

    def unmount_all(self) -> None:
        self.mounted.clear()

    def close(self) -> None:
        self.unmount_all()

    def prefetch(self, directories: Sequence[str], files: Sequence[str]) -> None:
        pass

    # -- paths -----------------------------------------------------------------------------
    def __getattr__(self, name: str) -> Any:
        """Any path operation, carried out on the file system that the path is on."""

        def operation(path: str, *arguments: Any, **named: Any) -> Any:
            tops = [top for top in self.mounted if f"{path}/".startswith(f"{top.rstrip('/')}/")]
            assert tops, f"nothing is mounted at {path}"
            top = max(tops, key=len)
            tree = TreeVolumes(self._folder / self.mounted[top])
            inner = path[len(top.rstrip("/")) :] or "/"
            return getattr(tree, name)(inner, *arguments, **named)

        return operation

    def _place(self, device: str) -> Path:
        return self._folder / device.strip("/").replace("/", "_")
