"""The frozen machine: booted once for a user, and kept until something that it depends on changes.

It is in a folder of the user's cache, named by a digest of everything that it depends on, made
under a lock in a draft that is renamed when it is complete. What is in the folder is believed only
while its files are exactly those that were written (size, time of change, inode): QEMU maps them
privately and never writes to them.

Reference: flock(2); stat(2) (``st_ctime`` changes with every change of a file).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unclone.images.engines.appliance import build, machine
from unclone.images.engines.appliance.machine import Machine, Parts, UnusableError
from unclone.images.engines.guestfs.acceleration import acceleration, cache_file
from unclone.images.errors import EngineError, ToolError, UncloneError
from unclone.images.files import explained
from unclone.images.process import PACKAGES, require_program
from unclone.images.temporary_folders import new_folder
from unclone.images.temporary_folders import remove as remove_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.engines.engine import Say

PROGRAM = "qemu-system-x86_64"

_DESCRIPTION = "description.json"
_MEMORY, _STATE, _INITRD = "memory", "state", "initrd"
#: Seconds of processor time until a resumed machine answers; it takes a third of one.
_ANSWER = 20.0
#: Seconds after which a draft, or a machine of another key that nobody has used, is removed.
_OLD = 14 * 24 * 3600.0


class Frozen:
    """A frozen machine in *folder*, and what its description says."""

    def __init__(self, folder: Path, description: dict[str, Any]) -> None:
        self.folder = folder
        self.parts = _parts(folder, description)
        self.types: Sequence[str] = description["types"]
        self.kernel: str = description["kernel"]

    def resume(self, disks: Sequence[int]) -> Machine:
        """A machine that has answered. Raises UnusableError."""
        memory, state = self.folder / _MEMORY, self.folder / _STATE
        resumed = Machine(self.parts, memory=memory, state=state, disks=disks)
        return _answering(resumed, _ANSWER)


def start(disks: Sequence[int], say: Say) -> tuple[Machine, Sequence[str]]:
    """A machine with *disks*, and the names of the file systems that its kernel knows.

    Resumed where that is possible, else booted. Raises EngineError.
    """
    require_program(PROGRAM)
    if platform.machine() != "x86_64":
        raise EngineError(f"the appliance is not known to work on {platform.machine()}")
    kernel = build.find_kernel()
    for accelerator in _accelerators():
        try:
            return _resumed(kernel, accelerator, disks, say)
        except (UnusableError, OSError) as error:
            why = error.message if isinstance(error, UncloneError) else str(error)
            say(f"the virtual machine is booted anew: it could not be kept ({why})")
        try:
            return _booted(kernel, accelerator, disks)
        except UnusableError:
            if accelerator == "tcg":
                raise
    raise EngineError("no virtual machine starts here")


def _accelerators() -> Sequence[str]:
    return ("kvm", "tcg") if acceleration(hypervisor=PROGRAM).kvm else ("tcg",)


def _resumed(
    kernel: build.Kernel, accelerator: str, disks: Sequence[int], say: Say
) -> tuple[Machine, Sequence[str]]:
    key = _key(kernel, accelerator)
    folder = cache_folder() / _digest(key)
    found = _read(folder, key)
    if found is not None:
        with suppress(UnusableError):
            return found.resume(disks), found.types
    with _locked(folder.parent):
        # Another process may have made it meanwhile, or again.
        other = _read(folder, key)
        if other is None or (found is not None and other.folder.stat() == found.folder.stat()):
            _discard(folder)
            say("a virtual machine is booted once, and kept for the next time")
            _make(folder, key, kernel, accelerator)
            other = _read(folder, key)
    if other is None:
        raise UnusableError("what was just written cannot be read")
    return other.resume(disks), other.types


def cache_folder() -> Path:
    """The folder of this user's frozen machines."""
    return cache_file().parent / "appliance"


def _key(kernel: build.Kernel, accelerator: str) -> dict[str, Any]:
    """Everything that the frozen machine depends on."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise ToolError(f"{PROGRAM} is not installed", hint=f"apt-get install {PACKAGES[PROGRAM]}")
    return {
        "qemu": _stamp(Path(program).resolve()),
        "python": _stamp(build.interpreter()),
        "kernel": [kernel.version, _stamp(kernel.image), _stamp(kernel.modules / "modules.dep")],
        "accelerator": accelerator,
        "processor": _processor() if accelerator == "kvm" else "",
        "agent": build.agent_digest(),
        "machine": Parts("", machine.MACHINE, accelerator, Path(), Path(), "").arguments(),
        "user": os.geteuid(),
    }


def _digest(key: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]


def _stamp(path: Path) -> list[Any]:
    found = path.stat()
    return [str(path), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _processor() -> list[str]:
    """The lines that say which processor it is; its flags and microcode are among them."""
    wanted = ("vendor_id", "cpu family", "model", "stepping", "microcode", "flags")
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").split("\n\n")[0].splitlines()
    except OSError:
        return []
    return [line for line in lines if line.startswith(wanted)]


@contextmanager
def _locked(parent: Path) -> Iterator[None]:
    """One process at a time makes machines in *parent*, which only the user may enter."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = parent.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise UnusableError(f"{parent} is not private to this user")
    lock = os.open(parent / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _clean_up(parent)
        yield
    finally:
        os.close(lock)


def _clean_up(parent: Path) -> None:
    """Remove drafts of processes that were killed, and what nobody has used for long.

    The caller has the lock, so there is no draft that is being made.
    """
    for folder in parent.glob("*.draft"):
        _discard(folder)
    for folder in parent.iterdir():
        with suppress(OSError):
            if folder.is_dir() and time.time() - (folder / _DESCRIPTION).stat().st_atime > _OLD:
                _discard(folder)


def _discard(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _read(folder: Path, key: dict[str, Any]) -> Frozen | None:
    """What is in *folder*, when it is complete, unchanged and for *key*."""
    try:
        description = json.loads((folder / _DESCRIPTION).read_bytes())
        stamps = {name: _stamp(folder / name)[1:] for name in (_MEMORY, _STATE)}
        private = folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 0o077
        if private and description["key"] == key and description["files"] == stamps:
            return Frozen(folder, description)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return None


def _make(folder: Path, key: dict[str, Any], kernel: build.Kernel, accelerator: str) -> None:
    """Boot a machine and freeze it in *folder*. Raises UnusableError."""
    draft = Path(tempfile.mkdtemp(suffix=".draft", dir=folder.parent))
    try:
        with explained("keep a virtual machine", folder.parent):
            initrd = draft / _INITRD
            first = build.build_initrd(kernel, initrd)
            # QEMU ends by a signal when its memory cannot be stored.
            with (draft / _MEMORY).open("xb") as memory:
                os.posix_fallocate(memory.fileno(), 0, machine.MEMORY << 20)
            parts = Parts(PROGRAM, machine.MACHINE, accelerator, kernel.image, initrd, first)
            booted = _answering(
                Machine(parts, memory=draft / _MEMORY, share=True), machine.START_LIMIT
            )
            try:
                release, types, _ = booted.call("hello", 0)
                version = _resolved_machine(booted)
                booted.freeze(draft / _STATE)
            finally:
                booted.end()
            initrd.write_bytes(b"")  # it is in the memory; QEMU wants a file of that name
            description = {
                "key": key,
                "machine": version,
                "kernel": release,
                "image": str(kernel.image),
                "types": types,
                "first": first,
                "accelerator": accelerator,
                "files": {name: _stamp(draft / name)[1:] for name in (_MEMORY, _STATE)},
            }
            (draft / _DESCRIPTION).write_text(json.dumps(description))
            draft.rename(folder)
    except UncloneError as error:
        raise UnusableError(error.message, hint=error.hint) from error
    finally:
        _discard(draft)


def _resolved_machine(booted: Machine) -> str:
    """The machine type with its version."""
    for each in booted.ask("query-machines", {}):
        if machine.MACHINE in {each.get("alias"), each["name"]}:
            return str(each["name"])
    return machine.MACHINE


def _parts(folder: Path, description: dict[str, Any]) -> Parts:
    return Parts(
        PROGRAM,
        description["machine"],
        description["accelerator"],
        Path(description["image"]),
        folder / _INITRD,
        description["first"],
    )


def _booted(
    kernel: build.Kernel, accelerator: str, disks: Sequence[int]
) -> tuple[Machine, Sequence[str]]:
    """A machine that was booted for this guest, and is not kept."""
    folder, lock = new_folder()
    try:
        initrd = folder / "disk-initrd"
        first = build.build_initrd(kernel, initrd)
        parts = Parts(PROGRAM, machine.MACHINE, accelerator, kernel.image, initrd, first)
        booted = _answering(Machine(parts, disks=disks), machine.START_LIMIT)
    finally:
        remove_folder(folder)
        os.close(lock)
    return booted, booted.call("hello", 0)[1]


def _answering(started: Machine, limit: float) -> Machine:
    """*started*, which has answered, with the right time and random numbers of its own."""
    try:
        started.call("resume", 0, time.time_ns(), os.urandom(64), limit=limit)
    except BaseException as error:
        started.end()
        if isinstance(error, (EngineError, OSError)) and not isinstance(error, UnusableError):
            raise UnusableError(f"the virtual machine does not answer: {error}") from error
        raise
    return started
