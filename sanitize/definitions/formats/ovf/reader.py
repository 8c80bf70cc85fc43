"""Open Virtualization Format: a descriptor (.ovf) with its disks and manifest beside it.

References: see fields.py and manifest.py.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable, shown
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.associated_files import appearing, require_free
from unclone.sanitize.definitions.definition import Active, Definition, Leaf
from unclone.sanitize.definitions.firmware_variables import is_beside
from unclone.sanitize.definitions.formats.ovf import FORMAT, rules
from unclone.sanitize.definitions.formats.ovf.fields import read_descriptor
from unclone.sanitize.definitions.formats.ovf.manifest import (
    LIMIT,
    Digest,
    Manifest,
    empty_note,
    read_manifest,
)
from unclone.sanitize.definitions.text.source import Source
from unclone.sanitize.definitions.text.splicing import splice
from unclone.sanitize.definitions.text.xml_tree import leaves

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from unclone.sanitize.definitions.associated_files import AssociatedFile
    from unclone.sanitize.definitions.definition import DefinitionPlan
    from unclone.sanitize.definitions.text.xml_tree import Element


def read(source: Source) -> Definition:
    """The machine in *source*, and the manifest beside it."""
    found = read_descriptor(source, in_archive=False)
    state = found.state
    manifest = _manifest(source)
    return Ovf(
        FORMAT,
        source,
        found.name,
        found.fields,
        found.disks,
        Active(f"{printable(state, 200)} holds its saved state", running=False) if state else None,
        tuple(_notes(source, manifest)),
        found.cards,
        manifest=manifest,
        root=found.root,
    )


@dataclass(frozen=True)
class Ovf(Definition):
    """An OVF descriptor."""

    manifest: Manifest | None = None
    root: Element | None = None

    def leaves(self) -> Iterator[Leaf]:
        """Every attribute and text."""
        return (Leaf(*each) for each in leaves(self.root)) if self.root else iter(())

    def associated_files(self, plan: DefinitionPlan, output: Path) -> Sequence[AssociatedFile]:
        """A manifest with the digest of the new descriptor, and of disks that were moved."""
        if self.manifest is None:
            return ()
        new = io.BytesIO()
        self.write(plan.edits, new)
        moved = {
            planned.field.value: planned.new
            for planned in plan.fields
            if planned.field.rule is rules.DISK and planned.changed and planned.new
        }
        path = self.source.path
        return [NewManifest(path, output, self.manifest, new.getvalue(), moved)]

    def reread(self, plan: DefinitionPlan) -> Definition:
        """What the new descriptor says; the manifest beside the source is not its own."""
        text = self.source.encoded(splice(self.source.text, plan.edits))
        source = Source(self.source.path, text)
        found = read_descriptor(source, in_archive=False)
        return replace(self, source=source, name=found.name, fields=found.fields)


@dataclass(frozen=True)
class NewManifest:
    """The manifest of the new descriptor. Disks are read in pieces."""

    source: Path
    output: Path
    manifest: Manifest
    content: bytes
    moved: Mapping[str, str]

    @property
    def target(self) -> Path:
        return self.output.with_suffix(".mf")

    def describe(self) -> str:
        missing = ", ".join(shown(self.output.parent / name) for name in self._missing())
        message = f"{shown(self.target)}: digests of the new descriptor and its disks"
        return f"{message}, but not of {missing}, which is not there yet" if missing else message

    def check(self, *, overwrite: bool) -> None:
        require_free(self.target, self.source.with_suffix(".mf"), overwrite=overwrite)

    def apply(self, *, overwrite: bool) -> None:
        like = self.source.with_suffix(".mf")
        text = self.manifest.changed(dict(self._digests()), without=tuple(self._dropped()))
        with appearing(self.target, like=like, overwrite=overwrite) as file:
            file.write(text.encode("utf-8", "surrogateescape"))

    def undo(self) -> None:
        self.target.unlink(missing_ok=True)

    def _digests(self) -> Iterator[tuple[str, tuple[str, str]]]:
        for name, digest in self.manifest.digests.items():
            new = self.moved.get(name)
            if name == self.source.name:
                yield name, (self.output.name, digest.of(self.content))
            elif new and (path := self.output.parent / new).is_file():
                yield name, (new, _digest_of(path, digest))

    def _missing(self) -> list[str]:
        return [new for new in self.moved.values() if not (self.output.parent / new).is_file()]

    def _dropped(self) -> Iterator[str]:
        missing = self._missing()
        return (old for old, new in self.moved.items() if new in missing)


def _digest_of(path: Path, digest: Digest) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, digest.algorithm).hexdigest()


def _manifest(source: Source) -> Manifest | None:
    path = source.path.with_suffix(".mf")
    if not path.is_file():
        return None
    with path.open("rb") as file:
        manifest = read_manifest(file.read(LIMIT + 1), shown(path))
    if not manifest.digests:
        return None
    own = manifest.digests.get(source.path.name)
    if own is None:
        raise RefusedError(
            f"{shown(path)} has no digest of {source.shown}",
            hint="Remove the manifest, or make it again.",
        )
    own.require(own.of(source.content), source.shown)
    return manifest


def _notes(source: Source, manifest: Manifest | None) -> Iterator[Note]:
    beside = source.path.with_suffix(".mf")
    if manifest is None and beside.is_file():
        yield empty_note(beside.name)
    certificate = source.path.with_suffix(".cert").name
    if is_beside(source.path, certificate):
        message = f"{certificate} signs the source only: the new machine is not signed"
        yield Note("certificate", Level.WARNING, message)
