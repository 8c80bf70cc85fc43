"""What other definitions have already: the MAC addresses and UUIDs in files of any format.

Nothing here knows a format. Whatever looks like a MAC address or a UUID, in any spelling, is
avoided; too many do no harm, because there are far more values than are needed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.errors import UsageError
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

#: Bytes read of one file. A definition has kilobytes; what goes on for longer is named.
TEXT_LIMIT = 16 * 1024 * 1024
#: Bytes read of a binary file: an OVA begins with its definition, a disk image has none.
BINARY_LIMIT = 1024 * 1024

_CHUNK = 256 * 1024
#: Longer than any spelling: what a chunk's end cuts in two is seen whole with the next chunk.
_OVERLAP = 64

_HEX = rb"[0-9A-Fa-f]"
_MACS = re.compile(
    rb"(?<![0-9A-Za-z])(?<!%(h)s-)(?:enx)?(%(h)s{1,2}(?::%(h)s{1,2}){5}|%(h)s{2}(?:-%(h)s{2}){5}"
    rb"|%(h)s{4}(?:\.%(h)s{4}){2}|%(h)s{12})(?![0-9A-Za-z])" % {b"h": _HEX}
)
#: The last is VMware's: sixteen pairs with blanks, and a dash in the middle.
_UUIDS = re.compile(
    rb"(?<![0-9A-Za-z])(%(h)s{8}(?:-%(h)s{4}){3}-%(h)s{12}|%(h)s{32}"
    rb"|%(h)s{2}(?: %(h)s{2}){7}-%(h)s{2}(?: %(h)s{2}){7})(?![0-9A-Za-z])" % {b"h": _HEX}
)


class Avoided(NamedTuple):
    """MAC addresses (lower case, colons) and UUIDs (lower case, dashes) that are taken."""

    macs: frozenset[str] = frozenset()
    uuids: frozenset[str] = frozenset()
    files: int = 0
    #: Texts that are so long that only their first :data:`TEXT_LIMIT` bytes were read.
    cut: tuple[Path, ...] = ()

    def has(self, kind: str, value: str) -> bool:
        """Whether *value* of *kind* (mac, uuid, or an instance-id with a UUID) is among them."""
        if kind == "instance-id":
            return value.removeprefix("iid-") in self.uuids
        return value in (self.macs if kind == "mac" else self.uuids if kind == "uuid" else ())


def scan(paths: Sequence[Path], *, skip: Collection[Path] = ()) -> Avoided:
    """Everything in the files and folders *paths*, but for the files *skip*.

    Folders are searched to their depths; symlinked folders in them are not entered. Raises
    :class:`UsageError` for what cannot be read: it could hold an address that is then given twice.
    """
    macs: set[str] = set()
    uuids: set[str] = set()
    cut: list[Path] = []
    count = 0
    skipped = {path.resolve() for path in skip}
    for path in paths:
        for file in _files(path):
            if skipped and file.resolve() in skipped:
                continue
            count += 1
            if _scan_file(file, macs, uuids):
                cut.append(file)
    return Avoided(frozenset(macs), frozenset(uuids), count, tuple(cut))


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        if not path.exists():
            raise _unreadable(path, "No such file or directory")
        yield path
        return

    def fail(error: OSError) -> None:
        raise _unreadable(Path(error.filename or path), error.strerror or str(error))

    for folder, folders, names in os.walk(path, onerror=fail):
        folders.sort()
        yield from (Path(folder, name) for name in sorted(names))


def _scan_file(path: Path, macs: set[str], uuids: set[str]) -> bool:
    """Add what is in one file; whether some of it was not read. Only regular files are."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb", buffering=0) as file:
            if not S_ISREG(os.fstat(handle).st_mode):
                return False
            text = file.read(_CHUNK)
            is_binary = b"\0" in text and not text.startswith((b"\xff\xfe", b"\xfe\xff"))
            left = (BINARY_LIMIT if is_binary else TEXT_LIMIT) - len(text)
            tail = b""
            while text:
                # Without null bytes UTF-16 reads like ASCII, as far as digits go.
                tail += text.replace(b"\0", b"")
                _scan_bytes(tail, macs, uuids)
                tail = tail[-_OVERLAP:]
                text = file.read(min(_CHUNK, left)) if left > 0 else b""
                left -= len(text)
            return left <= 0 and not is_binary and bool(file.read(1))
    except FileNotFoundError:
        return False  # a dangling symlink, or gone in the meantime
    except OSError as error:
        # A symlink's own error names its target; the person knows the link.
        raise _unreadable(path, error.strerror or str(error)) from None


def _scan_bytes(text: bytes, macs: set[str], uuids: set[str]) -> None:
    for match in _MACS.finditer(text):
        found = match.group(1).decode("ascii").lower()
        if ":" in found:
            found = "".join(part.zfill(2) for part in found.split(":"))
        digits = re.sub("[.-]", "", found)
        macs.add(":".join(digits[i : i + 2] for i in range(0, 12, 2)))
    for match in _UUIDS.finditer(text):
        digits = re.sub("[ -]", "", match.group(1).decode("ascii").lower())
        uuids.add("-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])))


def _unreadable(path: Path, message: str) -> UsageError:
    return UsageError(
        f"cannot look for addresses to avoid in {printable(str(path))}: {message}",
        hint="--avoid takes files and folders that you may read, everything in them included.",
    )
