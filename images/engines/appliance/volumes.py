"""One guest, with a virtual machine for the file systems that only a kernel opens.

Everything else is as in the direct engine: ext and FAT, identifiers, checks, and the overlay that
is written at the end. The machine has one disk for each volume that it may mount; this process
serves it from the guest's disks, and reads them itself while nothing of it is mounted.
"""

from __future__ import annotations

import os
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from unclone.images.engines.appliance import frozen
from unclone.images.engines.appliance.agent_kernel import BTRFS_DESTROY
from unclone.images.engines.appliance.contained import Apart, Contained, Containers, is_container
from unclone.images.engines.appliance.nbd_export import Export, Exports
from unclone.images.engines.direct.checks import too_large
from unclone.images.engines.direct.remote_driver import RemoteDriver
from unclone.images.engines.direct.volumes import DirectVolumes
from unclone.images.errors import EngineError
from unclone.images.file_systems import ext
from unclone.images.file_systems.table import type_of
from unclone.images.identifiers import devices as identified
from unclone.images.process import require_program
from unclone.images.text import printable
from unclone.images.volumes import CheckResult, CheckState, IdentifierKind, Subvolume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.blocks import Blocks
    from unclone.images.engines.appliance.machine import Machine
    from unclone.images.engines.direct.devices import Device
    from unclone.images.engines.direct.driver import Driver
    from unclone.images.engines.engine import Drive, Keys, Say
    from unclone.images.volumes import Identifier

#: What the machine mounts wherever it is; ext only in a container.
TYPES = frozenset({"xfs", "btrfs"})
_EXT = frozenset(ext.TYPE.names)

#: Seconds of processor time: for a mount, which a hostile file system could keep busy; for one
#: request; for what takes long in a large one.
_MOUNT_LIMIT, LIMIT, LONG_LIMIT = 10.0, 60.0, 600.0
_LONG = frozenset({"remove", "close"})


class ApplianceVolumes(DirectVolumes):
    """The guest on *drives*; the machine is started when something is mounted in it first."""

    engine = "appliance"

    def __init__(self, drives: Sequence[Drive], *, keys: Keys, read_only: bool, say: Say) -> None:
        super().__init__(drives, read_only=read_only)
        self._say = say
        self._machine: Machine | None = None
        self._types: Sequence[str] = ()
        self._exports: dict[str, Export] = {}
        self._server: Exports | None = None
        self._containers = Containers(keys)
        #: Why a container, or a volume of LVM, cannot be opened.
        self._closed: Sequence[str] = ()
        #: Devices that were mounted writable and unmounted: their logs are empty.
        self._settled: set[str] = set()

    def require_programs(self) -> None:
        """As ``DirectVolumes``; what the machine mounts is checked by the host's programs."""
        super().require_programs()
        for device in self._read():
            checker = type_of(device.type).checker
            if _in_machine(device) and checker and not self._read_only:
                require_program(checker.check[0])

    def beyond_reach(self, *, clean: bool = True) -> str:
        """As ``DirectVolumes``; the machine replays what is not *clean*."""
        del clean
        found = [
            f"{device.name} holds {why}" for device in self._read() if (why := _beyond(device))
        ]
        return "; ".join(
            [*self._closed, *found] or too_large(self._read(), self._disks.free_space())
        )

    def start(self) -> None:
        """Start the machine, if there is something for it. Raises EngineError."""
        devices = [device for device in self._read() if _in_machine(device)]
        if not devices or self._machine is not None:
            return
        self._machine, self._types = frozen.start(lambda: self._attach(devices), self._say)
        for export in self._exports.values():
            export.theirs.close()
        for device in devices:
            if self._kind(device) not in self._types:
                raise EngineError(f"this host's kernel has no {device.type}, as {device.name} has")

    # -- devices ---------------------------------------------------------------------------
    def set_identifiers(self, wanted: Sequence[Identifier]) -> None:
        """Set each of *wanted*; nothing is mounted."""
        for identifier in wanted:
            if identifier.kind is IdentifierKind.FILE_SYSTEM_UUID and not identified.has(
                identifier, self._read()
            ):
                self._settle(identifier.device)
        super().set_identifiers(wanted)

    def check(self, device: str, *, repair: bool, force: bool = True) -> CheckResult:
        """As the direct engine; a mount replays the log first where only that does."""
        found = self._unmounted(device)
        if repair and _in_machine(found):
            if not force:  # the mount replays its log, and refuses what it cannot use
                said = "it is not checked before it is mounted"
                return CheckResult(device, found.type, CheckState.NOT_CHECKED, said, skipped=True)
            self._settle(device)
        return super().check(device, repair=repair, force=force)

    def unmount_all(self) -> None:
        """Unmount everything and write it to the drives."""
        super().unmount_all()
        failures = [export.failure for export in self._exports.values() if export.failure]
        for export in self._exports.values():
            export.detach()
        if failures:
            raise EngineError(f"a disk of the virtual machine failed: {failures[0]}")

    def subvolumes(self, mount_point: str) -> tuple[Sequence[Subvolume], str]:
        """As ``Volumes.subvolumes``."""
        driver, _ = self._at(mount_point)
        if not isinstance(driver, _Mounted) or driver.kind != "btrfs":
            return (), ""
        listed, default = driver.call("subvolumes")
        found = {
            number: Subvolume(_text(path), _uuid(own), _uuid(parent), number)
            for path, own, parent, number in listed
        }
        chosen = found.get(default)
        return tuple(found.values()), chosen.path if chosen else ""

    def delete_subvolumes(self, paths: Sequence[str]) -> None:
        """Delete *paths*, and wait until their blocks are freed."""
        driver, _ = self._at("/")
        if not isinstance(driver, _Mounted) or driver.kind != "btrfs":
            raise EngineError("no btrfs is mounted")
        numbers = {s.path: s.number for s in self.subvolumes("/")[0]}
        for path in paths:
            driver.call("subvolume_request", BTRFS_DESTROY, b"/" + _raw(path))
        while not driver.call("wait_until_freed", [numbers[path] for path in paths]):
            pass

    # -- the end ---------------------------------------------------------------------------
    def close(self) -> None:
        """Write everything out and close the drives."""
        try:
            if self._mounts:
                self.unmount_all()
            self._stop()
            super().close()
        finally:
            self.drop()

    def require_alive(self) -> None:
        """Raise KilledError when something else has killed one of the helper programs."""
        if self._machine is not None:
            self._machine.require_alive()
        super().require_alive()

    @property
    def failure(self) -> EngineError | None:
        """As ``DirectVolumes.failure``; of the machine, too."""
        return (self._machine and self._machine.failure) or super().failure

    def drop(self) -> None:
        """Close the drives as they are, at once. Safe to call twice."""
        self._stop()
        super().drop()

    # -- helpers ---------------------------------------------------------------------------
    def _read(self) -> Sequence[Device]:
        if not self._devices:
            devices = super()._read()
            contained, self._closed = self._containers.open(devices)
            self._devices = [*devices, *contained]
        return self._devices

    def _attach(self, devices: Sequence[Device]) -> Sequence[int]:
        """Serve *devices* on new sockets, for a machine that is started now."""
        if self._server is not None:
            self._server.close()
        self._exports = {device.name: Export(device.size) for device in devices}
        self._server = Exports(list(self._exports.values()))
        return [export.theirs.fileno() for export in self._exports.values()]

    def _stop(self) -> None:
        if self._machine is not None:
            self._machine.end()
        if self._server is not None:
            self._server.close()
            self._server = None

    def _settle(self, name: str) -> None:
        """Have the log of the unmounted file system on *name* replayed by a mount."""
        device = self._unmounted(name)
        if not _in_machine(device) or name in self._settled:
            return
        self._open(device, subvolume="", read_only=False).close()
        self._devices = ()
        self.unmount_all()

    def _open(self, device: Device, *, subvolume: str, read_only: bool) -> Driver:
        if not _in_machine(device):
            return super()._open(device, subvolume=subvolume, read_only=read_only)
        self.start()
        if self._machine is None or device.name not in self._exports:
            raise EngineError(f"{device.name} was not there when the guest was opened")
        members = [
            member
            for member in identified.sharing(device, self._read())
            if member.name in self._exports
        ]
        for member in members:
            self._serve(self._device(member.name))
        order = list(self._exports)
        disks = [order.index(each.name) for each in [device, *members] if each is not device]
        disks = [order.index(device.name), *disks]
        # Inode tables that were never written stay so: the kernel would fill them meanwhile.
        lazy = ("noinit_itable",) if device.type in _EXT else ()
        options = ",".join([*type_of(device.type).mount_options, *lazy])
        kind = self._kind(device)
        try:
            handle = self._machine.call(
                "mount",
                0,
                *(disks, kind, options, _raw(_as_option(subvolume)), read_only),
                limit=_MOUNT_LIMIT,
            )
        except OSError as error:
            raise EngineError(f"{device.name} cannot be mounted: {error}") from error
        except EngineError as error:
            raise EngineError(f"{device.name} cannot be mounted: {error.message}") from error
        if not read_only:
            self._settled.update(member.name for member in members)
        return _Mounted(self._machine, handle, device.type)

    def _serve(self, device: Device) -> None:
        """Let the machine use *device*, as it is now."""
        export = self._exports[device.name]
        if export.blocks is not None:
            return
        # This thread must not use the disks of the one that serves.
        contained = isinstance(device, Contained)
        for each in filter(is_container, self._read()) if contained else [device]:
            Apart(each).own_edges()
        export.blocks = device.open() if contained else Apart(device).open()

    def _kind(self, device: Device) -> str:
        """What the machine's kernel calls the type of *device*; ext4 is also for ext2 and ext3."""
        is_other = device.type in _EXT and device.type not in self._types
        return "ext4" if is_other else device.type


def _in_machine(device: Device) -> bool:
    """Whether the machine mounts *device*."""
    return device.type in TYPES or (isinstance(device, Contained) and device.type in _EXT)


def _beyond(device: Device) -> str:
    """What is on *device* that this engine does not support, or ""."""
    if device.type in TYPES:
        with closing(device.open()) as blocks:
            count = (type_of(device.type).devices or _one)(blocks)
        return f"{device.type} on {count} devices" if count > 1 else ""
    return "" if is_container(device) else device.content.beyond


def _one(_: Blocks) -> int:
    return 1


class _Mounted(RemoteDriver):
    """A file system that is mounted in *machine*."""

    def __init__(self, machine: Machine, handle: int, kind: str) -> None:
        def call(method: str, handle: int, *arguments: Any) -> Any:  # noqa: ANN401
            limit = LONG_LIMIT if method in _LONG else LIMIT
            return machine.call(method, handle, *arguments, limit=limit)

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


def _as_option(subvolume: str) -> str:
    if subvolume.isprintable() and not set(subvolume) & {",", "\\"}:
        return subvolume
    raise EngineError(f"cannot mount a subvolume named '{printable(subvolume)}'")


def _uuid(raw: bytes) -> str:
    from uuid import UUID  # noqa: PLC0415 (only btrfs has these)

    return str(UUID(bytes=raw)) if any(raw) else ""


def _raw(path: str) -> bytes:
    return os.fsencode(path)


def _text(raw: bytes) -> str:
    return os.fsdecode(raw)
