"""What to install on this host's distribution, and with which command.

References: os-release(5); package names of Debian 12, Fedora 40, openSUSE Tumbleweed, Arch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from unclone.sanitize.facts import parse_os_release

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROOT = Path("/")


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
    "qemu-nbd": {
        **dict.fromkeys(("fedora", "arch"), "qemu-img"),
        "debian": "qemu-utils",
        "suse": "qemu-tools",
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
    "firmware": {
        "debian": "ovmf",
        "fedora": "edk2-ovmf",
        "suse": "qemu-ovmf-x86_64",
        "arch": "edk2-ovmf",
    },
    "host-tools": {
        **dict.fromkeys(("fedora", "arch"), "xfsprogs btrfs-progs cryptsetup"),
        "debian": "xfsprogs btrfs-progs cryptsetup-bin",
        "suse": "xfsprogs btrfsprogs cryptsetup",
    },
    "e2fsck": dict.fromkeys(("debian", "fedora", "suse", "arch"), "e2fsprogs"),
    "libext2fs": {
        "debian": "libext2fs2",
        "fedora": "e2fsprogs-libs",
        "suse": "libext2fs2",
        "arch": "e2fsprogs",
    },
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
