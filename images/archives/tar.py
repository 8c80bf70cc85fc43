"""Tar archives with a machine in them: read by member, copied by block.

Only what DSP0243 allows is accepted: regular files, without folders, in POSIX format; a Vagrant
box may have folders, too. Python's own
tar reader would read whatever size a header says into memory, and follow names anywhere.

References: DMTF DSP0243 2.1.1, 5.3; POSIX.1-2017 pax, "ustar Interchange Format", "pax Extended
Header"; GNU tar manual, "Basic Tar Format" (numbers in base 256).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from unclone.images.errors import RefusedError
from unclone.images.text import printable, shown

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = 512
#: POSIX.1-1988 (ustar) and later: what a tar header has at this byte.
MAGIC_AT, MAGIC = 257, b"ustar"
#: Members; more than any machine has disks.
MEMBER_LIMIT = 1000
_EXTENDED_LIMIT = 2**16  # of one extended header, in bytes

_NAME, _SIZE, _CHECKSUM, _TYPE, _PREFIX = (
    slice(0, 100),
    slice(124, 136),
    slice(148, 156),
    156,
    slice(345, 500),
)
_REGULAR = (b"0", b"\0")
_EXTENDED = b"x"
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"5": "a folder",
    b"6": "a pipe",
}
_RECORD = re.compile(rb"(\d{1,6}) ([^=\n]+)=")


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the archive, and the places of its parts in bytes.

    From ``start``: extended headers, if any; from ``header``: its block; from ``data``: its bytes;
    before ``end``: the zeros that fill its last block.
    """

    name: str
    start: int
    header: int
    data: int
    size: int
    is_folder: bool = False

    @property
    def end(self) -> int:
        return self.data + -(-self.size // BLOCK) * BLOCK


def read_ova(path: Path) -> tuple[Member, ...]:
    """The members of the OVA at *path*. Raises RefusedError for what an OVA must not have."""
    members = read_archive(path, path)
    if not members or not members[0].name.lower().endswith(".ovf"):
        raise RefusedError(
            f"{shown(path)}: its first member is not an OVF descriptor",
            hint="Put the .ovf first: importers look only there.",
        )
    return members


def read_archive(file_path: Path, path: Path, *, folder: bool = False) -> tuple[Member, ...]:
    """The members of the archive in *file_path*, which messages call *path*.

    With *folder*, folders in it are accepted, and files in them, as a Vagrant box has them.
    Raises RefusedError for everything but such files, and names that lead out of the archive.
    """
    length = file_path.stat().st_size
    members: list[Member] = []
    names: set[str] = set()
    with file_path.open("rb") as file:
        at = 0
        while (member := _next(file, at, length, path, folder=folder)) is not None:
            members.append(member)
            at = member.end
            if len(members) > MEMBER_LIMIT:
                raise RefusedError(
                    f"{shown(path)} has more than {MEMBER_LIMIT} members",
                    hint="No machine has so many.",
                )
            if member.name in names:
                raise RefusedError(
                    f"{shown(path)} has two members called {printable(member.name, 200)}",
                    hint="Export it again.",
                )
            names.add(member.name)
    return tuple(members)


def header_with_size(header: bytes, size: int) -> bytes:
    """The block *header* for a member of *size* bytes."""
    new = bytearray(header)
    octal = b"%011o\0" % size
    new[_SIZE] = octal if len(octal) == 12 else b"\x80" + size.to_bytes(11, "big")
    new[_CHECKSUM] = b"%06o\0 " % _checksum(bytes(new))
    return bytes(new)


def padding(size: int) -> bytes:
    """The zeros behind *size* bytes."""
    return bytes(-size % BLOCK)


def _next(file: BinaryIO, start: int, length: int, path: Path, *, folder: bool) -> Member | None:
    """The member at byte *start*; None at the end of the archive."""
    at = start
    said: dict[bytes, bytes] = {}
    while True:
        block = _block(file, at, length, path)
        if not any(block):
            if at != start:
                raise _damaged(path, at)
            return None
        kind, size = bytes(block[_TYPE : _TYPE + 1]), _number(block[_SIZE], path, at)
        data = at + BLOCK
        if kind != _EXTENDED:
            break
        if size > _EXTENDED_LIMIT or data + size > length or said:
            raise _damaged(path, at)
        file.seek(data)
        said = _records(file.read(size))
        at = data + -(-size // BLOCK) * BLOCK
    if b"size" in said:
        size = _number(said[b"size"], path, at, base=10)
    if any(key.startswith(b"GNU.sparse") for key in said):
        raise RefusedError(
            f"{shown(path)}: member {printable(_name(block, said), 200)} is a sparse file",
            hint="Make the archive again without --sparse.",
        )
    if folder and kind == b"5" and not size and _is_inside(_name(block, said)):
        return Member(_name(block, said).rstrip("/") or ".", start, at, data, 0, is_folder=True)
    if kind not in _REGULAR:
        what = _KINDS.get(kind, f"an entry of kind {printable(kind.decode('latin-1'))}")
        raise RefusedError(
            f"{shown(path)}: member {printable(_name(block, said), 200)} is {what}",
            hint="An archive with a machine holds files only. Make it again, or do not trust it.",
        )
    name = _name(block, said)
    beside = name not in ("", ".", "..") and "/" not in name and "\\" not in name
    if "\0" in name or not (beside or (folder and name and _is_inside(name))):
        raise RefusedError(
            f"{shown(path)}: member '{printable(name, 200)}' is in another folder",
            hint="An archive with a machine has no folders. Make it again, or do not trust it.",
        )
    if data + size > length:
        raise RefusedError(
            f"{shown(path)} ends within {printable(name, 200)}", hint="Is it copied completely?"
        )
    return Member(name, start, at, data, size)


def _is_inside(name: str) -> bool:
    """Whether *name* is one of the archive's own folder or below it."""
    parts = name.rstrip("/").split("/")
    return name in ("", ".") or ("\\" not in name and not {"", ".", ".."} & set(parts))


def _block(file: BinaryIO, at: int, length: int, path: Path) -> bytes:
    if at + BLOCK > length:
        raise RefusedError(
            f"{shown(path)} ends before the archive does", hint="Is it copied completely?"
        )
    file.seek(at)
    block = file.read(BLOCK)
    if any(block):
        sums = _number(block[_CHECKSUM], path, at)
        if not block[MAGIC_AT:].startswith(MAGIC) or sums != _checksum(block):
            raise _damaged(path, at)
    return block


def _checksum(block: bytes) -> int:
    """The sum of all bytes, its own field counted as blanks."""
    return sum(block) - sum(block[_CHECKSUM]) + 8 * ord(" ")


def _number(field: bytes, path: Path, at: int, base: int = 8) -> int:
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not re.fullmatch(rb"[0-7]{1,12}" if base == 8 else rb"[0-9]{1,19}", digits):
        raise _damaged(path, at)
    return int(digits, base)


def _name(block: bytes, said: dict[bytes, bytes]) -> str:
    name = said.get(b"path")
    if name is None:
        prefix = (
            block[_PREFIX].split(b"\0")[0] if block[MAGIC_AT + 5 : MAGIC_AT + 6] == b"\0" else b""
        )
        name = block[_NAME].split(b"\0")[0]
        name = prefix + b"/" + name if prefix else name
    return name.decode("utf-8", "surrogateescape").removeprefix("./")


def _records(content: bytes) -> dict[bytes, bytes]:
    """``LENGTH KEY=VALUE`` records; what is malformed ends them."""
    found: dict[bytes, bytes] = {}
    at = 0
    while match := _RECORD.match(content, at):
        end = at + int(match[1])
        if end <= match.end() or end > len(content):
            break
        found[match[2]] = content[match.end() : end - 1]
        at = end
    return found


def _damaged(path: Path, at: int) -> RefusedError:
    return RefusedError(
        f"{shown(path)} is not a sound tar archive at byte {at}", hint="Is it copied completely?"
    )


def extended_without_size(extended: bytes) -> bytes:
    """The extended header *extended* (its block and its records) without the size of a file."""
    if b" size=" not in extended:
        return extended
    kept = b"".join(
        _record(key, value) for key, value in _records(extended[BLOCK:]).items() if key != b"size"
    )
    return (
        header_with_size(extended[:BLOCK], len(kept)) + kept + padding(len(kept)) if kept else b""
    )


def _record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d" % length + rest
