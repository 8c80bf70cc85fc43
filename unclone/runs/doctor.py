"""What this host has, what it lacks, and how to get it: ``unclone doctor``.

Nothing here starts an appliance; what can be seen in files is read from files.

References: supermin(1) ``SUPERMIN_KERNEL``, guestfs(3) "ENVIRONMENT VARIABLES",
libguestfs-test-tool(1).
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unclone.images.boot.firmware import find_ovmf
from unclone.images.engines.appliance.build import find_kernel
from unclone.images.engines.appliance.frozen import PROGRAM, cache_folder
from unclone.images.engines.direct.nbd_server import try_reading
from unclone.images.engines.guestfs.acceleration import KVM, default_hypervisor, probe
from unclone.images.errors import UncloneError
from unclone.images.process import run
from unclone.images.text import printable
from unclone.runs.host_packages import PACKAGES, distribution_family, install

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

State = Literal["ok", "missing", "optional"]

#: What the appliance engine opens besides what the direct engine does, and what the guestfs one.
APPLIANCE = "XFS, btrfs, LVM, LUKS, RAID1"
GUESTFS_ONLY = "XFS, btrfs, LVM, LUKS and MD"

#: Bytes that the appliance, built once and cached, and a run's scratch files need.
SCRATCH_SPACE = 1024**3

_ROOT = Path("/")

#: The identifier of the check of the appliance engine, and the programs that it runs on the host.
_FROZEN = "frozen"
_HOST_TOOLS = ("xfs_repair", "btrfs", "cryptsetup")

#: Where Debian has e2fsck, and an ordinary user's PATH does not look.
_SYSTEM_FOLDERS = "/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked for.

    ``missing``: the direct engine does not work without it. ``optional``: it is not there, and
    guests with ext2/3/4 and FAT can be sanitised all the same.
    """

    id: str
    title: str
    state: State
    found: str
    needed_for: str
    #: A command or a sentence; empty when there is nothing to do.
    fix: str = ""
    #: The engine that does not work without it; empty when both do.
    engine: Literal["", "direct", "guestfs"] = ""

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/json.md."""
        return asdict(self)


def verdict(found: Sequence[Check]) -> str:
    """What works on this host, in one line."""
    direct, guestfs = lacking(found, "direct"), lacking(found, "guestfs")
    if not direct and not guestfs:
        return f"ready: direct engine (ext2/3/4, FAT) and guestfs engine ({GUESTFS_ONLY})"
    if not direct:
        need = ", ".join(guestfs)
        if any(check.id == _FROZEN and check.state == "ok" for check in found):
            ready = f"direct and appliance engine ready (ext2/3/4, FAT, {APPLIANCE})"
            return ready + f"; the rest needs: {need}"
        return f"direct engine ready (ext2/3/4, FAT); {GUESTFS_ONLY} need: {need}"
    if not guestfs:
        return (
            f"guestfs engine ready; the direct engine, which is faster, needs: {', '.join(direct)}"
        )
    return f"not ready: the direct engine needs: {', '.join(direct)}"


def is_ready(found: Sequence[Check]) -> bool:
    """Whether images can be sanitised here at all."""
    return not (lacking(found, "direct") and lacking(found, "guestfs"))


def lacking(found: Sequence[Check], engine: str) -> list[str]:
    """What *engine* does not work without, and is not there."""
    both = [check for check in found if check.engine in ("", engine) and check.state != "ok"]
    return [check.title for check in both if check.engine or check.state == "missing"]


def checks(root: Path = _ROOT) -> Sequence[Check]:
    """Everything ``unclone doctor`` looks at, in order. *root* is where files are looked for."""
    family = distribution_family(root)
    looks: tuple[Callable[[str, Path], Check], ...] = (
        _python,
        _qemu_img,
        _setpriv,
        _e2fsck,
        _libext2fs,
        _nbd,
        _qemu_system,
        _binding,
        _appliance,
        _kernel,
        _xfs,
        _frozen,
        _kvm,
        _firmware,
        _space,
    )
    return tuple(look(family, root) for look in looks)


def _python(family: str, root: Path) -> Check:  # noqa: ARG001 (every look takes the same)
    found = f"{platform.python_version()} ({printable(sys.executable)})"
    return Check("python", "Python 3.11 or later", "ok", found, "unclone itself")


def _qemu_img(family: str, root: Path) -> Check:  # noqa: ARG001
    fix = install(family, "qemu-img")
    return _program("qemu-img", "qemu-img", "qemu-img", "every change to an image", fix, "")


def _qemu_system(family: str, root: Path) -> Check:  # noqa: ARG001
    fix = install(family, "qemu-system")
    hypervisor = default_hypervisor()
    purpose = "the libguestfs appliance, and `unclone prove`"
    return _program("qemu-system", "QEMU", hypervisor, purpose, fix, "guestfs")


def _setpriv(family: str, root: Path) -> Check:  # noqa: ARG001
    fix = install(family, "setpriv")
    purpose = "ending every tool together with unclone"
    return _program("setpriv", "setpriv", "setpriv", purpose, fix, "")


def _e2fsck(family: str, root: Path) -> Check:  # noqa: ARG001
    fix = install(family, "e2fsck")
    purpose = "checking ext2/3/4 file systems"
    return _program("e2fsck", "e2fsck", "e2fsck", purpose, fix, "direct", version="-V")


def _libext2fs(family: str, root: Path) -> Check:  # noqa: ARG001
    title, purpose = "libext2fs", "reading and changing ext2/3/4 file systems"
    name = "libext2fs.so.2"
    try:
        ctypes.CDLL(name)
    except OSError as error:
        fix, reason = install(family, "libext2fs"), printable(str(error), 200)
        return Check("libext2fs", title, "missing", reason, purpose, fix, "direct")
    return Check("libext2fs", title, "ok", name, purpose, engine="direct")


def _nbd(family: str, root: Path) -> Check:  # noqa: ARG001
    """Have it show a disk. Without it, ``auto`` gives such images to guestfs."""
    purpose = "VMDK, VDI and VHDX images with the direct engine"
    try:
        try_reading()
    except UncloneError as error:
        fix, reason = install(family, "qemu-nbd"), printable(error.message, 200)
        return Check("qemu-nbd", "qemu-nbd", "optional", reason, purpose, fix)
    return Check("qemu-nbd", "qemu-nbd", "ok", "a disk was read through it", purpose)


def _program(
    identifier: str,
    title: str,
    program: str,
    needed_for: str,
    fix: str,
    engine: Literal["", "direct", "guestfs"],
    *,
    version: str = "--version",
) -> Check:
    absent: State = "optional" if engine == "guestfs" else "missing"
    # As tools are started: where an ordinary user's PATH has no /usr/sbin, that is looked in, too.
    path = shutil.which(program) or shutil.which(program, path=_SYSTEM_FOLDERS)
    if path is None:
        reason = f"no {program} in PATH"
        return Check(identifier, title, absent, reason, needed_for, fix, engine)
    try:
        done = run([path, version], timeout=20)
    except UncloneError as error:
        return Check(identifier, title, absent, error.message, needed_for, fix, engine)
    said = (done.stdout or done.stderr).decode("utf-8", "replace")
    found = printable(said.split("\n", 1)[0].strip(), 80)
    return Check(identifier, title, "ok", f"{found} ({path})", needed_for, engine=engine)


def _binding(family: str, root: Path) -> Check:  # noqa: ARG001
    """Import it as this interpreter would, in a process of its own: a broken library can abort."""
    needed_for = f"guests with {GUESTFS_ONLY}"
    program = "import guestfs; v = guestfs.GuestFS(python_return_dict=True).version(); "
    program += "print(v['major'], v['minor'], v['release'], sep='.')"
    try:
        said = run([sys.executable, "-c", program], timeout=60).stdout.decode().strip()
    except UncloneError:
        fix = install(family, "binding")
        if family == "debian":
            fix += "; use /usr/bin/python3, or a venv of it with --system-site-packages"
        found = f"{printable(sys.executable)} cannot import guestfs"
        return Check("guestfs", "libguestfs binding", "optional", found, needed_for, fix, "guestfs")
    found = f"libguestfs {said}"
    return Check("guestfs", "libguestfs binding", "ok", found, needed_for, engine="guestfs")


def _appliance(family: str, root: Path) -> Check:
    title, needed_for = "libguestfs appliance", f"guests with {GUESTFS_ONLY}"
    fixed = os.environ.get("LIBGUESTFS_PATH", "")
    folders = [Path(each) for each in fixed.split(":") if each] or _appliance_folders(root)
    for folder in folders:
        if (folder / "supermin.d").is_dir() or (folder / "root").is_file():
            found = printable(str(folder))
            return Check("appliance", title, "ok", found, needed_for, engine="guestfs")
    fix, found = install(family, "appliance"), "no supermin.d was found"
    return Check("appliance", title, "optional", found, needed_for, fix, "guestfs")


def _appliance_folders(root: Path) -> list[Path]:
    patterns = (
        "usr/lib/*/guestfs",
        "usr/lib64/guestfs",
        "usr/lib/guestfs",
        "usr/local/lib/guestfs",
    )
    return sorted(path for pattern in patterns for path in root.glob(pattern))


def _kernel(family: str, root: Path) -> Check:
    """A kernel that supermin can read, with its modules: Ubuntu's is for root alone."""
    title, needed_for = "kernel for the appliance", f"guests with {GUESTFS_ONLY}"
    own = os.environ.get("SUPERMIN_KERNEL", "")
    kernels = [Path(own)] if own else sorted((root / "boot").glob("vmlinuz-*"))
    kernels += [] if own else sorted((root / "usr/lib/modules").glob("*/vmlinuz"))
    readable = [kernel for kernel in kernels if os.access(kernel, os.R_OK)]
    if readable:
        found = printable(str(readable[-1]))
        return Check("kernel", title, "ok", found, needed_for, engine="guestfs")
    if kernels:
        found = f"{printable(str(kernels[-1]))} is not readable for this user"
        fix = f"sudo chmod 0644 {printable(str(kernels[-1]))} (again after each kernel update)"
        return Check("kernel", title, "optional", found, needed_for, fix, "guestfs")
    fix = install(family, "kernel")
    return Check("kernel", title, "optional", "no kernel in /boot", needed_for, fix, "guestfs")


def _xfs(family: str, root: Path) -> Check:
    title, needed_for = "XFS tools in the appliance", "guests with XFS file systems"
    if PACKAGES["xfs"].get(family, "?") == "":
        return Check("xfs", title, "ok", "part of the appliance here", needed_for)
    names = [p for folder in _appliance_folders(root) for p in folder.glob("supermin.d/*xfs*")]
    if names:
        return Check("xfs", title, "ok", printable(str(names[0])), needed_for)
    found = "the appliance has none"
    return Check("xfs", title, "optional", found, needed_for, install(family, "xfs"))


def _frozen(family: str, root: Path) -> Check:
    """Nothing is booted: whether the machine starts, the first guest shows."""
    title = "machine of the appliance engine"
    needed_for = f"{APPLIANCE} in seconds, without libguestfs"
    if platform.machine() != "x86_64":
        found = f"not known to work on {platform.machine()}"
        return Check(_FROZEN, title, "optional", found, needed_for)
    try:
        kernel = find_kernel(root)
    except UncloneError as error:
        fix = error.hint if "chmod" in error.hint else install(family, "kernel")
        return Check(_FROZEN, title, "optional", error.message, needed_for, fix)
    if shutil.which(PROGRAM) is None:
        fix, found = install(family, "qemu-system"), f"no {PROGRAM} in PATH"
        return Check(_FROZEN, title, "optional", found, needed_for, fix)
    places = f"{os.environ.get('PATH', '')}:{_SYSTEM_FOLDERS}"
    if absent := [name for name in _HOST_TOOLS if shutil.which(name, path=places) is None]:
        fix, found = install(family, "host-tools"), f"no {', '.join(absent)} in PATH"
        return Check(_FROZEN, title, "optional", found, needed_for, fix)
    kept = any(cache_folder().glob("*/description.json"))
    found = f"kernel {printable(kernel.version)}; {'kept in' if kept else 'will be kept in'} "
    return Check(_FROZEN, title, "ok", found + printable(str(cache_folder())), needed_for)


def _kvm(family: str, root: Path) -> Check:  # noqa: ARG001
    title = "KVM"
    needed_for = "speed of the guestfs engine (without KVM it takes several times as long)"
    if shutil.which(default_hypervisor()) is None:
        return Check("kvm", title, "optional", "cannot be tried without QEMU", needed_for)
    found = probe(default_hypervisor())
    if found.kvm:
        return Check("kvm", title, "ok", "code runs in it", needed_for)
    if not KVM.exists():
        fix = (
            "sudo modprobe kvm_intel (or kvm_amd); in a virtual machine, first switch on nested "
            "virtualisation on its host"
        )
    elif "permission" in found.reason:
        fix = "sudo usermod -aG kvm $USER, then log in again"
    else:
        fix = (
            "unclone uses software emulation here by itself. KVM in a virtual machine depends on "
            "its host: switch on nested virtualisation there, or use another host. Other tools "
            "that use libguestfs need LIBGUESTFS_BACKEND_SETTINGS=force_tcg"
        )
    return Check("kvm", title, "optional", printable(found.reason, 300), needed_for, fix)


def _firmware(family: str, root: Path) -> Check:
    title, needed_for = "UEFI firmware", "`unclone prove` of guests that boot with UEFI"
    if (found := find_ovmf(root)) is not None:
        return Check("firmware", title, "ok", printable(str(found.code)), needed_for)
    fix = install(family, "firmware")
    return Check("firmware", title, "optional", "no OVMF is installed", needed_for, fix)


def _space(family: str, root: Path) -> Check:  # noqa: ARG001
    title, needed_for = "free space", "the appliance, which is built once and kept"
    variables = ("LIBGUESTFS_CACHEDIR", "TMPDIR")
    named = next((value for name in variables if (value := os.environ.get(name))), "/var/tmp")  # noqa: S108 (where libguestfs keeps its appliance)
    try:
        free = shutil.disk_usage(named).free
    except OSError as error:
        found = f"{printable(named)}: {error.strerror}"
        fix = "make the folder, or set LIBGUESTFS_CACHEDIR to another"
        return Check("space", title, "optional", found, needed_for, fix, "guestfs")
    found = f"{free / 2**30:.1f} GiB in {printable(named)}"
    if free >= SCRATCH_SPACE:
        return Check("space", title, "ok", found, needed_for, engine="guestfs")
    fix = "make room, or set LIBGUESTFS_CACHEDIR to a folder with more"
    return Check("space", title, "optional", found, needed_for, fix, "guestfs")
