"""What this host has, what it lacks, and how to get it: ``unclone doctor``.

Nothing here starts an appliance; what can be seen in files is read from files.

References: supermin(1) ``SUPERMIN_KERNEL``, guestfs(3) "ENVIRONMENT VARIABLES",
libguestfs-test-tool(1); package names of Debian 12, Fedora 40, openSUSE Tumbleweed, Arch.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unclone.images.engines.guestfs.acceleration import default_hypervisor, probe
from unclone.images.errors import UncloneError
from unclone.images.process import run
from unclone.images.text import printable
from unclone.sanitize.facts import parse_os_release

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

State = Literal["ok", "missing", "optional"]

#: Bytes that the appliance, built once and cached, and a run's scratch files need.
SCRATCH_SPACE = 1024**3

_ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked for. ``optional``: it is not there, and unclone works without it."""

    id: str
    title: str
    state: State
    found: str
    needed_for: str
    #: A command or a sentence; empty when there is nothing to do.
    fix: str = ""

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/json.md."""
        return asdict(self)


def checks(root: Path = _ROOT) -> Sequence[Check]:
    """Everything ``unclone doctor`` looks at, in order. *root* is where files are looked for."""
    family = distribution_family(root)
    looks: tuple[Callable[[str, Path], Check], ...] = (
        _python,
        _qemu_img,
        _qemu_system,
        _setpriv,
        _binding,
        _appliance,
        _kernel,
        _xfs,
        _kvm,
        _space,
        _fuse,
    )
    return tuple(look(family, root) for look in looks)


def distribution_family(root: Path = _ROOT) -> str:
    """``debian``, ``fedora``, ``suse``, ``arch``, or "" for any other."""
    for name in ("etc/os-release", "usr/lib/os-release"):
        try:
            release = parse_os_release((root / name).read_text("utf-8", "replace"))
        except OSError:
            continue
        words = f"{release.get('ID', '')} {release.get('ID_LIKE', '')}".lower().split()
        for family, ids in _FAMILIES.items():
            if not ids.isdisjoint(words):
                return family
        return ""
    return ""


def install(family: str, package: str) -> str:
    """The command that installs what *package* is called here."""
    names = PACKAGES[package]
    if family not in names:
        spoken = ", ".join(f"{name} ({each})" for each, name in names.items() if name)
        return f"install {spoken}"
    if not names[family]:
        return ""
    return f"{_INSTALLERS[family]} {names[family]}"


#: What to install, by family; "" where it comes with something else.
PACKAGES: Mapping[str, Mapping[str, str]] = {
    "qemu-img": {
        "debian": "qemu-utils",
        "fedora": "qemu-img",
        "suse": "qemu-img",
        "arch": "qemu-img",
    },
    "qemu-system": {
        "debian": "qemu-system-x86",
        "fedora": "qemu-kvm",
        "suse": "qemu-x86",
        "arch": "qemu-system-x86",
    },
    "setpriv": dict.fromkeys(("debian", "fedora", "suse", "arch"), "util-linux"),
    "binding": {
        "debian": "python3-guestfs",
        "fedora": "python3-libguestfs",
        "suse": "python3-libguestfs",
        "arch": "libguestfs",
    },
    "appliance": {
        "debian": "libguestfs-tools",
        "fedora": "libguestfs-appliance",
        "suse": "libguestfs-appliance",
        "arch": "libguestfs",
    },
    "kernel": {
        "debian": "linux-image-amd64",
        "fedora": "kernel-core",
        "suse": "kernel-default",
        "arch": "linux",
    },
    "xfs": {"debian": "libguestfs-xfs", "fedora": "libguestfs-xfs", "suse": "", "arch": ""},
    "fuse": {"debian": "fuse3", "fedora": "fuse3", "suse": "fuse3", "arch": "fuse3"},
}

_FAMILIES = {
    "debian": {"debian", "ubuntu"},
    "fedora": {"fedora", "rhel", "centos"},
    "suse": {"suse", "opensuse", "sles"},
    "arch": {"arch"},
}
_INSTALLERS = {
    "debian": "sudo apt-get install",
    "fedora": "sudo dnf install",
    "suse": "sudo zypper install",
    "arch": "sudo pacman -S",
}


def _python(family: str, root: Path) -> Check:  # noqa: ARG001 (every look takes the same)
    found = f"{platform.python_version()} ({printable(sys.executable)})"
    return Check("python", "Python 3.11 or later", "ok", found, "unclone itself")


def _qemu_img(family: str, root: Path) -> Check:  # noqa: ARG001
    fix = install(family, "qemu-img")
    return _program("qemu-img", "qemu-img", "qemu-img", "every change to an image", fix)


def _qemu_system(family: str, root: Path) -> Check:  # noqa: ARG001
    fix = install(family, "qemu-system")
    hypervisor = default_hypervisor()
    return _program("qemu-system", "QEMU", hypervisor, "the libguestfs appliance", fix)


def _setpriv(family: str, root: Path) -> Check:  # noqa: ARG001
    fix = install(family, "setpriv")
    purpose = "ending every tool together with unclone"
    return _program("setpriv", "setpriv", "setpriv", purpose, fix)


def _program(identifier: str, title: str, program: str, needed_for: str, fix: str) -> Check:
    path = shutil.which(program)
    if path is None:
        return Check(identifier, title, "missing", f"no {program} in PATH", needed_for, fix)
    try:
        said = run([program, "--version"], timeout=20).stdout.decode("utf-8", "replace")
    except UncloneError as error:
        return Check(identifier, title, "missing", error.message, needed_for, fix)
    version = printable(said.split("\n", 1)[0].strip(), 80)
    return Check(identifier, title, "ok", f"{version} ({path})", needed_for)


def _binding(family: str, root: Path) -> Check:  # noqa: ARG001
    """Import it as this interpreter would, in a process of its own: a broken library can abort."""
    needed_for = "the engine that opens guests (guestfs)"
    program = "import guestfs; v = guestfs.GuestFS(python_return_dict=True).version(); "
    program += "print(v['major'], v['minor'], v['release'], sep='.')"
    try:
        said = run([sys.executable, "-c", program], timeout=60).stdout.decode().strip()
    except UncloneError:
        fix = install(family, "binding")
        if family == "debian":
            fix += "; use /usr/bin/python3, or a venv of it with --system-site-packages"
        found = f"{printable(sys.executable)} cannot import guestfs"
        return Check("guestfs", "libguestfs binding", "missing", found, needed_for, fix)
    return Check("guestfs", "libguestfs binding", "ok", f"libguestfs {said}", needed_for)


def _appliance(family: str, root: Path) -> Check:
    title, needed_for = "libguestfs appliance", "opening guests"
    fixed = os.environ.get("LIBGUESTFS_PATH", "")
    folders = [Path(each) for each in fixed.split(":") if each] or _appliance_folders(root)
    for folder in folders:
        if (folder / "supermin.d").is_dir() or (folder / "root").is_file():
            return Check("appliance", title, "ok", printable(str(folder)), needed_for)
    fix = install(family, "appliance")
    return Check("appliance", title, "missing", "no supermin.d was found", needed_for, fix)


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
    title, needed_for = "kernel for the appliance", "opening guests"
    own = os.environ.get("SUPERMIN_KERNEL", "")
    kernels = [Path(own)] if own else sorted((root / "boot").glob("vmlinuz-*"))
    kernels += [] if own else sorted((root / "usr/lib/modules").glob("*/vmlinuz"))
    readable = [kernel for kernel in kernels if os.access(kernel, os.R_OK)]
    if readable:
        found = printable(str(readable[-1]))
        return Check("kernel", title, "ok", found, needed_for)
    if kernels:
        found = f"{printable(str(kernels[-1]))} is not readable for this user"
        fix = f"sudo chmod 0644 {printable(str(kernels[-1]))} (again after each kernel update)"
        return Check("kernel", title, "missing", found, needed_for, fix)
    fix = install(family, "kernel")
    return Check("kernel", title, "missing", "no kernel in /boot", needed_for, fix)


def _xfs(family: str, root: Path) -> Check:
    title, needed_for = "XFS tools in the appliance", "guests with XFS file systems"
    if PACKAGES["xfs"].get(family, "?") == "":
        return Check("xfs", title, "ok", "part of the appliance here", needed_for)
    names = [p for folder in _appliance_folders(root) for p in folder.glob("supermin.d/*xfs*")]
    if names:
        return Check("xfs", title, "ok", printable(str(names[0])), needed_for)
    found = "the appliance has none"
    return Check("xfs", title, "optional", found, needed_for, install(family, "xfs"))


def _kvm(family: str, root: Path) -> Check:  # noqa: ARG001
    title, needed_for = "KVM", "speed (without it, opening a guest takes several times as long)"
    if shutil.which(default_hypervisor()) is None:
        return Check("kvm", title, "optional", "cannot be tried without QEMU", needed_for)
    found = probe(default_hypervisor())
    if found.kvm:
        return Check("kvm", title, "ok", "code runs in it", needed_for)
    fix = ""
    if "permission" in found.reason:
        fix = "sudo usermod -aG kvm $USER, then log in again"
    return Check("kvm", title, "optional", printable(found.reason, 300), needed_for, fix)


def _space(family: str, root: Path) -> Check:  # noqa: ARG001
    title, needed_for = "free space", "the appliance, which is built once and kept"
    variables = ("LIBGUESTFS_CACHEDIR", "TMPDIR")
    named = next((value for name in variables if (value := os.environ.get(name))), "/var/tmp")  # noqa: S108 (where libguestfs keeps its appliance)
    try:
        free = shutil.disk_usage(named).free
    except OSError as error:
        found = f"{printable(named)}: {error.strerror}"
        fix = "make the folder, or set LIBGUESTFS_CACHEDIR to another"
        return Check("space", title, "missing", found, needed_for, fix)
    found = f"{free / 2**30:.1f} GiB in {printable(named)}"
    if free >= SCRATCH_SPACE:
        return Check("space", title, "ok", found, needed_for)
    fix = "make room, or set LIBGUESTFS_CACHEDIR to a folder with more"
    return Check("space", title, "missing", found, needed_for, fix)


def _fuse(family: str, root: Path) -> Check:
    title, needed_for = "FUSE", "editing without an appliance, in a later version"
    lacking = [] if os.access(root / "dev/fuse", os.R_OK | os.W_OK) else ["/dev/fuse"]
    lacking += [] if shutil.which("fusermount3") else ["fusermount3"]
    if not lacking:
        return Check("fuse", title, "ok", "/dev/fuse and fusermount3", needed_for)
    found = f"cannot use {' and '.join(lacking)}"
    return Check("fuse", title, "optional", found, needed_for, install(family, "fuse"))
