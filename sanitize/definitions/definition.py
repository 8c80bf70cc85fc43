"""What a format finds in a definition: fields with their places in the text, and nothing changed.

To add a format, copy sanitize/definitions/formats/libvirt.py: a module in that folder with rows
(:class:`Row`), a :class:`Definition` and ``FORMAT``. It finds fields; what becomes of them is
decided once for all formats, in sanitize/definitions/renewal.py.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from unclone.images.errors import RefusedError
from unclone.sanitize.definitions.source import Source
from unclone.sanitize.definitions.splicing import Edit, splice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from unclone.sanitize.change import Note
    from unclone.sanitize.definitions.companion import Companion
    from unclone.sanitize.definitions.renewal import Renewal
    from unclone.sanitize.definitions.row import Row


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
    """

    row: Row
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


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk of the machine. ``format`` as QEMU calls it, "" when the definition does not say."""

    label: str  # what a person calls it: vda, scsi0:0
    path: str  # as the definition says it
    format: str = ""
    removable: bool = False  # a CD or floppy: shared between machines
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Active:
    """Why the machine is not off. A running one can be tried again later, a saved one cannot."""

    words: str  # "it is running", "golden.vmss beside it holds its saved state"
    running: bool


@dataclass(frozen=True, slots=True)
class Moved:
    """How devices move to virtio: edits of the text, and what to call the disks afterwards."""

    edits: tuple[Edit, ...]
    notes: tuple[Note, ...]
    labels: Mapping[str, str]  # of every disk that moves: sda is now vda


@dataclass(frozen=True)
class Definition:
    """A definition that was read. Subclasses override the three methods where they have to."""

    format: Format
    source: Source
    name: str  # the machine's name; "" when the format has none
    fields: tuple[Field, ...]
    disks: tuple[Disk, ...] = ()
    active: Active | None = None
    notes: tuple[Note, ...] = field(default=())  # what a person should know whatever is done

    def companions(
        self,
        renewal: Renewal,  # noqa: ARG002 (for those who have some)
        output: Path,  # noqa: ARG002
    ) -> Sequence[Companion]:
        """Other files that the new machine needs: copied, or given an id that agrees.

        *output* is the file of the new definition, which relative paths in it start from.
        """
        return ()

    def write(self, edits: Sequence[Edit], output: BinaryIO) -> None:
        """Write the definition with *edits* made, and nothing else touched."""
        output.write(self.source.encoded(splice(self.source.text, edits)))

    def reread(self, renewal: Renewal) -> Definition:
        """What the result says, read before it is written. Raises RefusedError if it cannot be."""
        output = io.BytesIO()
        self.write(renewal.edits, output)
        return self.format.read(Source(self.source.path, output.getvalue()))

    def virtio(self) -> Moved:
        """What moves disks, network and balloon to virtio. Raises RefusedError when it cannot."""
        raise RefusedError(
            f"{self.source.shown}: {self.format.title} cannot move to virtio",
            hint="--virtio is for libvirt domains and QEMU command lines.",
        )


@dataclass(frozen=True, slots=True)
class Format:
    """A format, as its module describes it in ``FORMAT``.

    ``detects`` gets the first 64 KiB of the file and says whether it looks like this format, by
    content alone; at most one format may say yes. ``read`` raises RefusedError for text that is
    malformed, with file, line and column.
    """

    id: str  # as in --format and --json: "libvirt"
    title: str  # for people: "libvirt domain XML"
    rows: tuple[Row, ...]
    detects: Callable[[bytes], bool]
    read: Callable[[Source], Definition]
