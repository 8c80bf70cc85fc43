"""File system checks: ``e2fsck`` for ext, our own code for FAT, the checker of other types.

References: e2fsck(8) "EXIT CODE"; Microsoft "FAT: General Overview of On-Disk Format" 1.03.
"""

from __future__ import annotations

import marshal
import re
import struct
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

from unclone.images import process
from unclone.images.engines.direct.ext.metadata import Metadata, UnusualError
from unclone.images.engines.direct.helpers import CHECKER, end, start
from unclone.images.engines.direct.vfat.damage import find_damage
from unclone.images.errors import EngineError, ToolError, is_kill, killed
from unclone.images.file_systems import ext
from unclone.images.file_systems.fat_boot_sector import parse_sane
from unclone.images.file_systems.table import UNKNOWN, type_of
from unclone.images.files import temporary_directory
from unclone.images.volumes import CheckResult, CheckState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from subprocess import CompletedProcess, Popen
    from typing import Protocol

    from unclone.images.blocks import Blocks
    from unclone.images.engines.direct.devices import Device
    from unclone.images.file_systems.file_system_type import Checker, FileSystemType

    class AsFile(Protocol):
        """Provides the content of a device, or only some areas of it, as a file."""

        def __call__(
            self, device: Device, areas: Iterable[tuple[int, int]] | None = None
        ) -> AbstractContextManager[Path]:
            """As :meth:`unclone.images.engines.direct.disks.Disks.as_file`."""


#: Seconds; large file systems on slow disks take long.
_LIMIT = 3600.0
_ANY = tuple(range(256))


def check(device: Device, as_file: AsFile, *, repair: bool) -> CheckResult:
    """As :meth:`unclone.images.volumes.Volumes.check`. Raises EngineError."""
    if device.content.ext is not None:
        return _check_ext(device, as_file, repair=repair)
    if device.content.type == "vfat":
        return _check_fat(device)
    if device.type == UNKNOWN:  # the caller has seen a file system
        return _result(device, CheckState.DAMAGED, "there is no file system any more")
    kind = type_of(device.type)
    if kind.checker is None:
        return _result(device, CheckState.NOT_CHECKED, "no checker")
    if repair and kind is ext.TYPE:  # a check that changes nothing is usually enough
        look = _check_with_tool(device, kind, kind.checker, as_file, repair=False)
        if look.state is CheckState.CLEAN:
            return look
    return _check_with_tool(device, kind, kind.checker, as_file, repair=repair)


def too_large(devices: Sequence[Device], free: int) -> Sequence[str]:
    """The ext file systems that have to be repaired, whose copy exceeds *free* bytes."""
    return [
        f"{d.name} has to be checked, for which a copy of {d.content.ext.used >> 20} MiB does "
        f"not fit in {temporary_directory()}"
        for d in devices
        if d.content.ext is not None and d.content.ext.needs_check and d.content.ext.used > free
    ]


class Checks:
    """The running checks of one guest, and a process that waits for the next check."""

    def __init__(self, as_file: AsFile) -> None:
        self._as_file = as_file
        self._running: list[_Check] = []
        self._waiting: Popen[bytes] | None = None

    def prepare(self) -> None:
        """Start the process for the next check ahead."""
        if self._waiting is None:
            self._waiting = start(CHECKER)

    def begin(self, device: Device) -> Callable[[], CheckResult]:
        """Begin to check the ext file system on *device*; the function returned waits for it."""
        self.prepare()
        assert self._waiting is not None  # noqa: S101  (just prepared)
        self._running.append(_Check(device, self._as_file, self._waiting))
        self._waiting = None
        return self._running[-1].result

    def end(self) -> None:
        """Stop them all. Safe to call twice."""
        for check_ in self._running:
            check_.end()
        if self._waiting is not None:
            end(self._waiting)
            self._waiting = None


class _Check:
    """A running check of the ext file system on *device*; nothing is changed.

    A copy without the contents of files is checked (``checker``): when it is clean, the file system
    is clean.
    """

    def __init__(self, device: Device, as_file: AsFile, checker: Popen[bytes]) -> None:
        """Send the device to *checker*, which waits for it."""
        self._device = device
        self._as_file = as_file
        self._process = checker
        message = (device.disk.place.as_plain(), device.start)
        assert checker.stdin is not None  # noqa: S101  (started with pipes)
        try:
            checker.stdin.write(marshal.dumps(message))
            checker.stdin.close()
            checker.stdin = None  # it is closed: communicate() must not flush it
        except OSError as error:
            if is_kill(checker.wait()):
                raise killed("e2fsck") from error
            raise EngineError("the file system check did not start") from error

    def result(self) -> CheckResult:
        """Wait for the result. Raises EngineError."""
        try:
            output, _ = self._process.communicate(timeout=_LIMIT)
        except subprocess.TimeoutExpired:
            raise EngineError(
                f"e2fsck did not finish within {_LIMIT:.0f} s and was stopped"
            ) from None
        finally:
            self.end()
        if is_kill(self._process.returncode):
            raise killed("e2fsck")
        if self._process.returncode:
            with self._as_file(self._device) as file:  # with all content, for the complete output
                return _examined(self._device, file)
        return _result(self._device, CheckState.CLEAN, _condensed(self._device, output))

    def end(self) -> None:
        """Stop it. Safe to call twice."""
        end(self._process)


def replay(device: Device, as_file: AsFile) -> None:
    """Bring the ext file system on *device* to the state that a mount would bring it to.

    Raises EngineError when it is damaged.
    """
    with as_file(device) as file:
        found = _run(file, ("e2fsck", "-p"))
    if found.returncode not in {0, 1}:
        output = _condensed(device, found.stdout + found.stderr, file)
        raise EngineError(f"the file system on {device.name} is damaged: {output}")


def _check_ext(device: Device, as_file: AsFile, *, repair: bool) -> CheckResult:
    assert device.content.ext is not None  # noqa: S101
    if not device.content.ext.needs_check:
        # A check that changes nothing is usually enough.
        look = _Check(device, as_file, start(CHECKER)).result()
        if look.state is CheckState.CLEAN or not repair:
            return look
    with as_file(device) as file:
        return _examined(device, file, repair=repair)


def _examined(device: Device, file: Path, *, repair: bool = False) -> CheckResult:
    """The result of e2fsck on *file*, which has the content of *device*."""
    found = _run(file, ext.CHECKER.repair if repair else ext.CHECKER.check)
    clean = found.returncode in (ext.CHECKER.repaired if repair else (0,))
    state = CheckState.CLEAN if clean else CheckState.DAMAGED
    return _result(device, state, _condensed(device, found.stdout + found.stderr, file))


def _check_with_tool(
    device: Device, kind: FileSystemType, checker: Checker, as_file: AsFile, *, repair: bool
) -> CheckResult:
    """Check a copy of the metadata, and unless that is clean, a copy of everything.

    What is missing in the first is zeros, which are damage to the checker.
    """
    argv = (checker.repair if repair else ()) or checker.check
    ok = checker.repaired if repair else (0,)
    if why := _missing(argv[0]):
        return _result(device, CheckState.NOT_CHECKED, why)
    with closing(device.open()) as blocks:
        if kind.devices and (count := kind.devices(blocks)) > 1:
            return _result(device, CheckState.NOT_CHECKED, f"it is one of {count} devices")
        areas = _areas(kind, blocks) if argv == checker.check else None
    for part in [areas, None] if areas is not None else [None]:
        with as_file(device, part) as file:
            found = _run(file, argv)
        output = _condensed(device, found.stdout + found.stderr, file)
        if found.returncode in ok:
            return _result(device, CheckState.CLEAN, output)
    return _result(device, CheckState.DAMAGED, output)


def _areas(kind: FileSystemType, blocks: Blocks) -> Iterable[tuple[int, int]] | None:
    """The areas that the checker reads, when that is known and they can be found."""
    try:
        find = kind.metadata or (_ext_areas if kind is ext.TYPE else None)
        found = find(blocks) if find else None
        return None if found is None else list(found)
    except (UnusualError, struct.error):  # of ext
        return None


def _ext_areas(blocks: Blocks) -> Iterable[tuple[int, int]]:
    return Metadata(blocks.read).places()


def _missing(program: str) -> str:
    try:
        process.require_program(program)
    except ToolError as error:
        return error.message
    return ""


def _check_fat(device: Device) -> CheckResult:
    volume = device.open()
    try:
        boot = parse_sane(volume.read(0, 512), volume.size)
        if boot is None:
            return _result(device, CheckState.DAMAGED, "the boot sector is damaged")
        damage = find_damage(volume, boot)
    finally:
        volume.close()
    state = CheckState.DAMAGED if damage else CheckState.CLEAN
    return _result(device, state, damage or "clean")


def _result(device: Device, state: CheckState, output: str) -> CheckResult:
    return CheckResult(device.name, device.type, state, output)


def _run(file: Path, checker: Sequence[str]) -> CompletedProcess[bytes]:
    return process.run([*checker, file], timeout=_LIMIT, ok=_ANY)


def _condensed(device: Device, output: bytes, file: Path | None = None) -> str:
    """The last lines of a checker's output, without its banner.

    The name of the copy that was checked is replaced by that of *device*.
    """
    text = output.decode("utf-8", "replace")
    text = re.sub(r"/proc/self/fd/\d+", device.name, text)
    lines = [line.strip() for line in text.replace(str(file), device.name).splitlines()]
    kept = [line for line in lines if line and not re.match(r"e2fsck \d", line)]
    return "; ".join(kept[-12:])
