"""Which drivers for virtual hardware a guest's kernels and initrds lack.

References: kmod(8), depmod(8), modules.dep(5) (module files, ``.ko`` perhaps compressed);
Linux ``Documentation/kbuild/kbuild.rst`` (``modules.builtin``); VIRTIO 1.2, chapter 5 (the
devices); mkinitcpio ``/usr/lib/modules/*/pkgbase`` (what Arch calls an initrd).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.text import printable
from unclone.sanitize.change import Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from unclone.images.guest import Guest
    from unclone.sanitize.boot.initrd import Survey

#: What a machine of QEMU's offers, in the order it is missed; a kernel should know all of them.
VIRTIO = {
    "virtio_pci": "the bus",
    "virtio_blk": "disks",
    "virtio_scsi": "disks",
    "virtio_net": "network cards",
    "virtio_balloon": "giving memory back",
}
_DISKS = {"virtio_blk", "virtio_scsi"}
_SERIOUS = {"virtio_pci", "virtio_net"}

#: The initrd of kernel {0} or flavour {1}, as Debian, Fedora, SUSE, Arch and Alpine name it, and
#: as kernel-install does below a folder named by machine-id or entry token.
_INITRDS = (
    "/boot/initrd.img-{0}",
    "/boot/initramfs-{0}.img",
    "/boot/initrd-{0}",
    "/boot/initramfs-{1}.img",
    "/boot/initramfs-{1}",
    "/boot/*/{0}/initrd",
)

_MODULE = re.compile(r"([^/\s:]+)\.ko(?:\.(?:xz|zst|gz))?(?=$|:|\s)")
_LIST_LIMIT = 16 * 1024 * 1024  # bytes


class _Kernel(NamedTuple):
    version: str
    flavour: str
    builtin: frozenset[str]
    loadable: frozenset[str]


def missing_drivers(guest: Guest, initrds: Mapping[str, Survey]) -> Iterator[tuple[Level, str]]:
    """What is missing, in words for a report: one text for each kernel and each initrd.

    Nothing is said about what cannot be known: a kernel without lists of its modules, an initrd
    that cannot be read, or that is not among *initrds* (with --uuids keep none is unpacked).
    """
    for kernel in _kernels(guest):
        missing = set(VIRTIO) - kernel.builtin - kernel.loadable
        if missing:
            serious = bool(missing >= _DISKS or _SERIOUS & missing)
            names = ", ".join(f"{name} ({use})" for name, use in VIRTIO.items() if name in missing)
            text = (
                f"the kernel {printable(kernel.version, 80)} has no {names}: a copy needs "
                "emulated hardware in its place, or a kernel with these drivers."
            )
            yield Level.WARNING if serious else Level.INFO, text
        yield from _missing_in_initrds(guest, initrds, kernel, missing)


def _missing_in_initrds(
    guest: Guest, initrds: Mapping[str, Survey], kernel: _Kernel, missing: set[str]
) -> Iterator[tuple[Level, str]]:
    wanted = {"virtio_pci", *_DISKS} - missing - kernel.builtin
    # Another driver for disks is built in, or the kernel has none that the initrd could hold.
    if not wanted or ("virtio_pci" not in wanted and _DISKS & kernel.builtin):
        return
    for path in _initrds(guest, kernel):
        survey = initrds.get(guest.resolve(path))
        if survey is None or survey.unreadable:
            continue
        inside = modules(survey.members) | kernel.builtin
        if "virtio_pci" not in inside or not _DISKS & inside:
            text = (
                f"the initrd {printable(path)} has no driver for virtio disks (virtio_pci with "
                "virtio_blk or virtio_scsi): a copy whose disk is one does not find its root. Add "
                "them to it in the image, or attach the disk as it was attached before."
            )
            yield Level.WARNING, text


def modules(paths: Iterable[str]) -> frozenset[str]:
    """The modules whose files are among *paths* (or begin a line of modules.dep)."""
    found = (match for path in paths if (match := _MODULE.search(path)))
    return frozenset(match[1].replace("-", "_") for match in found)


def _kernels(guest: Guest) -> Iterator[_Kernel]:
    seen = set()
    for pattern in ("/usr/lib/modules/*/modules.dep", "/lib/modules/*/modules.dep"):
        for path in guest.glob(pattern):
            if not guest.is_file(path) or guest.resolve(path) in seen:
                continue
            seen.add(guest.resolve(path))
            folder = path.rsplit("/", 1)[0]
            version = folder.rsplit("/", 1)[1]
            base = guest.text_or_empty(f"{folder}/pkgbase", 256).strip()
            yield _Kernel(
                version,
                base or version.rsplit("-", 1)[-1],
                modules(_lines(guest, f"{folder}/modules.builtin")),
                modules(_lines(guest, path)),
            )


def _lines(guest: Guest, path: str) -> list[str]:
    return guest.text_or_empty(path, _LIST_LIMIT).splitlines()


def _initrds(guest: Guest, kernel: _Kernel) -> Iterator[str]:
    seen = set()
    names = [re.sub(r"[*?\[]", r"[\g<0>]", name) for name in (kernel.version, kernel.flavour)]
    if any("/" in name for name in names):
        return
    for pattern in _INITRDS:
        for path in guest.glob(pattern.format(*names)):
            if guest.is_file(path) and guest.resolve(path) not in seen:
                seen.add(guest.resolve(path))
                yield path
