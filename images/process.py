"""Running programs: explicit argv, captured output, a time limit, errors that quote the output."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, NoReturn

from unclone.images.errors import ToolError, UncloneError, is_full, is_kill, killed
from unclone.images.interrupts import INTERRUPTS
from unclone.images.pinned import with_paths
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

#: prctl(2)
_PR_SET_PDEATHSIG = 1

#: Debian's directories of e2fsck and sfdisk, which are not on the PATH of an ordinary user.
SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")

#: The Debian package of each program, for messages.
PACKAGES = {
    "btrfs": "btrfs-progs",
    "btrfstune": "btrfs-progs",
    "cryptsetup": "cryptsetup-bin",
    "e2fsck": "e2fsprogs",
    "qemu-img": "qemu-utils",
    "qemu-nbd": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "setpriv": "util-linux",
    "tune2fs": "e2fsprogs",
    "xfs_admin": "xfsprogs",
    "xfs_repair": "xfsprogs",
    "virsh": "libvirt-clients",
}


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    timeout: float = 600,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    keep_open: Sequence[int] = (),
    ok: Sequence[int] = (0,),
) -> subprocess.CompletedProcess[bytes]:
    """Run *argv* to its end and return the completed process with its output as bytes.

    The child is killed when this process ends in any way (``setpriv --pdeathsig``), so that nothing
    still writes to an image when the next run begins. File descriptors in *keep_open* are
    inherited: an image lock is then held until the child has ended, too.

    Raises :class:`ToolError` when the program is missing, exceeds *timeout* seconds, or exits with
    a status not in *ok*; the message quotes stderr and stdout, because some tools (``tune2fs``)
    report errors on stdout. Raises :class:`KilledError` when another process killed it, and
    :class:`UncloneError` when it cannot be started.
    """
    program = os.fspath(argv[0])
    command = _command(argv)
    try:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            timeout=timeout,
            env={**_environment(), **(env or {})},
            pass_fds=tuple(keep_open),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ToolError(
            f"{program} did not finish within {timeout:.0f} s and was stopped"
        ) from None
    except OSError as error:
        raise UncloneError(f"cannot start {program}: {error.strerror}") from error
    if is_kill(done.returncode):
        raise killed(program)
    if done.returncode not in ok:
        output = _output(done)
        raise ToolError(
            f"{program} failed ({_ending(done.returncode)}): {output}",
            hint="Free some disk space and try again." if is_full(output) else "",
        )
    return done


def run_concurrently(here: Callable[[], None], *elsewhere: Callable[[], None]) -> None:
    """Call all of these at the same time, in threads; they mostly wait for programs.

    When all have ended, raises what *here* raised, else what the first of the others did. *here* is
    called in this thread; Ctrl-C ends the wait for the others, so those must only read.
    """
    errors: list[BaseException | None] = [None] * len(elsewhere)

    def do(number: int) -> None:
        try:
            elsewhere[number]()
        except BaseException as error:  # noqa: BLE001 (raised again below)
            errors[number] = error

    others = [Thread(target=do, args=(number,)) for number in range(len(elsewhere))]
    for thread in others:
        thread.start()
    try:
        here()
    finally:
        for thread in others:
            thread.join()
    for error in errors:
        if error is not None:
            raise error


def start(
    argv: Sequence[str | os.PathLike[str]],
    *,
    keep_open: Sequence[int] = (),
    output: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start *argv* and return at once, with pipes on its standard input and output.

    As with :func:`run`, it dies with this process; Ctrl-C at the terminal does not reach it. Its
    standard error is discarded. The caller has to end it. File descriptors in *keep_open* are
    inherited. With *output*, a file descriptor, it has no pipes: all its output goes there.

    Raises :class:`ToolError` when the program is missing.
    """
    command = _command(argv)
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE if output is None else subprocess.DEVNULL,
            stdout=subprocess.PIPE if output is None else output,
            stderr=subprocess.DEVNULL if output is None else output,
            env=_environment(),
            pass_fds=tuple(keep_open),
            start_new_session=True,
        )
    except OSError as error:
        raise UncloneError(f"cannot start {os.fspath(argv[0])}: {error.strerror}") from error


def run_delay(process: int) -> float:
    """Seconds for which a thread of *process* was ready to run, and others had the processors.

    Reference: Linux Documentation/scheduler/sched-stats.rst (/proc/<pid>/schedstat).
    """
    with suppress(OSError, ValueError, IndexError):  # gone, or a kernel that does not count
        files = Path(f"/proc/{process}/task").glob("*/schedstat")
        return max(int(file.read_bytes().split()[1]) for file in files) / 1e9
    return 0


def fork(main: Callable[[], None], name: str) -> subprocess.Popen[bytes]:
    """Fork this process, which has one thread, and call *main* there; return at once.

    The kernel shows the first 15 bytes of *name* for it (``/proc/PID/comm``).

    For *main*, as for :func:`start`: there are pipes on standard input and output, in ``sys`` as
    well; no other descriptors; default signal handlers; it dies with this process. Its status is 0
    when *main* returns, 1 after an exception.
    """
    parent = os.getpid()
    # A signal before the child has handlers of its own would be raised in the middle of this.
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    try:
        return subprocess.Popen(
            ["-"],  # never executed
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: _forked(main, name, parent, masked),  # noqa: PLW1509 (there is one thread)
        )
    except OSError as error:
        raise UncloneError(f"cannot start another process: {error.strerror}") from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)


def _forked(main: Callable[[], None], name: str, parent: int, mask: Iterable[int]) -> NoReturn:
    status = 1
    try:
        gc.disable()  # what it looks at would be copied, page by page
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # with these, what tells that it has started
        for number in INTERRUPTS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        die_with(parent)
        Path("/proc/self/comm").write_text(name)
        os.environ.update(_environment())
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
        main()
        sys.stdout.flush()
        status = 0
    finally:
        os._exit(status)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its *parent* ends."""
    import ctypes  # noqa: PLC0415 (only here)

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


class FairClock:
    """A clock that stands still while others have the processors that *processes* wait for.

    On a loaded host a limit of wall time would say more of the others than of these.
    """

    def __init__(self, processes: Callable[[], Iterable[int]]) -> None:
        self._processes = processes
        self._seconds = 0.0
        self._at, self._delays = time.monotonic(), self._measured()

    def seconds(self) -> float:
        """Seconds so far. Ask often: what a process waited is not known once it has ended."""
        at, delays = time.monotonic(), self._measured()
        passed = at - self._at
        delayed = sum(max(0.0, now - self._delays.get(each, 0.0)) for each, now in delays.items())
        self._seconds += passed - min(passed, delayed)
        self._at, self._delays = at, delays
        return self._seconds

    def _measured(self) -> Mapping[int, float]:
        return {process: run_delay(process) for process in self._processes()}


def require_program(program: str) -> None:
    """Raise :class:`ToolError` when *program* is missing."""
    if shutil.which(program, path=_environment()["PATH"]) is None:
        package = PACKAGES.get(program, program)
        raise ToolError(
            f"{program} is not installed", hint=f"On Debian or Ubuntu: apt-get install {package}"
        )


def _command(argv: Sequence[str | os.PathLike[str]]) -> list[str]:
    command = [os.fspath(a) for a in argv]
    require_program(command[0])
    return ["setpriv", "--pdeathsig", "KILL", "--", *command]


def _environment() -> dict[str, str]:
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS))
    return {**os.environ, "LC_ALL": "C.UTF-8", "PATH": path}


def _ending(returncode: int) -> str:
    return f"status {returncode}" if returncode >= 0 else f"killed by signal {-returncode}"


def _output(done: subprocess.CompletedProcess[bytes]) -> str:
    output = [part.decode("utf-8", "replace").strip() for part in (done.stderr, done.stdout)]
    return printable(with_paths(" / ".join(part for part in output if part))) or "no output"
