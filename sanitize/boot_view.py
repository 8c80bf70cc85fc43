"""What the next boot reads, from the side of those who read it.

The rules that change references look for files by patterns. This module asks the other way round:
which files do GRUB, systemd, the initrd's makers and udev open, through whatever symlinks, and
what do those files include? The residue scan looks for old identifiers there, so that a rule which
looked in the wrong place is found out. It shares nothing with the rules.

References: systemd-fstab-generator(8), systemd-cryptsetup-generator(8), systemd.unit(5); udev(7);
GRUB manual (``configfile``, ``source``, ``load_env``; variables of the environment block);
kernel-install(8); initramfs.conf(5); dracut.conf(5); mkinitcpio(8); bootctl(1).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images.volumes import Kind
from unclone.sanitize.boot.compression import Compression, Stream, detect
from unclone.sanitize.boot.cpio import DamagedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.guest import Guest

#: Opened by name at the next boot, or when the next kernel is installed. Globs are allowed.
_OPENED = (
    "/etc/fstab",
    "/etc/crypttab",
    "/etc/machine-id",
    "/var/lib/dbus/machine-id",
    "/etc/default/grub",
    "/etc/default/grub.d",
    "/etc/default/flash-kernel",
    "/etc/default/limine",
    "/etc/default/u-boot",
    "/etc/default/zipl",
    "/etc/sysconfig/bootloader",
    "/etc/sysconfig/grub",
    "/etc/sysconfig/grub2",
    "/etc/sysconfig/kernel",
    "/etc/tuned/bootcmdline",
    "/etc/update-extlinux.conf",
    "/etc/update-extlinux.d",
    "/etc/kernelstub",
    "/etc/elilo.conf",
    "/etc/lilo.conf",
    "/etc/grub.conf",
    "/etc/booster.yaml",
    "/etc/cryptsetup-initramfs",
    "/etc/suspend.conf",
    "/etc/uswsusp.conf",
    "/etc/cmdline",
    "/etc/cmdline.d",
    "/etc/grub.d",
    "/etc/kernel",
    "/etc/systemd/system",
    "/etc/udev/rules.d",
    "/etc/initramfs-tools",
    "/etc/initramfs.conf",
    "/etc/mkinitcpio.conf",
    "/etc/mkinitcpio.conf.d",
    "/etc/mkinitcpio.d",
    "/etc/mkinitfs",
    "/etc/dracut.conf",
    "/etc/dracut.conf.d",
    "/etc/mdadm.conf",
    "/etc/mdadm",
    "/etc/mdadm.conf.d",
    "/etc/credstore*",
    "/usr/lib/credstore*",
    "/usr/local/lib/credstore*",
    "/etc/zipl.conf",
    "/boot/grub",
    "/boot/grub2",
    "/boot/loader",
    "/boot/extlinux",
    "/boot/syslinux",
    "/boot/EFI",
    "/extlinux.conf",
    "/syslinux.cfg",
    "/usr/local/lib/systemd",
    "/usr/local/lib/udev/rules.d",
    "/etc/udev/hwdb.d",
    *(f"/ostree/deploy/*/deploy/*/etc/{name}" for name in ("fstab", "crypttab", "grub.d")),
)
#: Of a boot file system, whatever it is called.
_ON_BOOT = ("EFI", "loader", "grub", "grub2", "extlinux", "syslinux")
_BOOT = re.compile(r"/(boot|efi)(/.*)?")

_INCLUDE = re.compile(
    r"(?m)^[ \t]*(?:configfile|source|\.|normal|extract_entries_configfile"
    r"|load_env[ \t]+(?:-f|--file(?:=|[ \t]))|syslinux_configfile|INCLUDE|include)"
    r"[ \t]*(?P<path>[^\s;]+)"
)
_DEVICE = re.compile(r"""^["']?(?:\([^)]*\)|\$\{?\w+\}?)?""")

#: Bytes that are read of one file; a larger one is named by the rules' own limit.
READ_LIMIT = 64 * 1024 * 1024
#: Bytes of a compressed file that show what it begins with, and of what it has to begin with.
_START, _MAGIC = 64 * 1024, 6
#: Directories below one that is opened; no guest nests them deeper.
_DEPTH = 6
#: Files in all; a hostile guest is not followed further.
_MOST = 20_000


def files_read(guest: Guest) -> Sequence[str]:
    """The physical path of every file that the next boot opens, each once, in no order.

    Symlinks are followed, those to directories included.
    """
    found: dict[str, None] = {}
    on_boot = [f"{top}/{name}" for top in boot_roots(guest) for name in _ON_BOOT]
    for pattern in (*_OPENED, *on_boot):
        for path in guest.glob(pattern):
            _collect(guest, path, found, set(), _DEPTH)
    pending = [path for path in found if path.endswith((".cfg", ".conf", ".lst"))]
    while pending and len(found) < _MOST:
        for path in _included(guest, pending.pop()):
            if path not in found:
                found[path] = None
                pending.append(path)
    return list(found)


def boot_roots(guest: Guest) -> Sequence[str]:
    """Where the guest mounts what its loader reads: ``/boot``, and every FAT file system."""
    mounts = guest.layout.mounts_in_order
    found = [m.mount_point for m in mounts if m.type == "vfat" or _BOOT.fullmatch(m.mount_point)]
    return list(dict.fromkeys(["/boot", *found]))


def initrds(guest: Guest) -> Iterator[str]:
    """The physical path of every initrd on a boot file system, known by its content alone."""
    for root in boot_roots(guest):
        for member in guest.walk(root, limit=16):
            if member.content and detect(member.content) is not None:
                start = guest.read(member.path, _START)
                if _may_be_initrd(start):
                    yield member.path


def _may_be_initrd(start: bytes) -> bool:
    """Whether an archive begins here, as far as can be seen: kernels are compressed, too."""
    kind = detect(start)
    if kind is None or kind is Compression.NONE:
        return kind is not None
    unpacked = b""
    try:
        for piece in Stream(start, 0, kind).pieces():
            unpacked += piece
            if len(unpacked) >= _MAGIC:
                break
    except DamagedError:
        pass  # the stream goes on beyond the start
    return len(unpacked) < _MAGIC or unpacked.startswith((b"070701", b"070702"))


def _collect(guest: Guest, path: str, found: dict[str, None], seen: set[str], depth: int) -> None:
    stat = guest.stat(path)
    if stat is None or depth < 0 or len(found) >= _MOST:
        return
    physical = guest.resolve(path)
    if stat.kind is Kind.FILE:
        found[physical] = None
    elif stat.kind is Kind.DIRECTORY and physical not in seen:
        seen.add(physical)
        for name in guest.list(physical):
            _collect(guest, f"{physical.rstrip('/')}/{name}", found, seen, depth - 1)


def _included(guest: Guest, config: str) -> Iterator[str]:
    text = guest.text_or_empty(config, READ_LIMIT)
    folder = config.rpartition("/")[0]
    for match in _INCLUDE.finditer(text):
        name = _DEVICE.sub("", match["path"]).rstrip("\"'")
        if not name or "$" in name:
            continue
        for top in (folder, "", *boot_roots(guest)):
            path = f"{top}/{name.lstrip('/')}"
            if guest.is_file(path):
                yield guest.resolve(path)
