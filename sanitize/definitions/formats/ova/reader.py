"""OVA: an OVF descriptor, its manifest and its disks in one tar archive.

The descriptor and the manifest are written anew; everything else is copied block by block, in
pieces, and its digest checked on the way.

References: see fields.py and manifest.py.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

from unclone.images.archives.tar import (
    BLOCK,
    Member,
    extended_without_size,
    header_with_size,
    padding,
    read_ova,
)
from unclone.images.errors import RefusedError, UncloneError
from unclone.images.text import printable, shown
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.definition import Active, Definition, Leaf
from unclone.sanitize.definitions.formats.ova import FORMAT
from unclone.sanitize.definitions.formats.ovf.fields import Descriptor, read_descriptor
from unclone.sanitize.definitions.formats.ovf.manifest import (
    LIMIT,
    Manifest,
    empty_note,
    read_manifest,
)
from unclone.sanitize.definitions.text.source import LIMIT as DESCRIPTOR_LIMIT
from unclone.sanitize.definitions.text.source import Source
from unclone.sanitize.definitions.text.splicing import splice
from unclone.sanitize.definitions.text.xml_tree import leaves

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from unclone.sanitize.definitions.definition import DefinitionPlan
    from unclone.sanitize.definitions.formats.ovf.manifest import Digest
    from unclone.sanitize.definitions.text.splicing import Edit
    from unclone.sanitize.definitions.text.xml_tree import Element

_CHUNK = 2**20
#: Zeros at the end of an archive that are kept: it is filled to a whole record. In bytes.
_TAIL = 2**16


def read(source: Source) -> Definition:
    """The machine in the archive *source*."""
    path = source.path
    if not path.is_file():
        raise RefusedError(
            f"{source.shown} is an archive, which is not read from a pipe", hint="Name its file."
        )
    members = read_ova(path)
    descriptor, *others = members
    inner = Source(path, _content(path, descriptor, DESCRIPTOR_LIMIT))
    found = read_descriptor(inner, in_archive=True)
    _require_files(path, found, members)
    own_manifest = next((m for m in others if _is(m, descriptor, ".mf")), None)
    manifest = _manifest(path, own_manifest, descriptor, inner) if own_manifest else None
    empty = own_manifest if manifest is None else None
    certificate = next((m for m in others if _is(m, descriptor, ".cert")), None)
    state = found.state
    return Ova(
        FORMAT,
        inner,
        found.name,
        found.fields,
        (),
        Active(f"{printable(state, 200)} holds its saved state", running=False) if state else None,
        tuple(_notes(certificate, empty)),
        found.cards,
        members=tuple(m for m in members if m not in (certificate, empty)),
        manifest=manifest,
        manifest_member=own_manifest,
        end=members[-1].end,
        root=found.root,
    )


@dataclass(frozen=True)
class Ova(Definition):
    """A machine in an archive. The source's text is the descriptor's."""

    members: tuple[Member, ...] = ()  # without a certificate, which signs only the source
    manifest: Manifest | None = None
    manifest_member: Member | None = None
    end: int = 0  # of the last member
    root: Element | None = None

    def leaves(self) -> Iterator[Leaf]:
        """Every attribute and text of the descriptor."""
        return (Leaf(*each) for each in leaves(self.root)) if self.root else iter(())

    def write(self, edits: Sequence[Edit], output: BinaryIO) -> None:
        """Write the archive. Raises RefusedError when a disk is not what the manifest says."""
        descriptor = self.source.encoded(splice(self.source.text, edits))
        with self.source.path.open("rb") as file:
            for number, member in enumerate(self.members):
                if number == 0:
                    _replace(file, member, descriptor, output)
                elif member is self.manifest_member and self.manifest:
                    _replace(file, member, self._new_manifest(descriptor), output)
                else:
                    digests = self.manifest.digests if self.manifest else {}
                    _copy(file, member, output, digests.get(member.name), self.source.shown)
            file.seek(self.end)
            tail = file.read(_TAIL)
        output.write(tail if tail and not any(tail) else bytes(2 * BLOCK))

    def reread(self, plan: DefinitionPlan) -> Definition:
        """What the new descriptor says; the disks are not looked at again."""
        text = self.source.encoded(splice(self.source.text, plan.edits))
        source = Source(self.source.path, text)
        found = read_descriptor(source, in_archive=True)
        return replace(self, source=source, name=found.name, fields=found.fields)

    def _new_manifest(self, descriptor: bytes) -> bytes:
        if self.manifest is None:
            return b""
        name = self.members[0].name
        digest = self.manifest.digests[name]
        text = self.manifest.changed({name: (name, digest.of(descriptor))})
        return text.encode("utf-8", "surrogateescape")


def _is(member: Member, descriptor: Member, suffix: str) -> bool:
    stem = descriptor.name[: -len(".ovf")]
    return member.name.lower() == f"{stem}{suffix}".lower()


def _content(path: Path, member: Member, limit: int) -> bytes:
    if member.size > limit:
        raise RefusedError(
            f"{shown(path)}: {printable(member.name, 200)} has more than {limit // 2**20} MiB",
            hint="That is no descriptor of a VM.",
        )
    with path.open("rb") as file:
        file.seek(member.data)
        return file.read(member.size)


def _require_files(path: Path, found: Descriptor, members: Sequence[Member]) -> None:
    """Whatever the descriptor names is there, and as long as it says."""
    sizes = {member.name: member.size for member in members}
    for file in found.files:
        if file.in_chunks or "://" in file.href:
            continue
        name = printable(file.href, 200)
        if file.href not in sizes:
            raise RefusedError(
                f"{shown(path)}: its descriptor names {name}, which is not in it",
                hint="Is it copied completely?",
            )
        if file.size not in (-1, sizes[file.href]):
            raise RefusedError(
                f"{shown(path)}: {name} has {sizes[file.href]} bytes, and should have {file.size}",
                hint="Export or download it again.",
            )


def _manifest(path: Path, member: Member, descriptor: Member, inner: Source) -> Manifest | None:
    """The manifest; None where it is empty."""
    manifest = read_manifest(_content(path, member, LIMIT), shown(path))
    if not manifest.digests:
        return None
    own = manifest.digests.get(descriptor.name)
    if own is None:
        raise RefusedError(
            f"{shown(path)}: its manifest has no digest of {printable(descriptor.name, 200)}",
            hint="Export it again.",
        )
    own.require(own.of(inner.content), shown(path))
    return manifest


def _replace(file: BinaryIO, member: Member, content: bytes, output: BinaryIO) -> None:
    """Write *member* with other bytes; its other properties stay."""
    file.seek(member.start)
    output.write(extended_without_size(file.read(member.header - member.start)))
    output.write(header_with_size(file.read(BLOCK), len(content)))
    output.write(content)
    output.write(padding(len(content)))


def _copy(
    file: BinaryIO, member: Member, output: BinaryIO, digest: Digest | None, shown_path: str
) -> None:
    """Write *member* as it is, and check what the manifest says about it."""
    summed = hashlib.new(digest.algorithm, usedforsecurity=False) if digest else None
    file.seek(member.start)
    output.write(file.read(member.data - member.start))
    left = member.size
    while left:
        piece = file.read(min(left, _CHUNK))
        if not piece:
            raise UncloneError(f"{shown_path} became shorter while it was read", hint="Try again.")
        left -= len(piece)
        output.write(piece)
        if summed:
            summed.update(piece)
    output.write(padding(member.size))
    if digest and summed:
        digest.require(summed.hexdigest(), shown_path)


def _notes(certificate: Member | None, empty: Member | None) -> Iterator[Note]:
    if empty is not None:
        yield empty_note(empty.name)
    if certificate is not None:
        message = f"{certificate.name} signs the source only, and is left out"
        yield Note("certificate", Level.WARNING, message)
