"""What the next boot reads, from the side of those who read it.

The rules that change references look for files by patterns. This module starts from the programs:
which files do GRUB, systemd, the tools that make initrds and udev open, through whatever symlinks,
and what do those files include? The residue scan looks for old identifiers there, which shows
where a rule looked in the wrong place. It shares no list of places with the rules.

References: systemd-fstab-generator(8), systemd-cryptsetup-generator(8), systemd.unit(5) ("Unit File
Load Path", ``.d``, ``.wants``), systemd.exec(5) (``EnvironmentFile=``), systemctl(1) (``link``);
veritytab(5), integritytab(5); udev(7); tmpfiles.d(5); auto.master(5); lvm.conf(5), lvmdevices(8);
modprobe.d(5);
GRUB manual (``configfile``, ``source``, ``load_env``; variables of the environment block);
kernel-install(8); initramfs.conf(5); dracut.conf(5); mkinitcpio(8); bootctl(1).
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from unclone.images import fstab, mount_units
from unclone.images.volumes import Kind
from unclone.sanitize.boot.compression import Compression, Stream, detect
from unclone.sanitize.boot.cpio import DamagedError
from unclone.sanitize.joined_values import JoinedValues

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
    "/etc/silo.conf",
    # Petitboot reads them from every file system.
    *(f"{top}/{name}.c*nf" for top in ("", "/etc") for name in ("kboot", "petitboot", "yaboot")),
    "/etc/grub.conf",
    "/etc/booster.yaml",
    "/etc/cryptsetup-initramfs",
    "/etc/suspend.conf",
    "/etc/overlayroot*.conf",
    "/etc/uswsusp.conf",
    "/etc/cmdline",
    "/etc/cmdline.d",
    "/etc/grub.d",
    "/etc/kernel",
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
    "/etc/zipl.conf",
    "/boot/grub",
    "/boot/grub2",
    "/boot/loader",
    "/boot/extlinux",
    "/boot/syslinux",
    "/boot/EFI",
    "/boot/boot.cmd",
    "/boot/boot.ini",
    "/boot/*[Ee]nv.txt",
    "/extlinux.conf",
    "/syslinux.cfg",
    *(f"/ostree/deploy/*/deploy/*/etc/{name}" for name in ("fstab", "crypttab", "grub.d")),
    "/etc/credstore*",
    "/usr/lib/credstore*",
    "/usr/local/lib/credstore*",
    # Merged over /etc: systemd-sysext(8).
    *(f"{top}/lib/confexts" for top in ("/usr", "/usr/local", "/var")),
)
#: Opened as well, where what they name a device by is all that matters for the boot.
_FOR_DEVICES = (
    "/etc/fstab.d",
    "/etc/cloud/cloud.cfg",
    "/etc/cloud/cloud.cfg.d",
    "/etc/nixos",
    "/etc/u-boot-menu",
    "/usr/share/u-boot-menu",
    "/etc/veritytab",
    "/etc/integritytab",
    "/etc/default",
    "/etc/sysconfig",
    "/etc/cryptsetup-keys.d",
    "/etc/initcpio",
    "/usr/lib/dracut",
    "/usr/lib/initcpio",
    "/usr/share/grub",
    "/usr/share/initramfs-tools",
    "/usr/share/mkinitfs",
    "/etc/sdboot-manage.conf",
    "/etc/network/if-*.d",
    "/etc/NetworkManager/dispatcher.d",
    "/usr/lib/kernel",
    "/etc/lvm/devices",
    "/etc/lvm/profile",
    "/etc/lvm/lvm*.conf",
    "/etc/modprobe.d",
    "/etc/tmpfiles.d",
    "/etc/repart.d",
    "/usr/lib/repart.d",
    "/etc/zfs",
    "/etc/auto.*",
    "/etc/auto.master.d",
    "/etc/autofs*",
    "/etc/kdump.conf",
    "/etc/smartd.conf",
    "/etc/smartmontools",
    "/etc/multipath.conf",
    "/etc/multipath",
    "/etc/inittab",
    "/etc/rc.conf",
    "/etc/rc.local",
    "/etc/rc.d",
    "/etc/init.d",
    "/etc/init",
    "/etc/conf.d",
    "/etc/local.d",
    "/etc/dinit.d",
    "/etc/s6*",
    "/etc/66",
    "/etc/runit",
    "/etc/sv/*/run",
    "/etc/sv/*/conf",
    "/etc/genkernel.conf",
    "/etc/ugrd",
    "/usr/share/kernel/cmdline.d",
    "/etc/config/fstab",
    "/etc/fw_env.config",
    "/etc/hibinit-config.cfg",
    "/etc/mender",
    "/etc/rauc",
    "/etc/swupdate*",
    "/etc/sysupdate.d",
    "/usr/lib/sysupdate.d",
)
#: Directories that the residue scan searches, each file whole. Here, what their links lead to.
FOLDERS = (
    "/etc/systemd",
    "/etc/systemd/system",
    "/etc/udev/hwdb.d",
    "/etc/udev/rules.d",
    "/usr/lib/systemd/system",
    "/usr/lib/systemd/system-generators",
    "/usr/lib/udev/rules.d",
    "/usr/local/lib/systemd",
    "/usr/local/lib/udev/rules.d",
    "/lib/systemd/system",
    "/lib/udev/rules.d",
)
#: Those of a machine's own rules, which may be patterns.
LOCAL_RULES = ("/etc/udev/rules.d", "/usr/local/lib/udev/rules.d")
#: Directories in them in which files are opened, and those of which names alone count.
_OPENED_BELOW = (".d", "system", "user", "network")
_OF_LINKS = (".wants", ".requires", ".upholds")
#: Beside boot file systems: what kdump-tools starts after a crash.
_OF_INITRDS = ("/var/lib/kdump",)
#: Of a boot file system, whatever it is called.
_ON_BOOT = ("EFI", "loader", "grub", "grub2", "extlinux", "syslinux")
_BOOT = re.compile(r"/(boot|efi)(/.*)?")

_INCLUDE = re.compile(
    r"(?m)^[ \t]*(?:configfile|source|\.|normal|extract_entries_configfile"
    r"|load_env[ \t]+(?:-f|--file(?:=|[ \t]))|syslinux_configfile|INCLUDE|include)"
    r"[ \t]*(?P<path>[^\s;]+)"
)
#: What the initrd runs, as Guix and NixOS tell it on the kernel command line.
_RUN = re.compile(r"(?m)(?:^|(?<=[\s\"']))(?:init|gnu\.load)=(?P<path>/[^\s\"';]+)")
#: What a unit runs, or takes variables from; what an automounter's master map leads to.
_NAMED = re.compile(
    r"(?m)^[ \t]*(?:Exec\w+|EnvironmentFile)[ \t]*=[ \t]*(?P<unit>[^\n]+)"
    r"|^[ \t]*/\S*[ \t]+(?:file[,:])?(?P<map>/\S+)"
)
_PATH = re.compile(r"(?<![\w/.])/[^\s'\";|&()<>]+")
#: Where packages put programs, and people scripts; and what the kernel makes, which is no file.
_OF_PACKAGES = re.compile(r"/(usr/)?(s?bin|lib\w*|share)/")
_NO_FILE = re.compile(r"/(dev|proc|sys|run)/")
#: What systemd-tmpfiles copies or links to at boot (tmpfiles.d(5)): where, and from where.
_TMPFILES = ("/etc/tmpfiles.d", "/usr/local/lib/tmpfiles.d", "/usr/lib/tmpfiles.d")
_COPIED = re.compile(r"[CL][-+!=~^$?]*")
#: The layer of an overlay in which files are changed; the initrd has the root elsewhere.
_UPPER = re.compile(r"upperdir=(?:/sysroot(?=/))?(/.*)")
_DEVICE = re.compile(r"""^["']?(?:\([^)]*\)|\$\{?\w+\}?)?""")

#: Bytes that are read of one file; a larger one is named by the rules' own limit.
READ_LIMIT = 64 * 1024 * 1024
#: Bytes of a compressed file that show what it begins with, and of what it has to begin with.
_START, _MAGIC = 64 * 1024, 6
#: Bytes of what a unit names: scripts and variables, and no programs.
_NAMED_LIMIT = 1024 * 1024
#: Directories below one that is opened; no guest nests them deeper.
_DEPTH = 6
#: Files in all; a hostile guest is not followed further.
_MOST = 20_000
#: Names in a directory that a link among units leads to.
_MOST_LINKED = 1000


def files_read(guest: Guest, *, devices: bool = True) -> Mapping[str, bool]:
    """The physical path of every file that the next boot opens, and whether its name counts, too.

    With *devices* also those of which nothing matters but the devices that they name. Symlinks are
    followed, those to directories included. Names count in a linked directory of units, in which
    links are given as well.
    """
    found: dict[str, bool] = {}
    on_boot = [f"{top}/{name}" for top in boot_roots(guest) for name in _ON_BOOT]
    patterns = (*_OPENED, *(_FOR_DEVICES if devices else ()), *on_boot)
    for pattern in (*patterns, *_mounted_over(guest, patterns)):
        for path in guest.glob(pattern):
            _collect(guest, path, found, set(), _DEPTH)
    pending = [path for path in found if path.endswith((".cfg", ".conf", ".lst"))]
    guest.prefetch(files=pending)
    texts: list[bytes] = []
    while pending and len(found) < _MOST:
        for path in _included(guest, pending.pop(), texts):
            if path not in found:
                found[path] = False
                pending.append(path)
    folders = {_resolved(guest, each): each for each in reversed(FOLDERS) if guest.is_dir(each)}
    units = [unit for pair in folders.items() for unit in _units(guest, *pair, found, _DEPTH)]
    for path in _copied_at_boot(guest):
        _collect(guest, path, found, set(), 1)
    maps = [path for path in found if path.startswith("/etc/auto")]
    for path in (*units, *maps) if devices else ():
        for named in _named_by(guest, path):
            _collect(guest, named, found, set(), 0)
    return found


def _mounted_over(guest: Guest, patterns: Sequence[str]) -> Iterator[str]:
    """Where else *patterns* lead to: into directories that are mounted over those they name."""
    table = fstab.parse(guest.text_or_empty("/etc/fstab", READ_LIMIT)).entries
    for entry in mount_units.merged(table, guest):
        layers = (match[1] for match in map(_UPPER.fullmatch, entry.options) if match)
        for source in (*layers, *([entry.spec] if "bind" in entry.options else ())):
            if "*" in source or not guest.is_dir(source):
                continue
            for pattern in patterns:
                if pattern.startswith(f"{entry.mount_point}/"):
                    yield source + pattern.removeprefix(entry.mount_point)


def boot_roots(guest: Guest) -> Sequence[str]:
    """Where the guest mounts what its loader reads: ``/boot``, and every FAT file system."""
    mounts = guest.layout.mounts_in_order
    found = [m.mount_point for m in mounts if m.type == "vfat" or _BOOT.fullmatch(m.mount_point)]
    return list(dict.fromkeys(["/boot", *found]))


def initrds(guest: Guest) -> Iterator[str]:
    """The physical path of every initrd where one is booted from, known by its content alone."""
    for root in (*boot_roots(guest), *filter(guest.is_dir, _OF_INITRDS)):
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


def _collect(guest: Guest, path: str, found: dict[str, bool], seen: set[str], depth: int) -> None:
    kind = guest.kind(path) if depth >= 0 and len(found) < _MOST else None
    physical = guest.resolve(path) if kind else ""
    if kind is Kind.FILE:
        found.setdefault(physical, False)
    elif kind is Kind.DIRECTORY and physical not in seen:
        seen.add(physical)
        below = [f"{physical.rstrip('/')}/{name}" for name in guest.list(physical)]
        guest.prefetch(below if depth else ())
        for each in below:
            _collect(guest, each, found, seen, depth - 1)


def _units(
    guest: Guest, folder: str, called: str, found: dict[str, bool], depth: int
) -> Iterator[str]:
    """The machine's own units in *folder*, which is reached as *called*.

    What links in it lead to outside of it is added to *found*.
    """
    local = called.startswith(("/etc/", "/usr/local/")) and "/system/" in f"{called}/"
    entries = sorted(guest.kinds(folder).items()) if depth else ()
    below = (name for name, kind in entries if kind is Kind.DIRECTORY)
    guest.prefetch(f"{folder}/{name}" for name in below if name.endswith(_OPENED_BELOW))
    for name, kind in entries:
        path = f"{folder}/{name}"
        if kind is Kind.DIRECTORY and name.endswith(_OPENED_BELOW):
            yield from _units(guest, path, f"{called}/{name}", found, depth - 1)
        elif kind is Kind.FILE and local:
            yield path
        elif kind is Kind.SYMLINK:
            behind = _resolved(guest, path)
            if behind and not behind.startswith(tuple(f"{each}/" for each in FOLDERS)):
                before = len(found)
                of_names = name.endswith((".d", *_OF_LINKS))
                for inside in islice(guest.list(behind) if of_names else (), _MOST_LINKED):
                    found[f"{behind}/{inside}"] = True
                    _collect(guest, f"{behind}/{inside}", found, set(), 0)
                _collect(guest, behind, found, set(), 0)
                yield from list(found)[before:]


def _resolved(guest: Guest, path: str) -> str:
    """The physical path of *path*; "" when there is none."""
    try:
        return guest.resolve(path)
    except OSError:
        return ""


def _named_by(guest: Guest, path: str) -> Iterator[str]:
    """What the unit or master map at *path* names, but for what packages bring."""
    for match in _NAMED.finditer(guest.text_or_empty(path, READ_LIMIT)):
        for named in _PATH.findall(match["unit"] or match["map"]):
            if is_own(guest, named):
                yield named


def is_own(guest: Guest, named: str) -> bool:
    """Whether *named* may be somebody's own script or variables, and not a package's program."""
    stat = None if _NO_FILE.match(named) else guest.stat(named)
    if stat is None or stat.kind is not Kind.FILE or stat.size > _NAMED_LIMIT:
        return False
    return not _OF_PACKAGES.match(named) or guest.read(named, 2) == b"#!"


def _copied_at_boot(guest: Guest) -> Iterator[str]:
    """What systemd-tmpfiles copies or links into place, but for what is made at boot."""
    for config in (path for folder in _TMPFILES for path in guest.glob(f"{folder}/*.conf")):
        for line in guest.text_or_empty(config, READ_LIMIT).splitlines():
            kind, place, *others = [*(word.strip("\"'") for word in line.split()), "", ""][:9]
            if not _COPIED.fullmatch(kind):
                continue
            source = others[4] if len(others) > 4 else ""
            path = source if source.startswith("/") else f"/usr/share/factory{place}"
            if "%" not in path and not _NO_FILE.match(path):
                yield path


def _included(guest: Guest, config: str, texts: list[bytes]) -> Iterator[str]:
    """What the file at *config* includes; *texts*, those read before, may assign variables."""
    text = guest.text_or_empty(config, READ_LIMIT)
    texts.append(text.encode("utf-8", "surrogateescape"))
    folder = config.rpartition("/")[0]
    given = [match["path"] for match in (*_INCLUDE.finditer(text), *_RUN.finditer(text))]
    if any("$" in each for each in given):
        joined = JoinedValues(texts, lambda _: False)
        inside = joined.expanded("\n".join(given).encode("utf-8", "surrogateescape"))
        for _, words in inside:
            given += words.decode("utf-8", "surrogateescape").split()
    for each in dict.fromkeys(given):
        name = _DEVICE.sub("", each).rstrip("\"'")
        if not name or "$" in name:
            continue
        for top in (folder, "", *boot_roots(guest)):
            path = f"{top}/{name.lstrip('/')}"
            if guest.is_file(path):
                yield guest.resolve(path)
