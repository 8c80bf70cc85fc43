"""The agent: the only process of the virtual machine. It mounts file systems and works on them.

It is copied into the machine and run there by the same Python. Requests come over a virtio port,
one at a time: a length (4 bytes, little-endian) and a marshalled ``(method, handle, arguments)``.
Answers are those of ``direct/ext/worker.py``.

References: init_module(2), random(4), ioctl(2) (BLKFLSBUF).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import marshal
import os
import struct
import time

from unclone.images.engines.appliance import agent_kernel as kernel
from unclone.images.engines.appliance.agent_files import FileSystem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from unclone.images.engines.appliance.agent_files import Met

_LENGTH = struct.Struct("<I")
_FINIT_MODULE = 313  # on x86_64
_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_EXEC, _NO_ACCESS_TIMES = 1, 2, 4, 8, 1024
_ADD_ENTROPY, _RESEED = 0x40085203, 0x5207
_FLUSH = 0x1261  # BLKFLSBUF
#: Bytes of content and number of inodes in one answer to ``walk_on``.
_BATCH_BYTES, _BATCH_INODES = 1024 * 1024, 500


class Agent:
    """Mounted file systems and walks, by number."""

    def __init__(self, failed: Sequence[str]) -> None:
        self._failed = failed  # modules that could not be loaded
        self._open: dict[int, FileSystem] = {}
        self._walks: dict[int, Iterator[Any]] = {}
        self._last = 0
        self._messages = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)

    def answer(self, method: str, handle: int, arguments: tuple[Any, ...]) -> Any:
        """Carry out one request."""
        if method in {"hello", "resume", "mount"}:
            return getattr(self, f"_{method}")(*arguments)
        if method == "close":
            return self._close(handle)
        if method in {"walk", "search"}:
            return self._add(self._walks, getattr(self._open[handle], method)(*arguments))
        if method == "walk_on":
            return self._walk_on(*arguments)
        if method == "search_on":
            return self._search_on(*arguments)
        if method == "walk_end":
            self._walks.pop(arguments[0], None)
            return None
        return getattr(self._open[handle], method)(*arguments)

    def _hello(self) -> tuple[str, list[str], list[str]]:
        """Version of the kernel, its file systems, and modules that it does not take."""
        with open("/proc/filesystems", encoding="utf-8") as listed:
            names = [line.split()[-1] for line in listed if line.strip()]
        return os.uname().release, names, list(self._failed)

    def _resume(self, now: int, entropy: bytes) -> None:
        """Set the clock (nanoseconds) and have other random numbers than any other machine."""
        time.clock_settime_ns(time.CLOCK_REALTIME, now)
        pool = os.open("/dev/urandom", os.O_RDWR)
        try:
            count = len(entropy)
            fcntl.ioctl(pool, _ADD_ENTROPY, struct.pack("ii", count * 8, count) + entropy)
            fcntl.ioctl(pool, _RESEED)
        finally:
            os.close(pool)

    def _mount(
        self, disks: Sequence[int], kind: str, options: str, subvolume: bytes, *flags: bool
    ) -> int:
        """Mount the first of *disks*; the one flag is whether read only."""
        nodes = [kernel.node_of(disk) for disk in disks]
        always = _NO_SUID | _NO_DEVICES | _NO_EXEC | _NO_ACCESS_TIMES
        data = os.fsencode(options)
        if subvolume:
            data = b",".join(filter(None, [data, b"subvol=" + subvolume]))
        top = b"/guest/%d" % (self._last + 1)
        os.makedirs(top, exist_ok=True)
        self._complaints()
        try:
            if kind == "btrfs":
                for node in nodes:
                    kernel.btrfs(node, kernel.BTRFS_SCAN)
            kernel.mount_at(nodes[0], top, kind, always | (_READ_ONLY if flags[0] else 0), data)
        except OSError as error:
            said = self._complaints()
            raise kernel.FailedError(f"{error.strerror}{': ' if said else ''}{said}") from error
        return self._add(self._open, FileSystem(top, nodes, kind))

    def _close(self, handle: int) -> None:
        """Unmount, and write everything to the disks, whose content may change afterwards."""
        closed = self._open.pop(handle)
        kernel.call(kernel.LIBC.umount2, closed.top, 0)
        if any(set(other.nodes) & set(closed.nodes) for other in self._open.values()):
            return
        for node in closed.nodes:
            if closed.kind == "btrfs":
                kernel.btrfs(node, kernel.BTRFS_FORGET)
            disk = os.open(node, os.O_RDWR)
            try:
                os.fsync(disk)
                fcntl.ioctl(disk, _FLUSH)
            finally:
                os.close(disk)

    def _add(self, table: dict[int, Any], value: Any) -> int:
        self._last += 1
        table[self._last] = value
        return self._last

    def _walk_on(self, walk: int) -> list[Met]:
        batch: list[Met] = []
        size = 0
        for met in self._walks[walk]:
            batch.append(met)
            size += len(met[2] or b"")
            if size >= _BATCH_BYTES or len(batch) >= _BATCH_INODES:
                break
        return batch

    def _search_on(self, walk: int) -> list[bytes] | None:
        """What the next inodes gave; None at the end."""
        until = time.monotonic() + 1
        hits, ended = [], True
        for hit in self._walks[walk]:
            if hit is not None:
                hits.append(hit)
            if time.monotonic() > until:
                ended = False
                break
        if ended and not hits:
            return None
        return hits

    def _complaints(self) -> str:
        """What the kernel has said since this was last asked for, shortened."""
        lines: list[str] = []
        while True:
            try:
                raw = os.read(self._messages, 8192)
            except BlockingIOError:
                return "; ".join(lines[-4:])
            except BrokenPipeError:  # messages were lost
                continue
            lines.append(raw.partition(b";")[2].split(b"\n")[0].decode("utf-8", "replace")[:200])


def _prepare() -> list[str]:
    """Mount what the kernel shows and load the modules; returns those that failed."""
    for kind, place in (("proc", b"/proc"), ("sysfs", b"/sys"), ("devtmpfs", b"/dev")):
        kernel.mount_at(kind, place, kind, 0, b"")
    failed = []
    with open("/modules/order", encoding="utf-8") as order:
        names = order.read().split()
    for name in names:
        file = os.open(f"/modules/{name}", os.O_RDONLY)
        if (
            kernel.LIBC.syscall(_FINIT_MODULE, file, b"", 0) < 0
            and ctypes.get_errno() != errno.EEXIST
        ):
            failed.append(name)
        os.close(file)
        os.unlink(f"/modules/{name}")
    return failed


def _port() -> int:
    """The virtio port to the host."""
    while True:
        for name in os.listdir("/dev"):
            if name.startswith("vport"):
                return os.open(f"/dev/{name}", os.O_RDWR)
        time.sleep(0.01)


def _receive(port: int, count: int) -> bytearray:
    data = bytearray()
    while len(data) < count:
        part = os.read(port, min(count - len(data), 65536))
        if not part:  # the host is not connected
            time.sleep(0.01)
        data += part
    return data


def _send(port: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(port, left) :]


def main() -> None:
    """Answer requests for ever."""
    agent = Agent(_prepare())
    port = _port()
    while True:
        (length,) = _LENGTH.unpack(_receive(port, _LENGTH.size))
        answer: tuple[Any, ...]
        try:
            answer = "done", agent.answer(*marshal.loads(_receive(port, length)))
        except OSError as error:
            answer = "os", error.errno or errno.EIO, error.strerror or str(error)
        except Exception as error:  # noqa: BLE001 (the host raises it)
            reason = (
                str(error)
                if isinstance(error, kernel.FailedError)
                else f"{type(error).__name__}: {error}"
            )
            answer = "failed", reason
        body = marshal.dumps(answer)
        _send(port, _LENGTH.pack(len(body)) + body)
