"""One guest, with a virtual machine for the file systems that only a kernel opens.

Everything else is as in the direct engine: ext and FAT, identifiers, checks, and the overlay that
is written at the end. The machine has one disk for each volume that it may mount; this process
serves it from the guest's disks, and reads them itself while nothing of it is mounted there: XFS
and btrfs are mounted when something in them changes first (:mod:`.at_rest`).
"""

from __future__ import annotations

import os
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from unclone.images.engines.appliance import frozen
from unclone.images.engines.appliance.at_rest import AtRest, OnDemand, is_at_rest
from unclone.images.engines.appliance.contained import Apart, Contained, Containers, is_container
from unclone.images.engines.appliance.mounted import Mounted
from unclone.images.engines.appliance.nbd_export import Export, Exports
from unclone.images.engines.direct.checks import too_large
from unclone.images.engines.direct.in_place.formats import FORMATS
from unclone.images.engines.direct.volumes import DirectVolumes
from unclone.images.errors import EngineError
from unclone.images.file_systems import ext
from unclone.images.file_systems.table import type_of
from unclone.images.identifiers import devices as identified
from unclone.images.process import require_program
from unclone.images.text import printable
from unclone.images.volumes import CheckResult, CheckState, IdentifierKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unclone.images.blocks import Blocks
    from unclone.images.engines.appliance.machine import Machine
    from unclone.images.engines.direct.devices import Device
    from unclone.images.engines.direct.driver import Driver
    from unclone.images.engines.direct.in_place.formats import InPlace
    from unclone.images.engines.engine import Drive, Keys, Say
    from unclone.images.volumes import Identifier, Subvolume

#: What the machine mounts wherever it is; ext only in a container.
TYPES = frozenset({"xfs", "btrfs"})
_EXT = frozenset(ext.TYPE.names)

#: Seconds of processor time: for a mount, which a hostile file system could keep busy; for one
#: request; for what takes long in a large one.
_MOUNT_LIMIT, LIMIT, LONG_LIMIT = 10.0, 60.0, 600.0


class ApplianceVolumes(DirectVolumes):
    """The guest on *drives*; the machine is started when something is mounted in it first.

    To read what was unmounted, it is not started at all.
    """

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
        #: By device: what is read here, and what the machine has mounted since.
        self._at_rest: dict[str, AtRest] = {}
        self._left: set[str] = set()

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

    def needs_machine(self) -> bool:
        """Whether there is something that has to be mounted even to be read."""
        return any(not self._is_at_rest(d) for d in self._read() if _in_machine(d))

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
        self._forget_at_rest()
        failures = [export.failure for export in self._exports.values() if export.failure]
        for export in self._exports.values():
            export.detach()
        if failures:
            raise EngineError(f"a disk of the virtual machine failed: {failures[0]}")

    def subvolumes(self, mount_point: str) -> tuple[Sequence[Subvolume], str]:
        """As ``Volumes.subvolumes``."""
        driver, _ = self._at(mount_point)
        return driver.subvolumes() if isinstance(driver, Mounted | OnDemand) else ((), "")

    def delete_subvolumes(self, paths: Sequence[str]) -> None:
        """Delete *paths*, and wait until their blocks are freed."""
        driver, _ = self._at("/")
        if isinstance(driver, OnDemand):
            driver = driver.mounted()
        if not isinstance(driver, Mounted):
            raise EngineError("no btrfs is mounted")
        driver.delete_subvolumes(paths)

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
        self._forget_at_rest()
        super().drop()

    # -- helpers ---------------------------------------------------------------------------
    def _formats(self, identifier: Identifier, devices: Sequence[Device]) -> Mapping[str, InPlace]:
        """All, for what was unmounted: a tool may write all of a log anew."""
        is_uuid = identifier.kind is IdentifierKind.FILE_SYSTEM_UUID
        device = identified.find(identifier.device, devices) if is_uuid else None
        return FORMATS if device is not None and self._is_at_rest(device) else {}

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
        if not _in_machine(device) or name in self._settled or self._is_at_rest(device):
            return
        self._open_in_machine(name, subvolume="", read_only=False).close()
        self._devices = ()
        self.unmount_all()

    def _open(self, device: Device, *, subvolume: str, read_only: bool) -> Driver:
        if not _in_machine(device):
            return super()._open(device, subvolume=subvolume, read_only=read_only)
        mount = partial(
            self._open_in_machine, device.name, subvolume=subvolume, read_only=read_only
        )
        known = self._at_rest.get(device.name)
        if device.name in self._left or (known is None and not self._is_at_rest(device)):
            return mount()
        try:
            if known is None:
                known = AtRest(device.type, device.open(), LIMIT)
                self._at_rest[device.name] = known
            return OnDemand(known, subvolume, mount)
        except (EngineError, OSError):  # the kernel says what is wrong with it
            return mount()

    def _forget_at_rest(self) -> None:
        for each in self._at_rest.values():
            each.close()
        self._at_rest.clear()
        self._left.clear()

    def _is_at_rest(self, device: Device) -> bool:
        with closing(device.open()) as blocks:
            return is_at_rest(device.type, blocks)

    def _open_in_machine(self, name: str, *, subvolume: str, read_only: bool) -> Mounted:
        device = self._device(name)
        self._left.add(name)
        if name in self._at_rest:
            self._at_rest[name].is_left = True
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
        limits = {"limit": LIMIT, "long_limit": LONG_LIMIT}
        return Mounted(self._machine, handle, device.type, **limits)

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


def _as_option(subvolume: str) -> str:
    if subvolume.isprintable() and not set(subvolume) & {",", "\\"}:
        return subvolume
    raise EngineError(f"cannot mount a subvolume named '{printable(subvolume)}'")


def _raw(path: str) -> bytes:
    return os.fsencode(path)
