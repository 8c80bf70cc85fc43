"""Archives with a machine in them: what each kind has, and where its disks are.

References: DMTF DSP0243 2.1.1, 5.1 (OVA); Vagrant documentation, "Box File Format" and the pages of
its providers; vagrant-libvirt, "Box Format" (``box.img``, ``box_N.img``, ``disks``).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.errors import RefusedError
from unclone.images.text import printable, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from unclone.images.archives.tar import Member

_METADATA, _VAGRANTFILE = "metadata.json", "Vagrantfile"
#: Bytes of a small text.
TEXT_LIMIT = 8 * 2**20
#: What a disk is called, when nothing else says that it is one.
_DISK_SUFFIXES = (".vmdk", ".qcow2", ".img", ".vdi", ".vhd", ".vhdx", ".raw")
#: A piece of a VMDK that is split (twoGbMaxExtentSparse, twoGbMaxExtentFlat, monolithicFlat).
_PIECE = re.compile(r"(.+)-(?:[sf][0-9]{3}|flat)\.vmdk")
#: What VMware writes when a machine is suspended, or has snapshots.
_STATE_SUFFIXES = (".vmem", ".vmss", ".vmsn")


class Kind(NamedTuple):
    """A kind of archive. Without ``definition``, the suffix of one, its disks have fixed names."""

    title: str
    definition: str = ""


OVA = Kind("OVA", ".ovf")
_VIRTUALBOX = Kind("Vagrant box for VirtualBox", ".ovf")
_LIBVIRT = Kind("Vagrant box for libvirt")
_VMWARE = Kind("Vagrant box for VMware", ".vmx")
#: By the provider in ``metadata.json``.
_PROVIDERS = {
    "virtualbox": _VIRTUALBOX,
    "libvirt": _LIBVIRT,
    "qemu": _LIBVIRT,
    "vmware": _VMWARE,
    "vmware_desktop": _VMWARE,
    "vmware_fusion": _VMWARE,
    "vmware_workstation": _VMWARE,
}


@dataclass(frozen=True)
class Layout:
    """What is in an archive. ``disks`` are named here only where there is no definition."""

    kind: Kind
    definition: Member | None
    disks: tuple[Member, ...]
    disk_format: str  # of `disks`, "" where it is not said
    vagrantfiles: tuple[Member, ...]
    manifest: Member | None
    certificate: Member | None


def layout_of(members: Sequence[Member], read: Callable[[Member], bytes], path: Path) -> Layout:
    """How the archive with *members*, which messages call *path*, is laid out.

    *read* gives the bytes of a member. Raises RefusedError for a layout that is not known.
    """
    members = [member for member in members if not member.is_folder]
    named = {member.name: member for member in members}
    for member in members:
        if member.name.lower().endswith(_STATE_SUFFIXES):
            raise _refused(path, f"{printable(member.name, 200)} holds a saved state")
    metadata = _metadata(named[_METADATA], read, path) if _METADATA in named else {}
    if metadata:
        provider = str(metadata.get("provider", ""))
        if provider not in _PROVIDERS:
            raise _refused(path, f"it is a Vagrant box for '{printable(provider, 80)}'")
        kind = _PROVIDERS[provider]
    elif members and members[0].name.lower().endswith(".ovf"):
        kind = OVA
    elif _VAGRANTFILE in named:  # the first version of boxes had no metadata
        kind = _VIRTUALBOX
    else:
        raise _refused(path, "it is neither an OVA nor a Vagrant box")
    vagrantfiles = tuple(each for each in members if each.name.endswith(_VAGRANTFILE))
    if not kind.definition:
        disks = _disks(metadata, named, path)
        form = str(metadata.get("format", ""))
        return Layout(kind, None, disks, form, vagrantfiles, None, None)
    # What is in a folder, a person has put there: `vagrant package --include`.
    beside = [each for each in members if "/" not in each.name]
    found = [each for each in beside if each.name.lower().endswith(kind.definition)]
    if len(found) != 1:
        raise _refused(path, f"it has {len(found)} files *{kind.definition}")
    stem = found[0].name[: -len(kind.definition)].lower()
    lower = {member.name.lower(): member for member in members}
    return Layout(
        kind,
        found[0],
        (),
        "",
        vagrantfiles,
        lower.get(f"{stem}.mf"),
        lower.get(f"{stem}.cert"),
    )


def require_disks(
    members: Sequence[Member], names: Sequence[str], layout: Layout, path: Path
) -> tuple[Member, ...]:
    """The members called *names*, which are the disks of the machine.

    Raises RefusedError for one that is not there or is named twice, and for a further disk.
    """
    named = {member.name: member for member in members}
    found = []
    for name in names:
        member = named.get(name.removeprefix("./"))
        if member is None:
            raise _refused(path, f"its definition names {printable(name, 200)}, which is not in it")
        if member in found:
            raise _refused(path, f"its definition names {printable(name, 200)} twice")
        found.append(member)
    for member in members:
        is_disk = member.name.lower().endswith(_DISK_SUFFIXES)
        if is_disk and member not in found and member is not layout.definition:
            whole = named.get(_whole_of(member))
            if whole in found and layout.kind is _VMWARE:
                continue
            if whole is not None:
                raise RefusedError(
                    f"{shown(path)}: {printable(whole.name, 200)} is split into several files",
                    hint="Unpack it with tar, join them (`qemu-img convert -O vmdk`), and pack "
                    "the one file under the same name.",
                )
            raise _refused(path, f"no machine in it uses the disk {printable(member.name, 200)}")
    if not found:
        raise _refused(path, "its machine has no disk")
    return tuple(found)


def pieces_of(disk: Member, members: Sequence[Member]) -> tuple[Member, ...]:
    """The *members* that are called like pieces of *disk*."""
    return tuple(member for member in members if _whole_of(member) == disk.name)


def _whole_of(member: Member) -> str:
    """The disk of which *member* is a piece, by its name; "" for another file."""
    piece = _PIECE.fullmatch(member.name)
    return f"{piece[1]}.vmdk" if piece else ""


def _metadata(member: Member, read: Callable[[Member], bytes], path: Path) -> Mapping[str, object]:
    try:
        found = json.loads(read(member)) if member.size <= TEXT_LIMIT else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not found:
        raise _refused(path, f"its {_METADATA} is no JSON object")
    return found


def _disks(
    metadata: Mapping[str, object], named: Mapping[str, Member], path: Path
) -> tuple[Member, ...]:
    """The disks of a box for libvirt: those that are listed, or those with the usual names."""
    listed = metadata.get("disks")
    names = ["box.img"] if "box.img" in named else []
    number = 0
    while not names[1:] and f"box_{number}.img" in named and "box.img" not in named:
        number += 1
        if f"box_{number}.img" not in named:
            names = [f"box_{each}.img" for each in range(number)]
            break
    if isinstance(listed, list):
        names = [str(each.get("path", "")) if isinstance(each, dict) else "" for each in listed]
    layout = Layout(_LIBVIRT, None, (), "", (), None, None)
    return require_disks(tuple(named.values()), names, layout, path)


def _refused(path: Path, what: str) -> RefusedError:
    return RefusedError(
        f"{shown(path)} is a tar archive whose disks cannot be changed in it: {what}",
        hint="Unpack it with tar, run this on the disks, and pack them again.",
    )
