"""What a guest mounts by systemd's mount units, as entries like those of fstab.

A unit in ``/etc`` takes precedence over a line of fstab for the same mount point, which takes
precedence over a unit in ``/usr``. A unit that no other one wants is started nevertheless for what
needs a path below its mount point.

References: systemd.mount(5); systemd.automount(5); systemd.unit(5) (the order of the folders; how a
name is escaped); systemd-fstab-generator(8); systemd v257 src/core/unit.c
(unit_add_mount_dependencies).
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from unclone.images.fstab import Entry
from unclone.images.systemd_units import UNIT_FOLDERS, load_unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.guest import Guest

_SUFFIX = ".mount"
#: Mount points of kernel file systems and of packages, not of the guest's disks.
_ELSEWHERE = re.compile(r"(dev|proc|sys|run|tmp|snap)[-.].*")
_LINKS = re.compile(r".*\.(wants|requires|upholds)")
_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})")


def merged(table: Sequence[Entry], guest: Guest) -> Sequence[Entry]:
    """The entries of fstab and of mount units, without those that another one overrides."""
    units = list(_entries(guest))
    listed = {_normal(entry.mount_point) for entry in table}
    own = [entry for entry in units if entry.unit.startswith("/etc/")]
    others = [entry for entry in units if not entry.unit.startswith("/etc/")]
    instead = {entry.mount_point for entry in own}
    return [
        *(entry for entry in table if _normal(entry.mount_point) not in instead),
        *own,
        *(entry for entry in others if entry.mount_point not in listed),
    ]


def _entries(guest: Guest) -> Iterator[Entry]:
    found = {
        name
        for folder in UNIT_FOLDERS
        for name in guest.list(folder)
        if name.endswith(_SUFFIX) and not _ELSEWHERE.fullmatch(name)
    }
    links = _links(guest) if found else {}
    for name in sorted(found):
        unit = load_unit(guest, name)
        place = _place(name)
        if unit is None or place == "/":
            continue
        what, where, kind = (_last(unit.values("Mount", key)) for key in ("What", "Where", "Type"))
        of_disk = what.startswith("/") or "=" in what or kind == "overlay"
        if not of_disk or ("%" not in where and _normal(where) != place):
            continue  # systemd does not take it
        kinds = links.get(name, set()) | links.get(f"{name.removesuffix(_SUFFIX)}.automount", set())
        options = _last(unit.values("Mount", "Options")).split(",")
        yield Entry(
            line=-1,
            spec=what,
            mount_point=place,
            type=kind or "auto",
            options=(*options, *(() if "requires" in kinds else ("nofail",))),
            unit=unit.path,
            started=bool(kinds),
        )


def _links(guest: Guest) -> dict[str, set[str]]:
    """The names of the units that another one starts, each with the kinds of dependency."""
    links: dict[str, set[str]] = {}
    for folder in UNIT_FOLDERS:
        for above in guest.list(folder):
            if kind := _LINKS.fullmatch(above):
                for name in guest.list(f"{folder}/{above}"):
                    links.setdefault(name, set()).add(kind[1])
    return links


def _place(name: str) -> str:
    """The mount point of the unit *name*."""
    path = name.removesuffix(_SUFFIX).replace("-", "/")
    raw = _ESCAPE.sub(lambda m: bytes([int(m[1], 16)]), path.encode("utf-8", "surrogateescape"))
    return _normal("/" + raw.decode("utf-8", "surrogateescape"))


def _normal(path: str) -> str:
    return "/" + posixpath.normpath(path).lstrip("/")


def _last(values: Sequence[str]) -> str:
    return values[-1].replace("%%", "%") if values else ""
