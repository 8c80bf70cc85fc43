"""The description of a file system type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.volumes import IdentifierKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from unclone.images.blocks import Blocks, Command


class Signature(NamedTuple):
    """Bytes that identify the type, at byte *offset* of the volume."""

    offset: int
    magic: bytes


class Checker(NamedTuple):
    """The program that checks the unmounted file system; its device is added as last argument.

    ``check`` changes nothing and exits with 0 when the file system is clean. ``repair`` (``check``
    again when empty) replays the journal and makes safe repairs; the file system is clean when it
    exits with one of ``repaired``. With ``mount_first`` only a mount replays the journal.
    """

    check: tuple[str, ...]
    repair: tuple[str, ...] = ()
    repaired: tuple[int, ...] = (0,)
    mount_first: bool = False


def _nothing(blocks: Blocks) -> str:
    del blocks
    return ""


@dataclass(frozen=True, slots=True)
class FileSystemType:
    """A type that blkid knows: a file system, swap, or a container. Functions take its volume.

    Most types are recognised by one of ``signatures``; others by ``detect``, which returns the name
    or "".
    """

    #: Its names in blkid (``ext2``, ``ext3``, ``ext4``).
    names: tuple[str, ...]
    signatures: tuple[Signature, ...] = ()
    detect: Callable[[Blocks], str] | None = None
    #: The operating system whose root can be on it: "linux", "windows" or "".
    root_of: str = ""
    label: Callable[[Blocks], str] = _nothing

    # -- the identifier --------------------------------------------------------------------
    identifier: IdentifierKind = IdentifierKind.FILE_SYSTEM_UUID
    #: Its value; "" when there is none.
    read: Callable[[Blocks], str] = _nothing
    #: Why it can never be set, or a function that returns that for one volume; "": it can be set.
    unsettable: str | Callable[[Blocks], str] = ""
    #: Writes it to the volume ...
    write: Callable[[Blocks, str], None] | None = None
    #: ... or returns the commands that set it: takes volume, device name and value.
    commands: Callable[[Blocks, str, str], Sequence[Command]] | None = None
    #: Whether ``commands`` need an empty journal, so that it is mounted first.
    commands_need_mount: bool = False
    #: Whether several devices may share the identifier; ``devices`` returns their number if known.
    spans_devices: bool = False
    devices: Callable[[Blocks], int] | None = None

    # -- use -------------------------------------------------------------------------------
    checker: Checker | None = None
    #: The areas, as offset and size in bytes, that ``checker`` and ``commands`` read; they may
    #: overlap. Zeros in place of one that is missing are damage to the checker. None: everything.
    metadata: Callable[[Blocks], Iterable[tuple[int, int]] | None] | None = None
    #: The areas that ``commands`` read, where they are fewer.
    identifier_areas: Callable[[Blocks], Iterable[tuple[int, int]] | None] | None = None
    #: The options for every mount.
    mount_options: tuple[str, ...] = ()
    #: Makes the kernel scan for its devices; with ``--forget`` it removes those it knows.
    device_scan: tuple[str, ...] = ()

    def recognise(self, blocks: Blocks) -> str:
        """The one of ``names`` that is on *blocks*, or ""."""
        if any(blocks.read(at, len(magic)) == magic for at, magic in self.signatures):
            return self.names[0]
        return self.detect(blocks) if self.detect else ""

    def why_unsettable(self, blocks: Blocks) -> str:
        """Why the identifier has to stay; "" when it can be set."""
        if isinstance(self.unsettable, str):
            if self.unsettable or self.write or self.commands:
                return self.unsettable
            return f"there is no way to change the identifier of '{self.names[0]}'"
        return self.unsettable(blocks)
