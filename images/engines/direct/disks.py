"""The disks of a guest while it is open: exported by QEMU, read directly where nothing changed."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from unclone.images.engines.direct.access.disk import Disk, Place
from unclone.images.engines.direct.devices import read_devices
from unclone.images.engines.direct.storage_daemon import StorageDaemon
from unclone.images.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.engines.direct.devices import Device
    from unclone.images.engines.engine import Drive


class Disks:
    """*drives*, in the same order. With *scratch* they stay as they are."""

    def __init__(self, drives: Sequence[Drive], *, scratch: bool) -> None:
        self._disks: list[Disk] = []
        self._daemon = StorageDaemon(drives, scratch=scratch)
        try:
            self._disks += map(self._disk, self._daemon.places)
        except BaseException:
            self.drop()
            raise

    def devices(self) -> Sequence[Device]:
        """Every disk and partition, as they are now."""
        return read_devices(self._disks)

    def await_files(self) -> None:
        """Return when tools can be given the disks' files."""
        self._daemon.await_files()

    def settle(self) -> None:
        """From now on read what was written from the images' own files. Nothing is mounted.

        Devices that were read before refer to the old content.
        """
        for number, disk in enumerate(self._disks):
            if disk.is_dirty:
                _flush(disk)
                self._disks[number] = self._disk(self._daemon.settle(disk.place))
                disk.close()

    @contextmanager
    def as_file(self, device: Device) -> Iterator[Device]:
        """*device* as a file of its own: for a tool that takes no offset."""
        self.await_files()
        if not device.start:
            yield device
            return
        device.mark_dirty()
        device.disk.release()
        with self._daemon.partition(device.disk.place, device.start, device.size) as file:
            disk = Disk(Place(str(file), device.size))
            try:
                yield replace(device, disk=disk, start=0)
            finally:
                disk.close()

    def end(self) -> None:
        """Write everything to the drives and close them."""
        try:
            for disk in self._disks:
                _flush(disk)
                disk.close()
        except EngineError:
            self.require_alive()
            raise
        self._daemon.end()

    def require_alive(self) -> None:
        """Raise KilledError when something else has killed the program that shows the disks."""
        self._daemon.require_alive()

    def drop(self) -> None:
        """Close the drives as they are, at once. Safe to call twice."""
        for disk in self._disks:
            disk.close()
        self._daemon.kill()

    def _disk(self, place: Place) -> Disk:
        return Disk(place, ready=self._daemon.await_files)


def _flush(disk: Disk) -> None:
    try:
        disk.flush()
    except OSError as error:
        raise EngineError(f"the disk cannot be written: {error.strerror}") from error
