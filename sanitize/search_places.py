"""Where in a guest an old identifier is looked for, and where not.

Configuration, boot and state are searched whole. Everything else that is no program and no package
data (``/home``, ``/opt``, ``/srv``, a ``/data`` of the machine's own) may be as large as the disk:
there, folders near the top come first, until a budget of names and folders is spent. What the
budget leaves out, and other machines' data, are told to the user.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.volumes import Kind
from unclone.sanitize import boot_view

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from unclone.images.guest import Guest

#: Where identity is kept. Programs and package data (/usr) are the same on every machine.
ROOTS = (
    "/boot",
    "/efi",
    "/etc",
    "/root",
    "/usr/etc",
    "/usr/lib/NetworkManager",
    "/usr/lib/bootc/kargs.d",
    "/usr/lib/dracut",
    "/usr/lib/environment.d",
    "/usr/lib/initcpio",
    "/usr/lib/kernel",
    "/usr/lib/modprobe.d",
    "/usr/lib/sysctl.d",
    "/usr/lib/systemd",
    "/usr/lib/tmpfiles.d",
    "/usr/share/grub",
    "/usr/share/initramfs-tools",
    "/usr/share/mkinitfs",
    "/usr/local/bin",
    "/usr/local/etc",
    "/usr/local/lib/systemd",
    "/usr/local/libexec",
    "/usr/local/sbin",
    "/var/lib",
    "/var/spool",
)

#: What packages bring, below what is searched: the same on every machine, and never named.
_OF_PACKAGES = (
    "/var/lib/apt/lists",
    "/var/lib/dpkg",
    "/var/lib/plocate",
    "/var/lib/rpm",
    "/usr/lib/sysimage/rpm",
    "/nix/store",
    "/ostree/repo",
    "/snap",
)

#: Images and files of other machines and of containers: as large as the disk, and named.
_OF_OTHERS = (
    "/.snapshots",
    "/home/.snapshots",
    "/var/lib/containerd",
    "/var/lib/containers/storage",
    "/var/lib/docker/image",
    "/var/lib/docker/overlay2",
    "/var/lib/flatpak",
    "/var/lib/libvirt/images",
    "/var/lib/lxc",
    "/var/lib/lxd",
    "/var/lib/machines",
    "/var/lib/snapd/snaps",
)

#: Directories of ``/`` and of ``/var`` that are searched whole, or are programs, logs, caches,
#: or made anew at each boot (hier(7), file-hierarchy(7)).
_KNOWN = frozenset(
    {
        *("bin", "boot", "dev", "efi", "etc", "lib", "lib32", "lib64", "libx32", "lost+found"),
        *("proc", "root", "run", "sbin", "sys", "tmp", "usr", "var"),
    }
)
_KNOWN_IN_VAR = frozenset({"cache", "crash", "lib", "lock", "log", "run", "spool", "tmp"})

#: Names and directories that are looked at outside of :data:`ROOTS`, in all.
MOST_NAMES, MOST_FOLDERS = 5000, 1000
#: Directories that are left out one by one; more are left out as what they are in.
_MOST_LEFT_OUT = 8


@dataclass(frozen=True, slots=True)
class Places:
    """Directories that are searched, those in them that are not, and which of these to tell.

    Below ``named``, each with a slash behind it, the names of files count as well.
    """

    roots: tuple[str, ...]
    named: tuple[str, ...]
    excluded: tuple[str, ...]
    unsearched: tuple[str, ...]


def select(guest: Guest) -> Places:
    """What of *guest* is searched."""
    roots = (*ROOTS, *boot_view.boot_roots(guest))
    again = mounted_again(guest)
    others = [top for top in _others(guest) if top not in again]
    left_out = _over_budget(guest, others, {*again, *_OF_PACKAGES, *_OF_OTHERS})
    named = [path for path in _OF_OTHERS if guest.is_dir(path) and guest.list(path)]
    kept = (top for top in others if top not in (*left_out, *_OF_PACKAGES, *_OF_OTHERS))
    return Places(
        tuple(dict.fromkeys((*roots, *kept))),
        tuple(f"{root}/" for root in roots),
        (*_OF_PACKAGES, *_OF_OTHERS, *again, *left_out),
        tuple(sorted((*named, *left_out))),
    )


def _others(guest: Guest) -> Iterator[str]:
    for parent, known in (("", _KNOWN), ("/var", _KNOWN_IN_VAR)):
        for name, kind in sorted(guest.kinds(parent or "/").items()):
            if kind is Kind.DIRECTORY and name not in known:
                yield f"{parent}/{name}"
    if guest.is_dir("/usr/local"):
        yield guest.resolve("/usr/local")


def mounted_again(guest: Guest) -> Sequence[str]:
    """Where a file system is mounted that is mounted elsewhere before."""
    seen: set[tuple[str, str]] = set()
    again = []
    for mount in guest.layout.mounts_in_order:
        what = mount.device, mount.subvolume
        if what in seen:
            again.append(mount.mount_point)
        seen.add(what)
    return again


def _over_budget(guest: Guest, tops: Sequence[str], skipped: Container[str]) -> Sequence[str]:
    """Directories below *tops* that are not searched, those near the top being searched first."""
    names = folders = 0
    left_out: set[str] = set()
    level = list(tops)
    while level:
        below: list[str] = []
        guest.prefetch(level if len(level) <= MOST_FOLDERS - folders else ())
        for folder in level:
            if folder in skipped:
                continue
            inside = guest.kinds(folder) if folders < MOST_FOLDERS else {}
            if folders >= MOST_FOLDERS or names + len(inside) > MOST_NAMES:
                left_out.add(folder)
                continue
            names, folders = names + len(inside), folders + 1
            below += (f"{folder}/{name}" for name, kind in inside.items() if kind is Kind.DIRECTORY)
        level = below
    return sorted(_gathered(left_out))


def _gathered(folders: set[str]) -> set[str]:
    """*folders*, the deepest replaced by what they are in as long as there are too many."""
    while len(folders) > _MOST_LEFT_OUT:
        deepest = max(path.count("/") for path in folders)
        if deepest == 1:
            break
        folders = {p.rpartition("/")[0] if p.count("/") == deepest else p for p in folders}
    return {path for path in folders if not any(path.startswith(f"{other}/") for other in folders)}
