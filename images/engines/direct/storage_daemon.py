"""``qemu-storage-daemon``: the disks of a guest as plain files, through FUSE, without root.

Each disk is one file in a private directory. The kernel would let go of them only when asked, so a
run that is killed leaves a dead mount behind; the next run finds it and takes it away.

Nothing is flushed to the host's disk on the way: the transaction makes the overlay durable when it
is complete, and throws it away otherwise.

References: qemu-storage-daemon(1); QEMU 7.2 ``qapi/block-export.json`` (BlockExportOptionsFuse),
``block/export/fuse.c`` (a writable export takes the RESIZE permission, and so there can be only
one on a disk); fusermount3(1).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import stat
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from images import process
from images.engines.direct.pipes import Program
from images.errors import EngineError, UncloneError
from images.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from images.engines.engine import Drive

_PREFIX = "unclone-direct-"
_LOCK = "lock"
_DRAFT = "lock.new"
#: Seconds after which a folder without a lock is not just being made any more.
_AGE = 3600.0
_SCRATCH = "scratch"
_PART = "-part"

#: Seconds for one command; opening an image in a slow folder takes a few.
_LIMIT = 60.0
#: Seconds for the end: what is still in memory goes to the overlay.
_END_LIMIT = 600.0

_FUSE = Path("/dev/fuse")
_HINT = "Try --engine guestfs."


def missing() -> str:
    """Why disks cannot be shown as files on this host; "" when they can."""
    if shutil.which("qemu-storage-daemon") is None:
        return "qemu-storage-daemon is not installed (Debian: qemu-system-common)"
    if not os.access(_FUSE, os.R_OK | os.W_OK):
        return f"{_FUSE} cannot be opened (no FUSE in this kernel or container)"
    if os.geteuid() != 0 and shutil.which("fusermount3") is None:
        return "fusermount3 is not installed (Debian: fuse3)"
    return ""


class StorageDaemon:
    """A running daemon that shows *drives* as :attr:`files`, in the same order.

    With *scratch* the drives are only read: what is written to the files is forgotten at the end.
    """

    def __init__(self, drives: Sequence[Drive], *, scratch: bool) -> None:
        clean_up()
        self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        # Locked before it has the name by which others know it: they would take it for a left-over.
        draft = self._folder / _DRAFT
        self._lock = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        draft.rename(self._folder / _LOCK)
        self.files: tuple[Path, ...] = tuple(
            self._folder / f"disk{number}" for number, _ in enumerate(drives)
        )
        self._nodes: list[str] = []
        self._program: Program | None = None
        try:
            self._start(drives, scratch=scratch)
        except BaseException:
            self.kill()
            raise

    @contextmanager
    def partition(self, disk: Path, start: int, size: int) -> Iterator[Path]:
        """Show *size* bytes from *start* of *disk* as a file of its own, in the disk's place.

        For a program that cannot be told where a partition begins. There can be one writable
        export on a drive, so nobody may have *disk* open meanwhile.
        """
        number = self.files.index(disk)
        file = self._folder / f"{disk.name}{_PART}"
        file.touch(mode=0o600)
        self._delete_export(f"export{number}")
        name = f"part{number}"
        place = {"offset": start, "size": size, "file": self._nodes[number]}
        self._command("blockdev-add", **{"driver": "raw", "node-name": name, **place})
        try:
            self._export(name, name, file)
            try:
                yield file
            finally:
                self._delete_export(name)
        finally:
            self._command("blockdev-del", **{"node-name": name})
            self._export(f"export{number}", self._nodes[number], disk)
            file.unlink()

    def end(self) -> None:
        """Write everything to the drives and end. Raises EngineError when that fails."""
        if self._program is None:
            return
        try:
            for number, _ in enumerate(self.files):
                self._delete_export(f"export{number}")
            self._command("quit")
            if status := self._program.end(limit=_END_LIMIT):
                raise EngineError(f"qemu-storage-daemon ended with status {status}")
        finally:
            self.kill()

    def kill(self) -> None:
        """Let go of the drives at once. Safe to call twice."""
        if self._program is not None:
            self._program.kill()
            self._program = None
        if self._lock >= 0:
            _remove(self._folder)
            os.close(self._lock)
            self._lock = -1

    # -- helpers ---------------------------------------------------------------------------
    def _start(self, drives: Sequence[Drive], *, scratch: bool) -> None:
        command = ["qemu-storage-daemon", "--chardev", "stdio,id=qmp", "--monitor", "chardev=qmp"]
        self._program = Program(process.start(command), "qemu-storage-daemon")
        self._program.receive_line(limit=_LIMIT)
        self._command("qmp_capabilities")
        for number, (drive, file) in enumerate(zip(drives, self.files, strict=True)):
            file.touch(mode=0o600)
            node = f"drive{number}"
            self._command("blockdev-add", **_node(drive, node, read_only=scratch))
            if scratch:
                node = self._add_scratch(number, node)
            self._nodes.append(node)
            self._export(f"export{number}", node, file)

    def _export(self, name: str, node: str, file: Path) -> None:
        self._command(
            "block-export-add",
            **{
                "type": "fuse",
                "id": name,
                "node-name": node,
                "mountpoint": str(file),
                "writable": True,
                "growable": False,
                "allow-other": "off",
            },
        )

    def _add_scratch(self, number: int, backing: str) -> str:
        nodes = self._command("query-named-block-nodes", flat=True)
        size = next(n["image"]["virtual-size"] for n in nodes if n["node-name"] == backing)
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
        self._command("blockdev-add", **node)
        return name

    def _delete_export(self, name: str) -> None:
        self._command("block-export-del", id=name)
        until = time.monotonic() + _END_LIMIT
        # It goes when everything is written; the answer only says that it will.
        while any(export["id"] == name for export in self._command("query-block-exports")):
            if time.monotonic() > until:
                raise EngineError("qemu-storage-daemon does not let go of a disk")
            time.sleep(0.002)

    def _command(self, name: str, **arguments: object) -> Any:  # noqa: ANN401  (JSON)
        assert self._program is not None  # noqa: S101  (called between start and end)
        message = {"execute": name, "arguments": arguments}
        self._program.send(json.dumps(message).encode() + b"\n")
        while True:
            answer = json.loads(self._program.receive_line(limit=_LIMIT))
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                words = printable(answer["error"]["desc"])
                raise EngineError(f"qemu-storage-daemon cannot {name}: {words}", hint=_HINT)


def clean_up() -> None:
    """Take away what runs of this user that were killed have left behind."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                continue
            given_up = time.time() - found.st_mtime > _AGE and (folder / _DRAFT).exists()
            name = _DRAFT if given_up else _LOCK
            lock = os.open(folder / name, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue  # it is just being made, or being taken away
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(folder)
        except BlockingIOError:
            continue  # its run goes on
        finally:
            os.close(lock)


def _remove(folder: Path) -> None:
    """Unmount what is mounted in *folder* and remove it."""
    for mounted in _mounts_in(folder):
        command = ["umount", "-l"] if shutil.which("fusermount3") is None else []
        try:
            process.run([*(command or ["fusermount3", "-u", "-z"]), mounted])
        except UncloneError as error:
            raise EngineError(f"cannot unmount {mounted}: {error.message}") from error
    # Only the files made here: if something is still mounted, nothing on it is removed.
    ours = [*folder.glob("disk*"), *folder.glob(f"{_SCRATCH}*"), folder / _DRAFT, folder / _LOCK]
    for entry in ours:
        entry.unlink(missing_ok=True)
    with suppress(FileNotFoundError):  # two runs clean up at the same time
        folder.rmdir()


def _mounts_in(folder: Path) -> Iterator[Path]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place = line.split(" ")[4]  # blanks in it are written as \040
        mounted = Path(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), place))
        if mounted.parent == folder:
            yield mounted


def _node(drive: Drive, name: str, *, read_only: bool) -> dict[str, Any]:
    return {
        "driver": drive.format,
        "node-name": name,
        "read-only": read_only,
        "cache": {"no-flush": True},
        "file": {"driver": "file", "filename": str(drive.path), "read-only": read_only},
    }
