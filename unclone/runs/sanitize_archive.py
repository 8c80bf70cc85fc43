"""The run of ``unclone sanitize`` on an OVA or a Vagrant box: its disks and its definition.

Disks that are VMDKs are converted to qcow2 for the work, and back. The definition is made another
machine's as ``unclone define`` does it, with one map of addresses for it and the guest. See
:mod:`unclone.runs.replacing` for how the result appears.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images import qemu_img
from unclone.images.archives import packing
from unclone.images.archives.layouts import TEXT_LIMIT, layout_of, pieces_of, require_disks
from unclone.images.archives.tar import read_archive
from unclone.images.archives.vagrantfile import with_addresses, with_base_mac
from unclone.images.chain import read_chain
from unclone.images.errors import RefusedError
from unclone.images.files import explained
from unclone.images.formats.header import Format
from unclone.images.formats.table import probe, read_header
from unclone.images.text import shown
from unclone.runs import define as defining
from unclone.runs.replacing import new_file, outside, replacing, unpacked
from unclone.runs.sanitize import sanitize
from unclone.runs.sanitize_compressed import of_file, pack
from unclone.runs.sanitize_machine import MachineReport, own_disks, sanitize_machine
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.formats.ovf import FORMAT as OVF
from unclone.sanitize.definitions.formats.ovf.manifest import LIMIT, read_manifest
from unclone.sanitize.definitions.formats.ovf.sizes import require_plain_files, with_sizes
from unclone.sanitize.definitions.text.source import Source

if TYPE_CHECKING:
    from unclone.images.archives.layouts import Layout
    from unclone.images.archives.tar import Member
    from unclone.images.formats.header import Header
    from unclone.runs.define import Defined
    from unclone.runs.listener import Listener
    from unclone.runs.replacing import Replacement
    from unclone.runs.request import Request
    from unclone.sanitize.definitions.definition import Definition
    from unclone.sanitize.definitions.formats.ovf.manifest import Manifest
    from unclone.sanitize.report import Report

#: Bytes of a file beside the definition (UEFI variables) that it may need.
_BESIDE_LIMIT = 256 * 2**20
#: Bytes within which a VMDK has its descriptor; what is kept of it, and qemu-img's name for that.
_DESCRIPTOR_END = 21 * 512
_DIALECT = (
    (rb'ddb\.adapterType\s*=\s*"(ide|buslogic|lsilogic|legacyESX)"', "adapter_type"),
    (rb'ddb\.virtualHWVersion\s*=\s*"([0-9]{1,3})"', "hwversion"),
)
#: The kinds of VMDK that are one file, those that are several, and are written back as they were.
_WHOLE = ("streamOptimized", "monolithicSparse")
_SPLIT = ("twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "monolithicFlat")


def sanitize_archive(request: Request, listener: Listener) -> Report | MachineReport:
    """As ``sanitize`` for the machine in the archive of *request*; with its definition, if any.

    Raises ``UncloneError``; the archive is then as it was.
    """
    with replacing(request, "an archive") as work:
        archive, compression = unpacked(work, "archive.tar", listener)
        machine = _Machine(work, archive, listener)
        result = machine.sanitized()
        report = result.report if isinstance(result, MachineReport) else result
        if request.dry_run or report.left_alone:
            return report if report.left_alone else result
        packed = machine.packed()
        if compression is not None:
            listener.say(f"packing {shown(work.target)} ({compression.name})")
            with explained("pack the archive", work.folder.parent):
                pack(packed, work.folder / "packed", compression)
            packed = work.folder / "packed"
        work.put(packed)
        return result


def _dialect(head: bytes) -> str:
    """The options for another VMDK for the same hardware as the one that begins with *head*."""
    found = ""
    for pattern, option in _DIALECT:
        if said := re.search(pattern, head):
            found += f",{option}={said[1].decode()}"
    return found


def _header(vmdk: Path) -> Header:
    with vmdk.open("rb") as opened:
        return read_header(opened, Format.VMDK, name=vmdk.name)


class _Machine:
    """The machine in an archive, and the files that become members of the new one."""

    def __init__(self, work: Replacement, archive: Path, listener: Listener) -> None:
        self._work, self._archive, self._listener = work, archive, listener
        self._path = work.request.image
        self._inside, self._new = work.folder / "inside", work.folder / "new"
        for folder in (self._inside, self._new):
            folder.mkdir(mode=0o700)
        self._members = read_archive(archive, self._path, folder=True)
        self._layout: Layout = layout_of(
            self._members, lambda member: packing.read_member(archive, member), self._path
        )
        #: The disks that are worked on, by the name of their member, and kinds of their VMDKs.
        self._disks: dict[str, Path] = {}
        self._variants: dict[str, str] = {}
        #: Members that the new archive does not have.
        self._gone: set[str] = set()
        self._replaced: dict[str, Path] = {}
        self._manifest = self._read_manifest()

    def sanitized(self) -> Report | MachineReport:
        """What the run on the disks, and on the definition, reports."""
        layout, request = self._layout, self._work.request
        if layout.definition is None:
            for member in layout.disks:
                self._take_out(member, layout.disk_format)
                self._replaced[member.name] = self._disks[member.name]
            return self._of_file(sanitize(self._on_disks(), self._listener))
        for member in self._members:
            text = member is layout.definition
            other = member.is_folder or "/" in member.name or member.name.lower().endswith(".vmdk")
            if text or (not other and member.size <= _BESIDE_LIMIT):
                with (
                    explained("unpack the definition", self._work.folder.parent),
                    new_file(self._inside / member.name) as file,
                ):
                    packing.extract(self._archive, member, file)
        if layout.definition.size > TEXT_LIMIT:
            raise RefusedError(f"{shown(self._path)}: its definition is too long")
        source = self._inside / layout.definition.name
        if layout.manifest is not None:  # made anew at the end, with the disks
            (self._inside / layout.manifest.name).unlink()
        if layout.certificate is not None:
            (self._inside / layout.certificate.name).unlink()
        key = request.options.identities.key
        wanted = defining.Request(source, "", output=self._new / layout.definition.name)
        definition = defining.read(wanted)
        if definition.format is OVF:
            require_plain_files(Source(source))
        own = own_disks(definition)
        for member in require_disks(self._members, [d.path for d in own], layout, self._path):
            self._take_out(member, "vmdk")
        name = request.options.identities.machine if key else definition.name
        wanted = replace(
            wanted,
            name=name or Path(self._path).stem,
            disks={disk.path: disk.path for disk in own},
        )
        result = sanitize_machine(self._on_disks(), wanted, definition, self._listener)
        if not (request.dry_run or result.report.left_alone):
            self._take_definition(result, definition)
        report = self._of_file(result.report)
        return MachineReport(report, self._of_archive(result.defined))

    def packed(self) -> Path:
        """The new archive, durable and read back."""
        layout, folder = self._layout, self._work.folder
        populated = {}
        for name, options in self._variants.items():
            self._listener.say(f"writing {name}")
            vmdk = self._new / name
            with explained("convert the disk", folder):
                populated[name] = qemu_img.convert_back(self._disks[name], vmdk, options)
            self._disks[name].unlink()
            self._replaced[name] = vmdk
            self._replace_pieces(name)
        if layout.definition is not None and layout.definition.name.lower().endswith(".ovf"):
            descriptor = self._replaced[layout.definition.name]
            sizes = {name: path.stat().st_size for name, path in self._replaced.items()}
            descriptor.write_bytes(with_sizes(Source(descriptor), sizes, populated))
        if layout.manifest is not None and self._manifest is not None:
            self._replaced[layout.manifest.name] = self._new_manifest(layout.manifest.name)
        if layout.certificate is not None:
            self._gone.add(layout.certificate.name)
        members = [each for each in self._members if each.name not in self._gone]
        packed = folder / "packed.tar"
        with explained("pack the archive", folder.parent):
            with new_file(packed) as file:
                packing.repack(self._archive, members, self._replaced, file)
                file.flush()
                os.fsync(file.fileno())
            packing.require_packed(packed, self._path, members, self._replaced)
        return packed

    def _replace_pieces(self, name: str) -> None:
        """Have the pieces of the VMDK *name* as they are now: QEMU's may be larger, and fewer."""
        (disk,) = (each for each in self._members if each.name == name)
        old = {each.name for each in pieces_of(disk, self._members)}
        made = {extent.name for extent in _header(self._new / name).extents}
        if not made <= old:
            raise RefusedError(
                f"{shown(self._path)}: {name} cannot be split into the pieces that it had",
                hint="Make the archive again with disks of one file each.",
            )
        self._replaced |= {each: self._new / each for each in made}
        self._gone |= old - made

    def _on_disks(self) -> Request:
        first, *others = self._disks.values()
        request = self._work.request
        return replace(request, image=first, add_disks=tuple(others), outputs=())

    def _take_out(self, member: Member, form: str) -> None:
        """Have the disk *member* as an image that can be changed. Raises RefusedError."""
        folder = self._work.folder
        disk = self._inside / member.name
        name = f"{shown(self._path)}: {member.name}"
        self._listener.say(f"taking {member.name} out of {shown(self._path)}")
        with explained("unpack the disk", folder.parent):
            with new_file(disk) as file:
                packing.extract(self._archive, member, file)
            with disk.open("rb") as opened:
                found = probe(opened.read(1024))
                form = form or str(found)
                if form != found:
                    raise RefusedError(
                        f"{name} is {found}, and should be {form}", hint="Make the archive again."
                    )
                header = read_header(opened, found, name=name)
                opened.seek(0)
                head = opened.read(_DESCRIPTOR_END)
        pieces = {each.name: each for each in pieces_of(member, self._members)}
        if header.backing or {extent.name for extent in header.extents} != set(pieces):
            raise RefusedError(
                f"{name} is not complete: it needs other files than those beside it",
                hint="Make the archive again with disks of one file each.",
            )
        if found is not Format.VMDK:
            self._disks[member.name] = disk
            return
        if header.variant not in (_SPLIT if pieces else _WHOLE):
            raise RefusedError(f"{name} is a VMDK of the kind {header.variant}")
        self._variants[member.name] = f"subformat={header.variant}{_dialect(head)}"
        work = folder / f"disk-{len(self._disks)}.qcow2"
        with explained("convert the disk", folder.parent):
            for piece in pieces.values():
                with new_file(self._inside / piece.name) as file:
                    packing.extract(self._archive, piece, file)
            read_chain(disk, Format.VMDK)  # looks at all of them
            qemu_img.convert_alone(disk, Format.VMDK, work)
        for each in (member.name, *pieces):
            (self._inside / each).unlink()
        self._disks[member.name] = work

    def _take_definition(self, result: MachineReport, definition: Definition) -> None:
        """Have what the definition became, and the files beside it, in the new archive."""
        names = {member.name for member in self._members}
        for path in self._new.iterdir():
            if path.name not in names:
                raise RefusedError(
                    f"{shown(self._path)}: its definition needs a further file, {path.name}",
                    hint="Unpack it with tar, and use --definition.",
                )
            self._replaced[path.name] = path
        macs = result.defined.identities.macs
        for number, member in enumerate(self._layout.vagrantfiles):
            if member.size > TEXT_LIMIT:
                raise RefusedError(f"{shown(self._path)}: {member.name} is too long")
            old = packing.read_member(self._archive, member)
            text = old.decode("utf-8", "surrogateescape")
            is_ovf = definition.format is OVF
            new = with_base_mac(text, macs, self._path) if is_ovf else with_addresses(text, macs)
            path = self._work.folder / f"vagrantfile-{number}"
            path.write_bytes(new.encode("utf-8", "surrogateescape"))
            self._replaced[member.name] = path

    def _read_manifest(self) -> Manifest | None:
        """The manifest, when all files are as it says. Raises RefusedError for others."""
        member = self._layout.manifest
        if member is None:
            return None
        if member.size > LIMIT:
            raise RefusedError(f"{shown(self._path)}: its manifest is too long")
        manifest = read_manifest(packing.read_member(self._archive, member), shown(self._path))
        for each in self._members:
            if said := manifest.digests.get(each.name):
                found = packing.digest(self._archive, each, said.algorithm)
                said.require(found, shown(self._path))
        return manifest

    def _new_manifest(self, name: str) -> Path:
        import hashlib  # noqa: PLC0415 (only here)

        new = {}
        assert self._manifest is not None  # noqa: S101 (the caller has looked)
        for member, said in self._manifest.digests.items():
            if member in self._replaced:
                with self._replaced[member].open("rb") as file:
                    new[member] = (member, hashlib.file_digest(file, said.algorithm).hexdigest())
        path = self._new / name
        path.write_bytes(self._manifest.changed(new).encode("utf-8", "surrogateescape"))
        return path

    def _of_file(self, report: Report) -> Report:
        return of_file(report, self._work.request, self._work.folder, self._work.target)

    def _of_archive(self, defined: Defined) -> Defined:
        """*defined*, whose files are in the archive."""
        work, path = self._work, self._path
        target = path if work.request.dry_run else work.target
        first = defined.parts[0]
        inner = first.plan.definition
        of_path = replace(inner, source=Source(path, inner.source.content))
        notes = [
            replace(note, text=outside(note.text, work.folder, path)) for note in defined.notes
        ]
        if (certificate := self._layout.certificate) is not None:
            text = f"{certificate.name} signs the source only, and is left out"
            notes.append(Note("certificate", Level.WARNING, text))
        return replace(
            defined,
            request=replace(defined.request, source=path, output=target),
            parts=(replace(first, plan=replace(first.plan, definition=of_path), output=target),),
            associated_files=(),
            notes=tuple(notes),
        )
