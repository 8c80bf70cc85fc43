"""``qemu-storage-daemon``: the disks of a guest as plain files, through FUSE, without root.

Each disk is one file in a private directory. A run that is killed leaves a dead mount behind, which
the next run unmounts.

Nothing is flushed to the host's disk meanwhile: the transaction makes the overlay durable when it
is complete, and discards it otherwise.

References: qemu-storage-daemon(1); QEMU 7.2 ``qapi/block-export.json`` (BlockExportOptionsFuse),
``block/export/fuse.c`` (a writable export takes the RESIZE permission, and so there can be only
one on a disk); fusermount3(1).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unclone.images import process
from unclone.images.engines.direct.access.dirty_map import DirtyMap
from unclone.images.engines.direct.access.disk import Place
from unclone.images.engines.direct.access.layers import layers_of, layers_over
from unclone.images.engines.direct.helpers import STORAGE_DAEMON, HelperProcess
from unclone.images.engines.engine import Drive
from unclone.images.errors import EngineError, UncloneError
from unclone.images.files import explained, temporary_directory
from unclone.images.interrupts import deferred
from unclone.images.pinned import with_paths
from unclone.images.temporary_folders import clean_up, new_folder, remove
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_SCRATCH = "scratch"
_DIRTY_MAP = "dirty-map"
_PART = "-part"

#: Seconds for one command; opening an image in a slow folder takes a few.
_LIMIT = 60.0
#: Seconds for the end: what is still in memory goes to the overlay.
_END_LIMIT = 600.0

_FUSE = Path("/dev/fuse")
_HINT = "Try --engine guestfs."
_DENIED = f"{_FUSE} is there, and mounting is denied (no CAP_SYS_ADMIN, or no_new_privs)"
_UNUSABLE = "the direct engine cannot work here: "


class BeyondReachError(EngineError):
    """The guest, or this host, is not one that the direct engine can work with."""


def unusable(why: str) -> BeyondReachError:
    """The error for a host on which disks cannot be exported."""
    return BeyondReachError(f"{_UNUSABLE}{why}", hint=_HINT)


def missing() -> str:
    """Why disks cannot be exported as files on this host; "" when they can."""
    if shutil.which("qemu-storage-daemon") is None:
        return "qemu-storage-daemon is not installed (Debian: qemu-system-common)"
    if not os.access(_FUSE, os.R_OK | os.W_OK):
        return f"{_FUSE} cannot be opened (no FUSE in this kernel or container)"
    if os.geteuid() != 0 and shutil.which("fusermount3") is None:
        return "fusermount3 is not installed (Debian: fuse3)"
    return ""


def refusal() -> str:
    """As :func:`missing`, and found out by exporting a file.

    What a container or ``no_new_privs`` denies is seen only when it is done.
    """
    if why := missing():
        return why
    try:
        with tempfile.TemporaryDirectory(dir=temporary_directory()) as folder:
            path = Path(folder, "disk")
            path.write_bytes(bytes(512))
            daemon = StorageDaemon([Drive(path, "raw")], scratch=False)
            daemon.await_files()
            daemon.end()
    except UncloneError as error:
        return error.message.removeprefix(_UNUSABLE)
    return ""


class StorageDaemon:
    """A running daemon that exports *drives* as :attr:`places`, in the same order.

    With *scratch* the drives are only read: what is written to the files is discarded at the end.
    Where the image of a drive can be read without QEMU, its file may appear later:
    :meth:`await_files` returns when all exist.
    """

    def __init__(self, drives: Sequence[Drive], *, scratch: bool) -> None:
        clean_up()
        self._lock = -1
        self._drives = tuple(drives)
        self._scratch = scratch
        self._nodes: list[str] = []
        #: Commands whose answers have not been read yet, in order.
        self._unanswered: list[str] = []
        self._gone: set[str] = set()
        self._failure: EngineError | None = None
        self._process: HelperProcess | None = None
        try:
            with deferred():  # a signal that came meanwhile is raised at the end of the block
                self._folder, self._lock = new_folder()
            with explained("write a temporary file", self._folder):
                self._start(drives, scratch=scratch)
                self.places: tuple[Place, ...] = tuple(map(self._place, drives, range(len(drives))))
        except BaseException:
            self.kill()
            raise

    def await_files(self) -> None:
        """Return when the files exist. Raises EngineError when a drive cannot be exported."""
        if self._failure is not None:  # also for a caller who has heard of it before
            raise self._failure
        while self._unanswered:
            self._answer()

    def settle(self, place: Place) -> Place:
        """Where the disk at *place* is to be read from now on: what was written is in its overlay.

        The writers have flushed it. What is read from then on comes from the overlay's file, and is
        what a commit will find there.
        """
        number = self.places.index(place)
        drive = self._drives[number]
        if self._scratch or drive.image is None or not place.layers:
            return place
        over = drive.is_overlay
        layers = layers_over(drive.name, drive.image) if over else layers_of(drive.image)
        if not layers:
            return place
        dirty_map = Path(place.dirty_map)
        dirty_map.unlink()  # a process that still has it open reads as before
        with explained("write a temporary file", self._folder):
            DirtyMap.make(dirty_map, place.size)
        settled = Place(place.file, place.size, place.dirty_map, layers, place.generation + 1)
        self.places = (*self.places[:number], settled, *self.places[number + 1 :])
        return settled

    @contextmanager
    def partition(self, place: Place, start: int, size: int) -> Iterator[Path]:
        """Export *size* bytes from *start* of the disk at *place* as a file, instead of the disk.

        For a program that takes no offset. A drive can have one writable export, so the disk's
        file must not be open meanwhile.
        """
        self.await_files()
        number = self.places.index(place)
        disk = self._file(number)
        file = self._folder / f"{disk.name}{_PART}"
        file.touch(mode=0o600)
        self._delete_export(f"export{number}")
        name = f"part{number}"
        part = {"offset": start, "size": size, "file": self._nodes[number]}
        self._command("blockdev-add", **{"driver": "raw", "node-name": name, **part})
        try:
            self._command("block-export-add", **_export(name, name, file))
            try:
                yield file
            finally:
                self._delete_export(name)
        finally:
            self._command("blockdev-del", **{"node-name": name})
            export = _export(f"export{number}", self._nodes[number], disk)
            self._command("block-export-add", **export)
            file.unlink()

    def end(self) -> None:
        """Write everything to the drives and end. Raises EngineError when that fails."""
        if self._process is None:
            return
        try:
            self.await_files()
            for number, _ in enumerate(self.places):
                self._delete_export(f"export{number}")
            self._command("quit")
            if status := self._process.wait(limit=_END_LIMIT):
                raise EngineError(f"qemu-storage-daemon ended with status {status}")
        finally:
            self.kill()

    def require_alive(self) -> None:
        """Raise KilledError when something else has killed the daemon."""
        if self._process is not None:
            # The disks are the first to notice.
            served = all(_is_served(place.file) for place in self.places)
            self._process.require_alive(ending=not served)

    def kill(self) -> None:
        """Kill the daemon. Safe to call twice."""
        with deferred():  # what is mounted would stay
            if self._process is not None:
                self._process.kill()
                self._process = None
            if self._lock >= 0:
                remove(self._folder)
                os.close(self._lock)
                self._lock = -1

    # -- helpers ---------------------------------------------------------------------------
    def _start(self, drives: Sequence[Drive], *, scratch: bool) -> None:
        self._process = HelperProcess(STORAGE_DAEMON, "qemu-storage-daemon")
        self._unanswered.append("greet")
        self._send("qmp_capabilities")
        for number, drive in enumerate(drives):
            file = self._file(number)
            file.touch(mode=0o600)
            node = f"drive{number}"
            self._send("blockdev-add", **_node(drive, node, read_only=scratch))
            if scratch:
                node = self._add_scratch(drive, number, node)
            self._nodes.append(node)
            self._send("block-export-add", **_export(f"export{number}", node, file))

    def _file(self, number: int) -> Path:
        return self._folder / f"disk{number}"

    def _place(self, drive: Drive, number: int) -> Place:
        file = self._file(number)
        layers = layers_of(drive.image) if drive.image else ()
        if not layers:
            self.await_files()
            return Place(str(file), file.stat().st_size)
        dirty_map = self._folder / f"{_DIRTY_MAP}{number}"
        DirtyMap.make(dirty_map, layers[0].size)
        return Place(str(file), layers[0].size, str(dirty_map), layers)

    def _add_scratch(self, drive: Drive, number: int, backing: str) -> str:
        size = drive.image.virtual_size if drive.image else self._size(backing)
        file = self._folder / f"{_SCRATCH}{number}"
        process.run(["qemu-img", "create", "-q", "-f", "qcow2", file, str(size)])
        name = f"scratch{number}"
        node = {
            "driver": "qcow2",
            "node-name": name,
            "file": {"driver": "file", "filename": str(file)},
            "backing": backing,
            "cache": {"no-flush": True},
        }
        self._send("blockdev-add", **node)
        return name

    def _size(self, node: str) -> int:
        nodes = self._command("query-named-block-nodes", flat=True)
        return next(int(n["image"]["virtual-size"]) for n in nodes if n["node-name"] == node)

    def _delete_export(self, name: str) -> None:
        self._command("block-export-del", id=name)
        while name not in self._gone:  # it goes when everything is written
            self._receive(_END_LIMIT)
        self._gone.remove(name)

    def _command(self, name: str, **arguments: object) -> Any:  # noqa: ANN401  (JSON)
        self.await_files()
        self._send(name, **arguments)
        return self._answer()

    def _send(self, name: str, **arguments: object) -> None:
        assert self._process is not None  # noqa: S101  (called between start and end)
        message = {"execute": name, "arguments": arguments}
        self._process.send(json.dumps(message).encode() + b"\n")
        self._unanswered.append(name)

    def _answer(self) -> Any:  # noqa: ANN401  (JSON)
        """The answer to the oldest command that has none yet."""
        while not (answer := self._receive(_LIMIT)):
            pass
        name = self._unanswered.pop(0)
        if "error" in answer:
            reason = printable(with_paths(answer["error"]["desc"]))
            self._unanswered.clear()
            self._failure = (
                unusable(f"{_DENIED}: {reason}")
                if name == "block-export-add"
                else EngineError(f"qemu-storage-daemon cannot {name}: {reason}", hint=_HINT)
            )
            raise self._failure
        return answer.get("return")

    def _receive(self, limit: float) -> dict[str, Any]:
        """The next message; empty when it was an event."""
        assert self._process is not None  # noqa: S101  (called between start and end)
        message: dict[str, Any] = json.loads(self._process.receive_line(limit=limit))
        if message.get("event") == "BLOCK_EXPORT_DELETED":
            self._gone.add(message["data"]["id"])
        return {} if "event" in message else message


def _is_served(file: str) -> bool:
    """Whether the process that shows *file* is there."""
    try:
        os.stat(file)  # noqa: PTH116 (a name, not a Path)
    except FileNotFoundError:
        return True  # it is not shown at all, and says nothing
    except OSError:  # ENOTCONN, ECONNABORTED
        return False
    return True


def _export(name: str, node: str, file: Path) -> dict[str, Any]:
    return {
        "type": "fuse",
        "id": name,
        "node-name": node,
        "mountpoint": str(file),
        "writable": True,
        "growable": False,
        "allow-other": "off",
    }


def _node(drive: Drive, name: str, *, read_only: bool) -> dict[str, Any]:
    node = drive.node
    return {
        **node,
        "node-name": name,
        "read-only": read_only,
        "cache": {"no-flush": True},
        "file": {**node["file"], "read-only": read_only},
    }
