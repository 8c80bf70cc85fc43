"""One guest without a virtual machine, as :class:`unclone.images.volumes.Volumes`."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

from unclone.images.engines.direct import checks, identifiers
from unclone.images.engines.direct.disks import Disks
from unclone.images.engines.direct.driver import as_kind, as_stat
from unclone.images.engines.direct.ext_client import ExtWorker
from unclone.images.engines.direct.in_place.tree import Tree
from unclone.images.engines.direct.mounts import Mounts, raw, text
from unclone.images.engines.direct.vfat.filesystem import FatFileSystem
from unclone.images.errors import EngineError
from unclone.images.file_systems.fat_boot_sector import parse_sane
from unclone.images.process import require_program
from unclone.images.volumes import CheckResult, CheckState, Kind, Member, Stat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from unclone.images.engines.direct.devices import Device
    from unclone.images.engines.direct.driver import Driver
    from unclone.images.engines.direct.in_place.formats import InPlace
    from unclone.images.engines.engine import Drive
    from unclone.images.volumes import FileSystem, Identifier


class DirectVolumes(Mounts):
    """The guest on *drives*.

    With *read_only* the drives stay as they are: replayed journals go to a temporary file.
    """

    engine = "direct"

    def __init__(self, drives: Sequence[Drive], *, read_only: bool, in_place: bool = False) -> None:
        self._read_only = read_only
        self._in_place: Mapping[str, InPlace] = {}
        if in_place:
            from unclone.images.engines.direct.in_place.formats import FORMATS  # noqa: PLC0415 (for stamps only)

            self._in_place = FORMATS
        self._worker = ExtWorker()  # starts while the disks are being opened
        self._mounts = {}
        self._devices: Sequence[Device] = ()
        try:
            self._disks = Disks(drives, scratch=read_only)
        except BaseException:
            self._worker.end()
            raise
        self._checks = checks.Checks(self._disks.as_file)

    def require_programs(self) -> None:
        """Raise EngineError, or ToolError, where this host lacks what the guest needs."""
        found = [device.content.ext for device in self._read() if device.content.ext is not None]
        if found:
            self._worker.require_ready()
        if any(not self._read_only or ext.needs_check for ext in found):
            require_program("e2fsck")

    def beyond_reach(self, *, clean: bool = True) -> str:
        """What it cannot open, or ""; *clean* also counts what has to be replayed first."""
        devices = self._read()
        found: Sequence[str] = [
            f"{d.name} holds {d.content.beyond}" for d in devices if d.content.beyond
        ]
        if self._in_place:
            from unclone.images.engines.direct.in_place.formats import beyond_reach  # noqa: PLC0415 (as above)

            found = beyond_reach(devices, self._in_place, clean=clean)
        return "; ".join(found or checks.too_large(self._read(), self._disks.free_space()))

    # -- devices ---------------------------------------------------------------------------
    def file_systems(self) -> Sequence[FileSystem]:
        """Everything on the drives that can be mounted or swapped to."""
        return [device.file_system() for device in self._read() if device.is_mountable]

    def identifiers(self) -> Sequence[Identifier]:
        """Every identifier, as it is on the disks."""
        self._devices = ()
        return identifiers.read_identifiers(self._read())

    def unsettable(self, identifier: Identifier) -> str:
        """Why *identifier* cannot be set to another value; "" when it can."""
        return identifiers.unsettable(identifier, self._read())

    def set_identifiers(self, wanted: Sequence[Identifier]) -> None:
        """Set each of *wanted*; nothing is mounted."""
        for identifier in wanted:
            if self._mounts:
                raise EngineError(f"{identifier.device}: something is still mounted")
            # The devices are read again: a change may affect the next one.
            devices, self._devices = self._read(), ()
            formats = self._formats(identifier, devices)
            identifiers.set_identifier(identifier, devices, self._disks.as_file, formats)

    def keep_checksum_seeds(self) -> None:
        """Keep the seed of every ext4's checksums in its superblock; nothing is mounted."""
        identifiers.keep_checksum_seeds(self._read())

    def check(self, device: str, *, repair: bool, force: bool = True) -> CheckResult:
        """Check the unmounted file system on *device*; *repair* replays and fixes first.

        Without *force*, one that says it is clean is not checked before a repair, as a mount does
        not: damage in it is found by the check after the changes.
        """
        found = self._unmounted(device)
        in_place = found.type in self._in_place  # it is clean, else it is beyond reach
        if repair and not force and (found.content.says_clean or in_place):
            said = (CheckState.NOT_CHECKED, "its superblock says that it is clean")
            return CheckResult(device, found.type, *said, skipped=True)
        if repair:
            self._devices = ()
        return checks.check(found, self._disks.as_file, repair=repair)

    def begin_check(self, device: str) -> Callable[[], CheckResult]:
        """As :meth:`unclone.images.volumes.Volumes.begin_check`.

        From now on what was written is read from the image's own file.
        """
        self._disks.settle()
        self._devices = ()
        found = self._unmounted(device)
        if found.content.ext is None or found.content.ext.needs_check:
            result = self.check(device, repair=False)
            return lambda: result
        return self._checks.begin(found)

    # -- mounting --------------------------------------------------------------------------
    def mount(self, device: str, mount_point: str, *, subvolume: str, read_only: bool) -> None:
        """Mount *device* at *mount_point* of the guest root ("/" first)."""
        if mount_point != "/" and self.lstat(mount_point).kind is not Kind.DIRECTORY:
            raise NotADirectoryError(errno.ENOTDIR, "is not a directory", mount_point)
        driver = self._shared(device, subvolume)
        if driver is None:
            on = self._device(device)
            driver = self._open(on, subvolume=subvolume, read_only=read_only)
        self._mounts[mount_point] = device, subvolume, driver
        if not read_only:  # what is going to be written will be checked
            self._checks.prepare()

    def unmount_all(self) -> None:
        """Unmount everything and write it to the drives."""
        drivers = {id(driver): driver for *_, driver in self._mounts.values()}
        self._mounts.clear()
        self._devices = ()
        for driver in drivers.values():
            try:
                driver.close()
            except OSError as error:
                raise EngineError(f"a file system could not be written: {error}") from error

    # -- reading ---------------------------------------------------------------------------
    def lstat(self, path: str) -> Stat:
        """The inode at *path*."""
        driver, below = self._at(path)
        with _about(path):
            return as_stat(driver.lstat(below))

    def scan(self, path: str) -> Mapping[str, Kind]:
        """The names in directory *path* and what each is."""
        driver, below = self._at(path)
        with _about(path):
            return {text(name): as_kind(mode) for name, mode in driver.scan(below)}

    def readlink(self, path: str) -> str:
        """The target text of the symlink at *path*."""
        driver, below = self._at(path)
        try:
            return text(driver.readlink(below))
        except OSError as error:
            raise _named(error, path) from None

    def read(self, path: str, limit: int) -> bytes:
        """The first *limit* bytes of the regular file at *path*."""
        driver, below = self._at(path)
        try:
            return driver.read(below, limit)
        except OSError as error:
            raise _named(error, path) from None

    def get_xattrs(self, path: str) -> Mapping[str, bytes]:
        """The extended attributes of *path*."""
        driver, below = self._at(path)
        try:
            return driver.get_xattrs(below)
        except OSError as error:
            raise _named(error, path) from None

    def walk(self, path: str, *, exclude: Sequence[str], limit: int) -> Iterator[Member]:
        """Every inode below directory *path*, on mounted file systems below it too."""
        for top in self._tops(path, exclude):
            if top != path:
                yield Member(top, self.lstat(top))
            driver, below, outside, left_out = self._part(top, exclude)
            try:
                for met, found, content, target in driver.walk(below, left_out, limit):
                    yield Member(outside + text(met), as_stat(found), content, text(target))
            except OSError as error:
                raise _named(error, top) from None

    def search(
        self, paths: Sequence[str], needles: Sequence[bytes], *, exclude: Sequence[str], limit: int
    ) -> Sequence[str]:
        """Everything below the directories *paths* that holds one of *needles*, sorted."""
        found: list[str] = []
        for top in [top for path in paths for top in self._tops(path, exclude)]:
            if top not in paths and any(n in raw(top.rpartition("/")[2]) for n in needles):
                found.append(top)
            driver, below, outside, left_out = self._part(top, exclude)
            try:
                hits = driver.search(below, needles, left_out, limit)
            except OSError as error:
                raise _named(error, top) from None
            found.extend(outside + text(hit) for hit in hits)
        return sorted(found)

    # -- writing ---------------------------------------------------------------------------
    def write(self, path: str, content: bytes, *, keep: int = 0) -> None:
        """Replace what the regular file at *path* holds behind its first *keep* bytes, in place."""
        driver, below = self._at(path)
        with _about(path):
            driver.write(below, content, keep)

    def create(self, path: str, content: bytes, *, mode: int, uid: int, gid: int) -> None:
        """Make a regular file; ``FileExistsError`` when the name is taken."""
        driver, below = self._at(path)
        with _about(path):
            driver.create(below, content, mode, uid, gid)

    def remove(self, path: str) -> None:
        """Remove the file, symlink or whole tree at *path*."""
        self._require_no_mount(path)
        driver, below = self._at(path)
        with _about(path):
            driver.remove(below)

    def rename(self, old: str, new: str) -> None:
        """Rename within one file system, replacing a file at *new*."""
        self._require_no_mount(old)
        self._require_no_mount(new)
        source, old_below = self._at(old)
        target, new_below = self._at(new)
        if source is not target:
            raise OSError(errno.EXDEV, "is on another file system", old, None, new)
        try:
            source.rename(old_below, new_below)
        except OSError as error:
            raise _named(error, old) from None

    def make_directory(self, path: str, *, mode: int, uid: int, gid: int) -> None:
        """Make one directory."""
        driver, below = self._at(path)
        with _about(path):
            driver.make_directory(below, mode, uid, gid)

    def make_symlink(self, path: str, target: str) -> None:
        """Make a symlink at *path* that holds *target* as its text."""
        driver, below = self._at(path)
        with _about(path):
            driver.make_symlink(below, raw(target))

    def set_owner(self, path: str, *, uid: int, gid: int) -> None:
        """Change owner and group."""
        driver, below = self._at(path)
        with _about(path):
            driver.set_owner(below, uid, gid)

    def set_mode(self, path: str, mode: int) -> None:
        """Change the permission bits."""
        driver, below = self._at(path)
        with _about(path):
            driver.set_mode(below, mode)

    def set_xattr(self, path: str, name: str, value: bytes) -> None:
        """Set one extended attribute."""
        driver, below = self._at(path)
        with _about(path):
            driver.set_xattr(below, name, value)

    # -- the end ---------------------------------------------------------------------------
    def close(self) -> None:
        """Write everything out and close the drives."""
        try:
            self._checks.end()
            self.unmount_all()
            self._disks.end()
        finally:
            self.drop()

    def require_alive(self) -> None:
        """Raise KilledError when something else has killed one of the helper programs."""
        self._worker.require_alive()
        self._disks.require_alive()

    @property
    def failure(self) -> EngineError | None:
        """Why a program that reads the file systems has ended, where that was not asked for."""
        return self._worker.failure

    def drop(self) -> None:
        """Close the drives as they are, at once. Safe to call twice."""
        self._checks.end()
        for *_, driver in self._mounts.values():
            driver.drop()
        self._mounts.clear()
        self._worker.end()
        self._disks.drop()

    # -- helpers ---------------------------------------------------------------------------
    def _formats(self, identifier: Identifier, devices: Sequence[Device]) -> Mapping[str, InPlace]:
        """The formats in which *identifier* is set without a tool."""
        del identifier, devices
        return self._in_place

    def _read(self) -> Sequence[Device]:
        if not self._devices:
            self._devices = self._disks.devices()
            if self._in_place:
                from unclone.images.engines.direct.in_place.logical_volumes import logical_volumes  # noqa: PLC0415 (as above)

                self._devices = [*self._devices, *logical_volumes(self._devices)]
        return self._devices

    def _device(self, name: str) -> Device:
        for device in self._read():
            if device.name == name:
                return device
        raise FileNotFoundError(errno.ENOENT, "the guest has no such device", name)

    def _unmounted(self, name: str) -> Device:
        if any(device == name for device, *_ in self._mounts.values()):
            raise EngineError(f"{name} is mounted")
        return self._device(name)

    def _open(self, device: Device, *, subvolume: str, read_only: bool) -> Driver:
        content = device.content
        if device.type in self._in_place:
            form = self._in_place[device.type].open(device.open())
            return Tree(form, subvolume, writable=not read_only)
        if subvolume:
            raise EngineError("the direct engine does not support subvolumes")
        if content.beyond:
            raise EngineError(f"{device.name} holds {content.beyond}")
        if content.ext is not None:
            if content.ext.needs_check:
                checks.replay(device, self._disks.as_file)
                self._devices = ()
            ext = self._device(device.name).content.ext
            if ext is None:
                raise EngineError(f"the file system on {device.name} is damaged")
            return self._worker.open(device.disk, device.start, ext, writable=not read_only)
        if content.type == "vfat":
            volume = device.open()
            boot = parse_sane(volume.read(0, 512), volume.size)
            if boot is not None:
                return FatFileSystem(volume, boot, writable=not read_only)
            volume.close()
        raise EngineError(f"{device.name} holds nothing that can be mounted ({content.type})")


@contextmanager
def _about(path: str) -> Iterator[None]:
    """Name *path* in what is raised."""
    try:
        yield
    except OSError as error:
        raise _named(error, path) from None


def _named(error: OSError, path: str) -> OSError:
    return OSError(error.errno, f"{error.strerror} (in the guest)", path)
