"""The libguestfs appliance: a small Linux in QEMU with the disks attached.

This is the only module that imports the binding. It does what libguestfs leaves to its callers: it
decides whether to use KVM, has time limits, leaves no process behind, and explains failures.

Every call runs in one worker thread, because it is a C function that waits: the calling thread can
notice Ctrl-C or a time limit and kill QEMU, and then the call returns at once. The worker exists as
long as the appliance. When this process is killed, libguestfs' recovery process kills QEMU within
two seconds.

References: guestfs(3) "BACKEND", "BACKEND SETTINGS", guestfs-internals(1) "APPLIANCE BOOT
PROCESS"; QEMU qemu-system-x86_64(1) ``-drive werror=``, ``-set`` (libguestfs names drives ``hd0``
and so on, and puts its caller's options last, for this); systemd-udevd(8), kernel-command-line(7).
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from unclone.images.engines.guestfs.acceleration import Acceleration, acceleration, remember
from unclone.images.engines.guestfs.native import Native, string_list
from unclone.images.engines.guestfs.sectors import sector_size
from unclone.images.errors import EngineError, InUseError, UsageError, killed
from unclone.images.pinned import with_paths
from unclone.images.process import FairClock
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from unclone.images.engines.engine import Drive, Say

try:
    import guestfs
except ImportError as error:  # reported when an appliance is started, not on import
    guestfs = None
    _MISSING = str(error)

T = TypeVar("T")

#: Seconds to wait for each start of the appliance, with KVM and without, the building of the
#: appliance by supermin included. Without, it takes half a minute, and one start in hundreds hangs.
LAUNCH_LIMITS = {True: (120.0,), False: (180.0, 600.0)}

#: Seconds until it is looked at whether a call takes too long, and again.
_LOOK = 5.0

#: Seconds for one call, unless the caller gives another limit.
CALL_LIMIT = 600.0

#: Kernel arguments that shorten the start. Only requests of unclone run in the appliance, so
#: mitigations and confinement protect nothing there; each udev worker is a fork, which is slow
#: under software emulation.
KERNEL_ARGUMENTS = "mitigations=off lsm= udev.children_max=2"

#: Report errors of the host to the guest. By default QEMU pauses the machine when the disk is full,
#: which would look like a hang.
QEMU_OPTIONS = (
    ("-global", "scsi-hd.werror=report"),
    ("-global", "scsi-hd.rerror=report"),
    ("-global", "virtio-blk-device.werror=report"),
    ("-global", "virtio-blk-device.rerror=report"),
)

#: Bytes; a host file system with less free space counts as full.
ROOM = 1024 * 1024

#: Set by users who configure libguestfs' accelerator themselves; then nothing is tested.
SETTINGS_VARIABLE = "LIBGUESTFS_BACKEND_SETTINGS"


#: The kernel's messages about failed writes, as an extended regular expression.
_WRITE_ERRORS = (
    r"op 0x[0-9a-f]+:\(WRITE|lost a?sync page write|critical space allocation error"
    "|Remounting filesystem read-only|Aborting journal|forced readonly|log I/O error"
)


class _TooSlowError(EngineError):
    """A time limit was exceeded."""


class Appliance:
    """An appliance with *drives* attached as ``/dev/sda``, ``/dev/sdb`` ... in their order.

    ``binding`` and ``native`` are to be called only in functions that :meth:`call` runs.
    """

    def __init__(self, drives: Sequence[Drive], *, read_only: bool, kvm: bool | None) -> None:
        """Prepare it. With *kvm* None, the user's settings decide about the accelerator.

        With *read_only* each drive gets a temporary overlay.
        """
        self.drives = tuple(drives)
        self._kvm = kvm
        self._token = f"unclone-{secrets.token_hex(8)}"
        self._console: deque[bytes] = deque(maxlen=400)
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="guestfs")
        self._write_errors = 0
        self.closed = self._stopped = False
        _require_binding()
        self.binding = guestfs.GuestFS(python_return_dict=True)
        self.native = Native(self.binding._o)  # noqa: SLF001  (the binding hides its handle)
        self.native.listen(self._console.append)
        self._worker.submit(self.native.silence).result()
        self._configure()
        for number, drive in enumerate(self.drives):
            self._attach(number, drive, read_only=read_only)

    def launch(self, limit: float) -> None:
        """Start it within *limit* seconds.

        Raises EngineError, or InUseError when another process holds a drive.
        """
        try:
            self.call(self.binding.launch, limit=limit)
        except EngineError as error:
            self.abandon()
            raise self._explanation(error) from error
        except BaseException:
            self.abandon()
            raise

    # -- calling ---------------------------------------------------------------------------
    def call(self, function: Callable[[], T], *, limit: float = CALL_LIMIT) -> T:
        """Run *function* in the worker and return its result, within *limit* seconds.

        Time in which others had the processors does not count. When the limit is exceeded, or the
        waiting thread is interrupted, the appliance is killed in the middle of the operation: its
        drives have to be discarded. Raises EngineError, or the OSError of a path operation.
        """
        if self.closed:
            raise EngineError("the libguestfs appliance has been closed")
        future = self._worker.submit(function)
        try:
            clock = None
            while not wait([future], min(limit, _LOOK)).done:
                clock = clock or FairClock(lambda: [each for each, _ in self._processes()])
                if clock.seconds() >= limit:
                    raise TimeoutError  # noqa: TRY301 (as an interrupt)
            return future.result()
        except BaseException as error:
            if not future.done():
                self._kill_until_done(future)
                if isinstance(error, TimeoutError):
                    raise _TooSlowError(
                        f"the libguestfs appliance did not answer within {limit:.0f} s; "
                        "it was stopped"
                    ) from None
                raise
            if isinstance(error, RuntimeError):  # how the binding reports every failure
                failure = EngineError(f"libguestfs: {printable(str(error))}")
                raise self._full_host() or failure from error
            if isinstance(error, EngineError | OSError):
                raise self._full_host() or error from None
            raise

    def shell(self, script: str, *, limit: float = CALL_LIMIT) -> bytes:
        """Run *script* with the appliance's own ``sh`` and return what it printed.

        Names of the guest may be in it only as :func:`shell_value` writes them. Raises EngineError
        when its last command fails. The output is at most 4 MiB, and ends at a null byte.
        """
        arguments = string_list([script.encode("ascii")])
        return self.call(lambda: self.native.text("debug", b"sh", arguments), limit=limit)

    def require_written(self) -> None:
        """Write everything to the drives. Raises EngineError when the kernel reports an error.

        sync(2) and umount(2) succeed all the same, so the kernel log is searched.
        """
        counted = int(self.shell(f"sync; dmesg | grep -cE '{_WRITE_ERRORS}'; true"))
        before, self._write_errors = self._write_errors, counted
        if counted > before:
            raise self._full_host() or EngineError(
                "the appliance could not write to the disk",
                hint="Check the disk with the image: it may be failing.",
            )

    # -- the end ---------------------------------------------------------------------------
    def close(self) -> None:
        """Unmount, write everything to the drives, stop. Raises EngineError when that fails."""
        if self.closed:
            return
        try:
            self.call(self.binding.shutdown)
        finally:
            self._release()

    def abandon(self) -> None:
        """Kill it; what was not written is lost."""
        if not self.closed:
            self._kill()
            self._release()

    def require_alive(self) -> None:
        """Raise KilledError when something else has killed the appliance."""
        if not self.closed and not self._stopped and not any(self._processes()):
            raise killed("the libguestfs appliance")

    def _release(self) -> None:
        self.closed = True
        self._worker.submit(self.binding.close).result()
        self._worker.shutdown()

    def _kill_until_done(self, future: Future[Any]) -> None:
        while not future.done():
            self._kill()
            time.sleep(0.05)

    def _kill(self) -> None:
        self._stopped = True
        for process, number in self._processes():
            with suppress(OSError):  # it ended by itself in the meantime
                os.kill(process, number)

    def _processes(self) -> Iterator[tuple[int, signal.Signals]]:
        """The ids of the processes that run or prepare it, and the signal that ends each."""
        for process in _children():
            with suppress(OSError):  # it ended by itself in the meantime
                name = Path("/proc", str(process), "comm").read_text().strip()
                command = Path("/proc", str(process), "cmdline").read_bytes().split(b"\0")
                if name == "supermin":
                    yield process, signal.SIGTERM
                elif self._token.encode() in command:
                    yield process, signal.SIGKILL

    # -- preparing -------------------------------------------------------------------------
    def _configure(self) -> None:
        binding = self.binding
        try:
            binding.set_backend("direct")
            if self._kvm is False:
                binding.set_backend_settings(["force_tcg"])
            binding.set_smp(min(os.cpu_count() or 1, 2))
            if not os.environ.get("LIBGUESTFS_APPEND"):
                binding.set_append(KERNEL_ARGUMENTS)
            for option, value in (*QEMU_OPTIONS, ("-name", self._token)):
                binding.config(option, value)
        except RuntimeError as error:
            raise EngineError(f"libguestfs: {printable(str(error))}") from error

    def _attach(self, number: int, drive: Drive, *, read_only: bool) -> None:
        shown = printable(os.fspath(drive.path))
        try:
            path = os.fspath(drive.path.absolute())
            path.encode()
            described = drive.image is not None
            self.binding.add_drive_opts(
                path,
                format=drive.format,
                readonly=read_only and not described,
                cachemode="writeback",
                blocksize=sector_size(drive),
            )
            if described:
                # libguestfs resolves the path, which may lead to another file by then, and QEMU
                # would follow the header of that file.
                file = "json:" + json.dumps(drive.node)
                self.binding.config("-set", f"drive.hd{number}.file={file}")
                if read_only:  # QEMU makes a temporary overlay
                    self.binding.config("-set", f"drive.hd{number}.snapshot=on")
        except UnicodeEncodeError:
            raise UsageError(
                f"{shown}: libguestfs cannot open a file whose name is not valid UTF-8",
                hint="Give the file, or the folder it is in, another name.",
            ) from None
        except RuntimeError as error:
            raise EngineError(f"{shown}: libguestfs: {printable(str(error))}") from error

    # -- explaining ------------------------------------------------------------------------
    def _explanation(self, error: EngineError) -> EngineError | InUseError:
        """The error when it did not start, with the message of QEMU or the kernel if any."""
        console = b"".join(self._console).decode("utf-8", "replace")
        lines = [line.strip() for line in console.splitlines() if line.strip()]
        messages = [line for line in lines if re.match(r"\S*qemu-(system|kvm)\S*: ", line)]
        if isinstance(error, _TooSlowError) and not messages:
            return error
        reason = printable(with_paths(" / ".join(messages or lines[-3:]))) or error.message
        if " lock" in reason and "Failed to get" in reason:
            drives = ", ".join(printable(os.fspath(drive.path)) for drive in self.drives)
            return InUseError(
                f"{drives}: in use by another process: {reason}",
                hint="Shut down the virtual machine that uses it.",
            )
        hint = "libguestfs-test-tool says more about what is missing."
        if "supermin" in error.message:
            hint = (
                "The appliance is built from this host's kernel: one must be installed "
                "(apt-get install linux-image-amd64) and readable (chmod a+r /boot/vmlinuz-*)."
            )
        return EngineError(f"the libguestfs appliance did not start: {reason}", hint=hint)

    def _full_host(self) -> EngineError | None:
        """The error to report when the host has no space left for what the guest writes."""
        for drive in self.drives:
            found = os.statvfs(drive.path.parent)
            if found.f_bavail * found.f_frsize < ROOM:
                return EngineError(
                    f"{printable(os.fspath(drive.path))}: no space left in its folder",
                    hint="Free some space there and try again.",
                )
        return None


def start(drives: Sequence[Drive], *, read_only: bool, say: Say) -> Appliance:
    """Start an appliance with the accelerator that works on this host.

    When KVM passed the test but the appliance does not start with it, software emulation is used,
    and that is cached for the next runs. Raises EngineError or InUseError.
    """
    if os.environ.get(SETTINGS_VARIABLE):
        return _started(drives, read_only=read_only, kvm=None, say=say)
    found = acceleration()
    if found.kvm:
        try:
            return _started(drives, read_only=read_only, kvm=True, say=say)
        except EngineError as error:
            failure = Acceleration(kvm=False, reason=f"with it, {error.message}")
        say(failure.message)
        appliance = _started(drives, read_only=read_only, kvm=False, say=say)
        remember(failure)  # only now is KVM known to be the reason
        return appliance
    say(found.message)
    return _started(drives, read_only=read_only, kvm=False, say=say)


def shell_value(name: str, value: bytes) -> str:
    """Shell commands that set the variable *name* to *value*, written as octal digits.

    The ``x`` keeps newlines at the end, which ``$(...)`` would remove.
    """
    digits = "".join(f"\\{byte:03o}" for byte in value)
    return f"{name}=$(printf '{digits}x'); {name}=${{{name}%x}}; "


def _started(drives: Sequence[Drive], *, read_only: bool, kvm: bool | None, say: Say) -> Appliance:
    *shorter, last = LAUNCH_LIMITS[bool(kvm)]
    for limit in shorter:
        appliance = Appliance(drives, read_only=read_only, kvm=kvm)
        try:
            appliance.launch(limit)
        except _TooSlowError:
            say(f"the libguestfs appliance did not start in {limit:.0f} s; it is started again")
        else:
            return appliance
    appliance = Appliance(drives, read_only=read_only, kvm=kvm)
    appliance.launch(last)
    return appliance


def _require_binding() -> None:
    if guestfs is None:
        raise EngineError(
            f"the Python binding of libguestfs cannot be imported ({_MISSING})",
            hint="On Debian or Ubuntu: apt-get install python3-guestfs libguestfs-tools "
            "libguestfs-xfs. The binding belongs to /usr/bin/python3; a virtual environment "
            "sees it when made by: /usr/bin/python3 -m venv --system-site-packages",
        )


def _children() -> Iterator[int]:
    """The process ids of the children of this process."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):  # it ended by itself in the meantime
                after_name = (folder / "stat").read_text(errors="replace").rpartition(")")[2]
                if int(after_name.split()[1]) == os.getpid():
                    yield int(folder.name)
