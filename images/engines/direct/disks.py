"""The disks of a guest while it is open.

Writes go to scratch files in a private folder. At the end each overlay is written from them, in one
pass. Nothing is flushed to the host's disk meanwhile: the transaction makes the complete overlay
durable, or discards it.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from unclone.images import qemu_img
from unclone.images.chain import read_chain
from unclone.images.engines.direct import copies
from unclone.images.engines.direct.access.clusters import Layer
from unclone.images.engines.direct.access.dirty_map import REGION_BITS, DirtyMap
from unclone.images.engines.direct.access.disk import Disk, Place
from unclone.images.engines.direct.access.layers import layers_of, layers_over
from unclone.images.engines.direct.devices import read_devices
from unclone.images.engines.direct.nbd_server import NbdServer
from unclone.images.errors import EngineError
from unclone.images.files import explained, open_emptied
from unclone.images.formats.header import Format
from unclone.images.formats.table import read_header
from unclone.images.image import open_image
from unclone.images.interrupts import deferred
from unclone.images.overlay import fill_empty
from unclone.images.pinned import pinned_name, with_paths
from unclone.images.qcow2_overlay import Overlay
from unclone.images.temporary_folders import clean_up, new_folder, remove
from unclone.images.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from unclone.images.engines.direct.devices import Device
    from unclone.images.engines.engine import Drive
    from unclone.images.image import Image

_SCRATCH = "scratch"
_DIRTY_MAP = "dirty-map"
_SOCKET = "socket"
_COPY = "copy"
#: Bytes of a copy in memory, without what is zeros.
_IN_MEMORY = 1 << 30
#: Bytes that are copied at once.
_PIECE = 1024 * 1024


class Disks:
    """*drives*, in the same order. With *scratch* they are not changed."""

    def __init__(self, drives: Sequence[Drive], *, scratch: bool) -> None:
        """Raises EngineError."""
        clean_up()
        self._lock = -1
        self._drives: list[_Drive] = []
        try:
            with deferred():  # a signal that came meanwhile is raised at the end of the block
                self._folder, self._lock = new_folder()
            for number, drive in enumerate(drives):
                self._drives.append(_Drive(drive, self._folder, number, scratch=scratch))
        except BaseException:
            self.drop()
            raise

    def devices(self) -> Sequence[Device]:
        """Every disk and partition, as they are now."""
        return read_devices([drive.disk for drive in self._drives])

    def settle(self) -> None:
        """From now on read what was written from the overlays' own files. Nothing is mounted.

        A commit will find there what is read then. Devices that were read before refer to the old
        content.
        """
        for drive in self._drives:
            drive.settle()

    def free_space(self) -> int:
        """Bytes that are free for copies of partitions."""
        return shutil.disk_usage(self._folder).free

    @contextmanager
    def as_file(
        self, device: Device, areas: Iterable[tuple[int, int]] | None = None
    ) -> Iterator[Path]:
        """The content of *device* as a file, for a tool. What the tool changes is written back.

        With *areas*, offsets and sizes in bytes, the rest is zeros. What is encrypted on the disk
        is copied to memory only. Raises EngineError when there is no space for the copy.
        """
        kept = copies.merged([(0, device.size)] if areas is None else areas, device.size)
        with ExitStack() as stack:
            blocks = stack.enter_context(closing(device.open()))
            if device.secret:
                memory = os.memfd_create("copy", os.MFD_CLOEXEC)
                stack.callback(os.close, memory)
                copy = pinned_name(memory)
            else:
                copy = self._folder / _COPY
                stack.callback(copy.unlink, missing_ok=True)
                with _explained(copy):
                    copy.touch(0o600, exist_ok=False)
            with _explained(copy):
                copies.make(blocks, copy, kept, _IN_MEMORY if device.secret else None)
            yield copy
            with _explained(copy):
                copies.write_back(copy, blocks, kept)

    def end(self) -> None:
        """Write everything to the drives and close them. Raises EngineError."""
        for drive in self._drives:
            drive.end()
        self.drop()

    def require_alive(self) -> None:
        """Raise KilledError when another process has killed a server of a disk."""
        for drive in self._drives:
            drive.require_alive()

    def drop(self) -> None:
        """Close the drives as they are, at once. Safe to call twice."""
        with deferred():
            for drive in self._drives:
                drive.close()
            if self._lock >= 0:
                remove(self._folder)
                os.close(self._lock)
                self._lock = -1


class _Drive:
    """One drive: where it is read, and where writes to it go."""

    def __init__(self, drive: Drive, folder: Path, number: int, *, scratch: bool) -> None:
        self._path, self._folder, self._number = drive.name, folder, number
        self._server: NbdServer | None = None
        #: The regions whose content is in the overlay's file since it was settled.
        self._settled: set[int] = set()
        image = drive.image or read_chain(drive.path, Format(drive.format))
        self._image = image
        #: An overlay that holds nothing yet.
        self._over = drive.is_overlay
        self._keep = not scratch
        if self._keep and not self._over and image.format is Format.RAW:
            self.disk = Disk(Place(str(image.names[0]), image.virtual_size))
            self._keep = False  # it is kept as it is written
            return
        try:
            with explained("write a temporary file", folder):
                self.disk = Disk(self._place(self._layers(image), generation=0))
        except BaseException:
            self.close()
            raise

    def settle(self) -> None:
        """As :meth:`Disks.settle`."""
        if not (self._keep and self._over and self.disk.dirty):
            return
        self._write_out()
        layers = layers_over(self._path, self._image, self._layers(self._image))
        generation = self.disk.place.generation + 1
        self.disk.close()
        with explained("write a temporary file", self._folder):
            self.disk = Disk(self._place(layers, generation=generation))

    def end(self) -> None:
        """Write what was written to the drive."""
        if self._keep and self.disk.dirty:
            self._write_out()

    def require_alive(self) -> None:
        """Raise KilledError when another process has killed the server of the image."""
        if self._server is not None:
            self._server.require_alive()

    def close(self) -> None:
        """Close everything. Safe to call twice."""
        if hasattr(self, "disk"):
            self.disk.close()
        if self._server is not None:
            self._server.kill()

    def _layers(self, image: Image) -> tuple[Layer, ...]:
        if layers := layers_of(image):
            return layers
        socket = self._folder / f"{_SOCKET}{self._number}"
        if self._server is None:
            self._server = NbdServer(image, socket)
        return (Layer(str(image.path), image.virtual_size, server=str(socket)),)

    def _place(self, layers: tuple[Layer, ...], *, generation: int) -> Place:
        size = self._image.virtual_size
        suffix = f"{self._number}-{generation}"
        scratch = self._folder / f"{_SCRATCH}{suffix}"
        dirty_map = self._folder / f"{_DIRTY_MAP}{suffix}"
        DirtyMap.make(dirty_map, size)
        with scratch.open("xb") as file:
            scratch.chmod(0o600)
            try:
                file.truncate(size)
            except OSError as error:
                if error.errno != errno.EFBIG:
                    raise
                raise EngineError(
                    f"a disk of {size} bytes is too large for a file in {shown(self._folder)}",
                    hint="Set TMPDIR to a folder on XFS or tmpfs, or try --engine guestfs.",
                ) from error
        return Place(str(scratch), size, str(dirty_map), layers, generation)

    def _write_out(self) -> None:
        """Write the overlay: everything that was written to the drive, once."""
        regions = {*self._settled, *self.disk.dirty}
        if not self._over:
            self._commit(regions)
        elif self._settled:  # the overlay's file is one of those that are read
            new = self._folder / f"{_SCRATCH}{self._number}-overlay"
            shutil.copyfile(self._path, new)
            self._write_overlay(new, regions)
            with _explained(self._path):
                _copy_over(new, self._path)
        else:
            self._write_overlay(self._path, regions)
        self._settled = regions

    def _commit(self, regions: set[int]) -> None:
        """Into the image itself, which has no overlay."""
        overlay = self._folder / f"{_SCRATCH}{self._number}-overlay"
        overlay.touch(mode=0o600)
        with _explained(overlay):
            fill_empty(overlay, self._image, locked=False)
        self._write_overlay(overlay, regions)
        qemu_img.commit(overlay, self._image, descriptors=())

    def _write_overlay(self, path: Path, regions: set[int]) -> None:
        """Write *regions* of the disk to the qcow2 overlay at *path*, which keeps its backing."""
        with open_image(path) as source:
            header = read_header(source, Format.QCOW2, name=shown(path))
        backing = header.backing.encode("utf-8", "surrogateescape")
        overlay = Overlay(backing, header.backing_format, self.disk.size, regions, REGION_BITS)
        with _explained(path), open_emptied(path) as file:
            overlay.fill(file, self._read)

    def _read(self, offset: int, count: int) -> bytes:
        return self.disk.read(offset, min(count, self.disk.size - offset))


def _copy_over(source: Path, target: Path) -> None:
    """Replace the content of the file *target*, in place, by that of *source*."""
    with source.open("rb") as new, open_emptied(target) as file:
        shutil.copyfileobj(new, file, _PIECE)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        name = shown(with_paths(str(path)))
        raise EngineError(f"{name} cannot be written: {error.strerror}") from error
