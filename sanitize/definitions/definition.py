"""What a format finds in a definition: fields with their places in the text, and nothing changed.

A format finds fields; what becomes of them is decided once for all formats, in
sanitize/definitions/planning.py. sanitize/definitions/formats/__init__.py says what a format's
folder holds.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from unclone.images.errors import InUseError, RefusedError
from unclone.sanitize.definitions.text.source import Source
from unclone.sanitize.definitions.text.splicing import Edit, splice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from unclone.sanitize.change import Note
    from unclone.sanitize.definitions.associated_files import AssociatedFile
    from unclone.sanitize.definitions.rule import Rule


@dataclass(frozen=True, slots=True)
class Field:
    """One value in the text.

    ``start`` and ``end`` are offsets in characters of the source's text: what is replaced.
    ``spell`` turns a new value into the text that goes there: quoted and escaped as the source
    did it; it raises RefusedError for a value that cannot be said there. The value itself is
    already spelled like ``value`` (upper case, dashes, braces, separators).
    An empty range (``start == end``) with ``value`` "" is a field that will be added.

    ``label`` is what a person calls it in options (``--mac net0=...``, ``--disk vda=...``).
    ``scope`` is "" for the machine itself, else names the saved copy it is in (a snapshot): equal
    MAC addresses in one scope are an error, in two they are the same card.
    ``removal`` is the range that is taken out for Treatment.REMOVE, with its line or separator.
    ``to`` is the new value for Treatment.SET. ``prefix`` is what a new MAC address begins with:
    the hypervisor's own three octets. ``disk`` is the label of the disk that the value is an id
    of: where that disk is not moved, it is still the source's, and so is the value.
    ``team`` is what cards that have one MAC address on purpose have in common.
    """

    rule: Rule
    place: str
    value: str
    start: int
    end: int
    spell: Callable[[str], str]
    label: str = ""
    scope: str = ""
    removal: tuple[int, int] | None = None
    to: str = ""
    prefix: bytes = b""
    disk: str = ""
    team: str = ""


class Disk(NamedTuple):
    """A disk of the machine. ``format`` as QEMU calls it, "" when the definition does not say."""

    label: str  # what a person calls it: vda, scsi0:0
    path: str  # as the definition says it
    format: str = ""
    removable: bool = False  # a CD or floppy: shared between machines
    read_only: bool = False


class Card(NamedTuple):
    """A network card of the machine. ``mac`` is "" where the hypervisor chooses the address."""

    label: str  # what a person calls it: net0, ethernet1
    mac: str  # as the definition spells it


class Leaf(NamedTuple):
    """A value in the text, whether a rule knows it or not; ``path`` as the rules write places."""

    path: str
    value: str
    start: int
    end: int


class Active(NamedTuple):
    """Why the machine is not off. A running one can be tried again later, a saved one cannot."""

    reason: str  # "it is running", "golden.vmss beside it holds its saved state"
    running: bool


class Moved(NamedTuple):
    """How devices move to virtio: edits of the text, and what to call the disks afterwards."""

    edits: tuple[Edit, ...]
    notes: tuple[Note, ...]
    labels: Mapping[str, str]  # of every disk that moves: sda is now vda


@dataclass(frozen=True)
class Definition:
    """A definition that was read. Subclasses override the methods that differ in their format."""

    format: Format
    source: Source
    name: str  # the machine's name; "" when the format has none
    fields: tuple[Field, ...]
    disks: tuple[Disk, ...] = ()
    active: Active | None = None
    notes: tuple[Note, ...] = ()  # what a person should know whatever is done
    cards: tuple[Card, ...] = ()  # its own, in their order; not those of snapshots

    def leaves(self) -> Iterable[Leaf]:
        """Every value in the text; none where a format's rules see all of it."""
        return ()

    def associated_files(
        self,
        plan: DefinitionPlan,  # noqa: ARG002 (for formats that have some)
        output: Path,  # noqa: ARG002
    ) -> Sequence[AssociatedFile]:
        """Other files that the new machine needs: copied, or given an id that agrees.

        *output* is the file of the new definition, which relative paths in it start from.
        """
        return ()

    def write(self, edits: Sequence[Edit], output: BinaryIO) -> None:
        """Write the definition with *edits* made, and nothing else touched."""
        output.write(self.source.encoded(splice(self.source.text, edits)))

    def reread(self, plan: DefinitionPlan) -> Definition:
        """What the result says, read before it is written. Raises RefusedError if it cannot be."""
        output = io.BytesIO()
        self.write(plan.edits, output)
        return self.format.read(Source(self.source.path, output.getvalue()))

    def require_off(self) -> None:
        """Raise InUseError where the machine runs, RefusedError where its state is saved."""
        if self.active is None:
            return
        message = f"{self.source.shown} is not the definition of a machine that is off: "
        if self.active.running:
            raise InUseError(message + self.active.reason, hint="Shut the machine down first.")
        raise RefusedError(
            message + self.active.reason,
            hint="Start it and shut it down, or discard its saved state, then try again.",
        )

    def seed_drive(self, path: str) -> Sequence[Edit]:  # noqa: ARG002 (for formats that can)
        """What gives the machine a drive with the seed at *path*.

        Nothing where the format has no way, or no place that leaves every device where it is.
        """
        return ()

    def virtio(self) -> Moved:
        """What moves disks, network and balloon to virtio. Raises RefusedError when it cannot."""
        raise RefusedError(
            f"{self.source.shown}: {self.format.title} cannot move to virtio",
            hint="--virtio is for libvirt domains and QEMU command lines.",
        )


class PlannedField(NamedTuple):
    """One field, decided. ``new`` is None where the field is taken out, ``old`` where it stays."""

    field: Field
    new: str | None

    @property
    def changed(self) -> bool:
        """Whether the text changes."""
        return self.new is None or self.new != self.field.value

    @property
    def edit(self) -> Edit:
        """The change as text."""
        if self.new is None:
            start, end = self.field.removal or (self.field.start, self.field.end)
            return Edit(start, end, "")
        return Edit(self.field.start, self.field.end, self.field.spell(self.new))


@dataclass(frozen=True, slots=True)
class DefinitionPlan:
    """Everything that is done to one definition."""

    definition: Definition
    fields: tuple[PlannedField, ...]  # in the order of the text, those that stay included
    notes: tuple[Note, ...]

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The changes to the text."""
        return tuple(planned.edit for planned in self.fields if planned.changed)

    def new_value(self, rule: str) -> str:
        """The first new value of *rule* in the machine itself; "" when it has none."""
        return next(
            (
                planned.new or ""
                for planned in self.fields
                if planned.field.rule.id == rule and not planned.field.scope
            ),
            "",
        )


@dataclass(frozen=True, slots=True)
class Format:
    """A format, as its folder describes it in ``FORMAT``: light enough to load for detection alone.

    ``detects`` gets the first 64 KiB of the file and says whether it looks like this format, by
    content alone; at most one format may say yes. The rest of *package* is loaded when needed:
    ``rules.RULES``, and ``reader.read(source)``, which raises RefusedError for text that is
    malformed, with file, line and column.
    """

    id: str  # as in --format and --json: "libvirt"
    title: str  # as shown to people: "libvirt domain XML"
    detects: Callable[[bytes], bool]
    package: str  # the dotted name of the format's folder

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Every rule of the format."""
        found: tuple[Rule, ...] = import_module(f"{self.package}.rules").RULES
        return found

    def read(self, source: Source) -> Definition:
        """The definition in *source*."""
        found: Definition = import_module(f"{self.package}.reader").read(source)
        return found
