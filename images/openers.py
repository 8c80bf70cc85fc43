"""Other users of an image file on this host that take none of QEMU's locks (``lock.py``).

A loop device, a server without QEMU's locks, or a QEMU with ``file.locking=off`` takes no lock. But
the kernel grants a read lease (fcntl(2), ``F_SETLEASE``) only while nothing on this host has the
file open for writing, not even a kernel driver or another container. Where leases do not work (the
file is another user's, or its file system has none), ``/proc`` and ``/sys`` are read, which show
what this user may see.

References: Linux 6.1 ``fs/locks.c`` (check_conflicting_open), ``drivers/block/loop.c``
(loop_attr_backing_file_show); proc(5), ``/proc/PID/fdinfo``.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: How the names of hypervisors and NBD servers begin (15 bytes, proc_pid_comm(5)).
_MACHINE = re.compile(
    "qemu-(?!img|io)|kvm|nbd|cloud-hyperviso|firecracker|crosvm|VBox|VirtualBox|vmware-vmx|bhyve|libkrun"
)

# linux/loop.h: struct loop_info64 begins with the device and the inode of the file.
_LOOP_GET_STATUS64 = 0x4C05
_LOOP_INFO64_SIZE = 232


class _Opener(NamedTuple):
    name: str
    writes: bool


def find(path: Path, *, writers_only: bool) -> Sequence[str]:
    """Descriptions of what else on this host has *path* open for writing.

    Without *writers_only* also of a loop device, a virtual machine or an NBD server that only
    reads: a file system may be mounted from it. Other readers (a backup) do not count. Call it
    before this process opens *path* for writing.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return ()  # the lock, which opens it next, says why
    try:
        devices = () if writers_only else tuple(_loop_devices(os.fstat(descriptor)))
        if devices:
            return devices
        if not _open_for_writing(descriptor, path):
            # Only where something has it open: looking at every process takes its time.
            return () if writers_only or _alone(descriptor) else tuple(_machines(path))
    finally:
        os.close(descriptor)  # ends the lease
    writers = [opener.name for opener in _openers(path) if opener.writes]
    return writers or ["open for writing by a process that this user may not see"]


def names(path: Path) -> Sequence[str]:
    """Descriptions of everything else that has *path* open, as far as this user may see it."""
    return [opener.name for opener in _openers(path)]


def _openers(path: Path) -> Iterator[_Opener]:
    wanted = path.stat()
    for device in _loop_devices(wanted):
        yield _Opener(device, writes=not _read_only(device))
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        try:
            opened = [fd for fd in (process / "fd").iterdir() if _is(fd, wanted)]
            name = (process / "comm").read_text(errors="replace").strip()
        except OSError:
            continue  # ended meanwhile, or another user's
        if opened:
            writes = any(_is_writable(process, fd.name) for fd in opened)
            yield _Opener(f"{printable(name)}, process {process.name}", writes)


def _open_for_writing(descriptor: int, path: Path) -> bool:
    try:
        # An open that breaks the lease sends a signal; the default one would end this process.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            return True
        return any(opener.writes for opener in _openers(path))  # no leases here
    return False


def _alone(descriptor: int) -> bool:
    """Whether nothing else on this host has the file open, as far as the kernel counts readers."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        # A process that opens the file meanwhile waits.
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    return True


def _machines(path: Path) -> Iterator[str]:
    """The hypervisors and NBD servers that have *path* open for reading."""
    for opener in _openers(path):
        if _MACHINE.match(opener.name):
            yield opener.name


def _loop_devices(wanted: os.stat_result) -> Iterator[str]:
    for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
        device = f"/dev/{entry.parts[3]}"
        if _is_named_by(entry, wanted) or _is_behind(device, wanted):
            yield device


def _is_named_by(entry: Path, wanted: os.stat_result) -> bool:
    with suppress(OSError, ValueError):
        # The path as given to losetup, which the kernel escapes as in /proc/mounts.
        text = re.sub(
            rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), entry.read_bytes().rstrip(b"\n")
        )
        return os.path.samestat(Path(os.fsdecode(text)).stat(), wanted)
    return False


def _is_behind(device: str, wanted: os.stat_result) -> bool:
    """Whether the loop driver has that file, also after a rename. Not every user may ask it."""
    with suppress(OSError):
        descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            found = fcntl.ioctl(descriptor, _LOOP_GET_STATUS64, bytes(_LOOP_INFO64_SIZE))
        finally:
            os.close(descriptor)
        return struct.unpack_from("=QQ", found) == (wanted.st_dev, wanted.st_ino)
    return False


def _read_only(device: str) -> bool:
    try:
        return Path("/sys/block", Path(device).name, "ro").read_text().strip() == "1"
    except OSError:
        return False


def _is(descriptor: Path, wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(wanted, descriptor.stat())
    except OSError:  # closed meanwhile: a starting QEMU opens and closes many
        return False


def _is_writable(process: Path, descriptor: str) -> bool:
    with suppress(OSError):
        match = re.search(
            r"^flags:\s*([0-7]+)", (process / "fdinfo" / descriptor).read_text(), re.MULTILINE
        )
        return match is not None and int(match[1], 8) & os.O_ACCMODE != os.O_RDONLY
    return False
