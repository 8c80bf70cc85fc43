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
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unclone.images.engines.appliance import build, machine
from unclone.images.engines.appliance.machine import Machine, Parts, UnusableError
from unclone.images.engines.guestfs.acceleration import acceleration, cache_file
from unclone.images.errors import EngineError, KilledError, ToolError, UncloneError
from unclone.images.files import explained
from unclone.images.process import PACKAGES, require_program
from unclone.images.temporary_folders import new_folder
from unclone.images.temporary_folders import remove as remove_folder
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.images.engines.engine import Say

PROGRAM = "qemu-system-x86_64"

_DESCRIPTION = "description.json"
_MEMORY, _STATE, _INITRD = "memory", "state", "initrd"
_DRAFT = ".draft"
#: Seconds of processor time until a resumed machine answers; it takes a third of one.
_ANSWER = 20.0
#: How many machines are kept: those that were used last.
_KEPT = 2
#: Says why a machine could not be made or resumed, and for how many seconds that is believed.
_FAILED, _BELIEVED = ".failed", 3600.0

#: Gives new descriptors for the disks: a machine that has failed has used those that it was given.
Attach = Callable[[], Sequence[int]]


class Frozen:
    """A frozen machine in *folder*, and what its description says."""

    def __init__(self, folder: Path, description: dict[str, Any]) -> None:
        self.folder = folder
        self.parts = _parts(folder, description)
        self.types: Sequence[str] = description["types"]
        self.files: dict[str, Any] = description["files"]

    def resume(self, disks: Sequence[int]) -> Machine:
        """A machine that has answered. Raises UnusableError."""
        memory, state = self.folder / _MEMORY, self.folder / _STATE
        resumed = Machine(self.parts, memory=memory, state=state, disks=disks)
        return _answering(resumed, _ANSWER)


def start(attach: Attach, say: Say) -> tuple[Machine, Sequence[str]]:
    """A machine with disks, and the names of the file systems that its kernel knows.

    Resumed where that is possible, else booted. Raises EngineError.
    """
    require_program(PROGRAM)
    if platform.machine() != "x86_64":
        raise EngineError(f"the appliance is not known to work on {platform.machine()}")
    kernel = build.find_kernel()
    for accelerator in _accelerators():
        try:
            return _resumed(kernel, accelerator, attach, say)
        except (UnusableError, OSError) as error:
            why = error.message if isinstance(error, UncloneError) else str(error)
            say(f"the virtual machine is booted anew: it could not be kept ({why})")
        try:
            return _booted(kernel, accelerator, attach())
        except UnusableError:
            if accelerator == "tcg":
                raise
    raise EngineError("no virtual machine starts here")


def _accelerators() -> Sequence[str]:
    return ("kvm", "tcg") if acceleration(hypervisor=PROGRAM).kvm else ("tcg",)


def _resumed(
    kernel: build.Kernel, accelerator: str, attach: Attach, say: Say
) -> tuple[Machine, Sequence[str]]:
    key = _key(kernel, accelerator)
    folder = cache_folder() / _digest(key)
    found = _read(folder, key)
    if found is not None:
        with suppress(UnusableError):
            return _used(found, attach)
    with _locked(folder.parent):
        # Another process may have made it meanwhile, or again.
        other = _read(folder, key)
        if other is None or (found is not None and other.files == found.files):
            _require_hope(folder)
            _discard(folder)
            say("a virtual machine is booted once, and kept for the next time")
            other = _make(folder, key, kernel, accelerator)
            with _noted(folder):
                return _used(other, attach)
    return _used(other, attach)


def _used(found: Frozen, attach: Attach) -> tuple[Machine, Sequence[str]]:
    resumed = found.resume(attach())
    with suppress(OSError):  # it says which were used last
        os.utime(found.folder / _DESCRIPTION)
    return resumed, found.types


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
        _clean_up(parent)
    finally:
        os.close(lock)


def _clean_up(parent: Path) -> None:
    """Remove drafts of processes that were killed, and the machines that were used longest ago.

    The caller has the lock, so there is no draft that is being made.
    """
    used: dict[Path, float] = {}
    for each in parent.iterdir():
        with suppress(OSError):
            if each.suffix == _FAILED:
                if _age(each) > _BELIEVED:
                    each.unlink()
            elif each.is_dir() and not each.is_symlink():
                complete = each.suffix != _DRAFT and (each / _DESCRIPTION).exists()
                used[each] = (each / _DESCRIPTION).stat().st_mtime if complete else 0.0
    in_order = sorted(used, key=used.__getitem__)
    for each in in_order:
        if not used[each] or each not in in_order[-_KEPT:]:
            _discard(each)


def _require_hope(folder: Path) -> None:
    """Raise UnusableError when making *folder* failed a short time ago."""
    failed = folder.with_suffix(_FAILED)
    with suppress(OSError):
        if _age(failed) <= _BELIEVED:
            why = printable(failed.read_text("utf-8", "replace"), 300)
            raise UnusableError(f"{why}; it is tried again an hour after that")


@contextmanager
def _noted(folder: Path) -> Iterator[None]:
    """Note in the cache why a machine, which takes long to boot, cannot be kept."""
    try:
        yield
    except KilledError:  # this is not because of the host
        raise
    except UncloneError as error:
        with suppress(OSError):
            folder.with_suffix(_FAILED).write_text(error.message)
        raise


def _age(path: Path) -> float:
    """Seconds since it was changed; a clock that was set back makes it old."""
    age = time.time() - path.stat().st_mtime
    return age if age >= 0 else float("inf")


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


def _make(folder: Path, key: dict[str, Any], kernel: build.Kernel, accelerator: str) -> Frozen:
    """Boot a machine and freeze it in *folder*. Raises UnusableError."""
    draft = folder.with_suffix(_DRAFT)
    try:
        with explained("keep a virtual machine", folder.parent):
            draft.mkdir(mode=0o700)
            # A boot takes long, and QEMU ends by a signal when its memory cannot be stored.
            for name, size in ((_MEMORY, machine.MEMORY << 20), (_STATE, machine.STATE)):
                with (draft / name).open("xb") as file:
                    os.posix_fallocate(file.fileno(), 0, size)
            initrd = draft / _INITRD
            first = build.build_initrd(kernel, initrd)
            parts = Parts(PROGRAM, machine.MACHINE, accelerator, kernel.image, initrd, first)
            with _noted(folder):
                described = _freeze(parts, draft)
            initrd.write_bytes(b"")  # it is in the memory; QEMU wants a file of that name
            description = {
                **described,
                "key": key,
                "image": str(kernel.image),
                "first": first,
                "accelerator": accelerator,
                "files": {name: _stamp(draft / name)[1:] for name in (_MEMORY, _STATE)},
            }
            (draft / _DESCRIPTION).write_text(json.dumps(description))
            draft.rename(folder)
            return Frozen(folder, description)
    except UncloneError as error:
        raise UnusableError(error.message, hint=error.hint) from error
    finally:
        _discard(draft)


def _freeze(parts: Parts, draft: Path) -> dict[str, Any]:
    """Boot *parts* in the memory in *draft* and write the state next to it; what it said."""
    booted = _answering(Machine(parts, memory=draft / _MEMORY, share=True), machine.START_LIMIT)
    try:
        release, types, _ = booted.call("hello", 0)
        version = _resolved_machine(booted)
        booted.freeze(draft / _STATE)
    finally:
        booted.end()
    return {"machine": version, "kernel": release, "types": types}


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
