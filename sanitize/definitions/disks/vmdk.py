"""The identifiers in a VMDK's descriptor: a text file of its own, or the text within a sparse file.

CID changes whenever the content does, and a child's parentCID has to be its parent's CID. A copy
with a CID of its own can therefore not be taken for the parent of the source's children;
parentCID stays, because a copy has the same parent as its source.

References: VMware "Virtual Disk Format 5.0" (The Descriptor File; SparseExtentHeader); VirtualBox
src/VBox/Storage/VMDK.cpp for ddb.uuid.image and the other UUIDs. ddb.uuid is what guests see as the
disk's World Wide Name: NAA 6 and VMware's 00:0c:29. longContentID ends in the CID.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from unclone.images.errors import RefusedError, UncloneError
from unclone.images.formats.vmdk import DESCRIPTOR, MAGIC
from unclone.images.text import shown
from unclone.sanitize.definitions.disks.patching import Patch, read_exactly, with_own_ids

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unclone.sanitize.definitions.associated_files import AssociatedFile

_SECTOR = 512
_LIMIT = 2**20  # of a descriptor, in bytes
_EXTENT_LIMIT = 2**10  # of 2 GB each
#: Sparse extent header: after magic, version, flags, capacity and grain size.
_PLACE = struct.Struct("<QQ")
_PLACE_AT = 28

#: QEMU leaves out leading zeros.
_CID = re.compile(rb"^CID[ \t]*=[ \t]*([0-9a-fA-F]{1,8})[ \t]*\r?$", re.MULTILINE)
_SETTING = re.compile(rb'^(ddb\.[\w.]+)[ \t]*=[ \t]*"([^"\r\n]*)"', re.MULTILINE)
_EXTENT = re.compile(rb'^(?:RW|RDONLY)\s+\d+\s+\w+\s+"([^"\r\n]*)"', re.MULTILINE)
_ADDRESS = re.compile(rb"(?:[0-9a-fA-F][ -]?){31}[0-9a-fA-F]")
_NAA_DIGITS = 7  # "6000C29": the kind of name, and VMware
_PARENTLESS = b"ffffffff"  # a CID that would say so is not given


@dataclass(frozen=True, slots=True)
class DiskIds:
    """What new ids are made from, and what VirtualBox's own have to be ("" to leave them)."""

    identity: str
    image: str = ""
    modification: str = ""
    parent: str = ""
    parent_modification: str = ""


def vmdk_with_own_ids(original: Path, copy: Path, ids: DiskIds) -> AssociatedFile:
    """*copy* with new ids of its own. Raises RefusedError when it is no sound VMDK."""

    def patches(file: BinaryIO, path: Path) -> tuple[Patch, ...]:
        offset, text = _descriptor(file, path)
        if offset == 0:  # the name in a sparse file is that of the file itself, and not read
            _require_own_extents(text, original, path)
        return tuple(_patches(text, offset, ids))

    return with_own_ids(
        original,
        copy,
        patches,
        what="CID and ddb.uuid",
        awaited="copy it and run this again with --overwrite, so that its ids become its own",
    )


def _descriptor(file: BinaryIO, path: Path) -> tuple[int, bytes]:
    """Where the descriptor starts, and its bytes."""
    start = read_exactly(file, 0, len(DESCRIPTOR), path)
    if start == DESCRIPTOR:
        file.seek(0)
        text = file.read(_LIMIT + 1)
        if len(text) > _LIMIT:
            raise RefusedError(f"{shown(path)}: its descriptor is too long", hint="Copy it again.")
        return 0, text.split(b"\0", 1)[0]
    if not start.startswith(MAGIC):
        raise RefusedError(f"{shown(path)} is not a VMDK", hint="Name a copy of the disk.")
    place, size = _PLACE.unpack(read_exactly(file, _PLACE_AT, _PLACE.size, path))
    if not place or not 0 < size * _SECTOR <= _LIMIT or place >= 2**40:
        raise RefusedError(
            f"{shown(path)} has no descriptor that can be changed",
            hint="Name the descriptor file, not one of its extents.",
        )
    text = read_exactly(file, place * _SECTOR, size * _SECTOR, path).split(b"\0", 1)[0]
    if not text.startswith(DESCRIPTOR):
        raise RefusedError(f"{shown(path)}: its descriptor is damaged", hint="Copy it again.")
    return place * _SECTOR, text


def _patches(text: bytes, offset: int, ids: DiskIds) -> Iterator[Patch]:
    drawn = hashlib.sha512(f"vmdk\n{ids.identity}".encode()).hexdigest().encode()
    cid, content, name = drawn[:8], drawn[8:32], drawn[32:64]
    if cid in (_PARENTLESS, b"fffffffe"):
        cid = drawn[64:72]
    given = {
        b"ddb.uuid.image": ids.image,
        b"ddb.uuid.modification": ids.modification,
        b"ddb.uuid.parent": ids.parent,
        b"ddb.uuid.parentmodification": ids.parent_modification,
    }
    for found in islice(_CID.finditer(text), 1):
        cid = cid[-len(found[1]) :]
        yield Patch(offset + found.start(1), found[1], _cased(cid, found[1]))
    for found in _SETTING.finditer(text):
        key, old = found[1], found[2]
        new = old
        if key == b"ddb.longContentID" and len(old) == 32:
            new = _cased(content + cid.rjust(8, b"0"), old)
        elif key == b"ddb.uuid" and _ADDRESS.fullmatch(old):
            new = _renamed(old, name)
        elif (value := given.get(key, "").encode()) and len(value) == len(old):
            new = value
        if new != old:
            yield Patch(offset + found.start(2), old, new)


def _renamed(old: bytes, digits: bytes) -> bytes:
    """All but the maker's digits of a name, separators and case kept."""
    places = [i for i, c in enumerate(old) if c not in b" -"][_NAA_DIGITS:]
    new = bytearray(old)
    for place, digit in zip(places, digits, strict=False):
        new[place] = digit
    return _cased(bytes(new), old)


def _cased(new: bytes, like: bytes) -> bytes:
    return new.upper() if like.upper() == like and like.lower() != like else new


def _require_own_extents(text: bytes, original: Path, copy: Path) -> None:
    """A copied descriptor that names the source's extents would have two machines write there."""
    try:
        theirs = [path for path in _extents(_text_of(original), original) if path.exists()]
        mine = [path for path in _extents(text, copy) if path.exists()]
        shared = next((m for m in mine for t in theirs if m.samefile(t)), None)
    except (OSError, ValueError) as error:
        raise UncloneError(
            f"{shown(copy)} names an extent that cannot be looked at",
            hint="Is the disk copied completely?",
        ) from error
    if shared is not None:
        raise RefusedError(
            f"{shown(copy)} is a copy of the descriptor only: its data is still in the source's "
            f"{shown(shared.name)}",
            hint="Copy the whole disk: vmkfstools -i, vmware-vdiskmanager -r, qemu-img convert.",
        )


def _text_of(path: Path) -> bytes:
    """The descriptor file at *path*; b"" when it is none."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        text = file.read(_LIMIT)
    return text if text.startswith(DESCRIPTOR) else b""


def _extents(text: bytes, path: Path) -> list[Path]:
    names = (found[1].decode("utf-8", "surrogateescape") for found in _EXTENT.finditer(text))
    return [path.parent / name for name in islice(names, _EXTENT_LIMIT)]
