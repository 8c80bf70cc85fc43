"""rpm's database of installed packages, in its three formats: the files of each, with digests.

SQLite (since rpm 4.16), NDB (SUSE), and the hash tables of Berkeley DB (RHEL 8, Amazon Linux 2 and
older). In all of them a package is its header, as :func:`_files` reads it.

References: rpm 4.18 ``lib/header.c``, ``include/rpm/rpmtag.h``, ``lib/backend/bdb_ro.cc``,
``lib/backend/ndb/rpmpkg.c``; Berkeley DB 5.3 ``src/dbinc/db_page.h``;
https://www.sqlite.org/fileformat2.html#file_format_version_numbers.
"""

from __future__ import annotations

import sqlite3
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from unclone.images.guest import Guest

#: Bytes of a database. Larger ones are not read.
_LIMIT = 256 * 1024 * 1024
#: Bytes of a path (PATH_MAX).
_PATH_LIMIT = 4096
#: Of Fedora and SUSE now; where all had it, and RHEL has it; of images that rpm-ostree made.
_FOLDERS = ("/usr/lib/sysimage/rpm", "/var/lib/rpm", "/usr/share/rpm")

#: Of headers: names of folders, of files, numbers of folders, digests.
_DIRNAMES, _BASENAMES, _DIRINDEXES, _FILEDIGESTS = 1118, 1117, 1116, 1035

# Berkeley DB: of the first page, then of every page; types of pages and of items.
_HASH_MAGIC, _ENCRYPTED = 0x061561, 24
_PAGE_HEADER, _OVERFLOW, _HASH_PAGES = 26, 7, (2, 13)
_ON_PAGE, _OFF_PAGE = 1, 3

# NDB: a slot of 16 bytes says which blocks of 16 bytes have a package.
_NDB_MAGIC, _NDB_PAGE, _NDB_BLOCK, _NDB_HEADER = b"RpmP", 4096, 16, 32
_SLOT_MAGIC, _BLOB_MAGIC = b"Slot", b"BlbS"


def packaged_files(guest: Guest) -> Iterator[tuple[bytes, str]]:
    """The path of each file of a package, and the digest that it should have; "" for no file.

    Raises OSError, ValueError, IndexError, sqlite3.Error or struct.error for a damaged database.
    """
    for name, headers in _FORMATS.items():
        for folder in _FOLDERS:
            if guest.is_file(f"{folder}/{name}"):
                for header in headers(guest.read(f"{folder}/{name}", _LIMIT)):
                    yield from _files(header)
                return


def _files(header: bytes) -> Iterator[tuple[bytes, str]]:
    """The files of one package: an index of tags, and the data that it points into."""
    entries, size = struct.unpack_from(">II", header)
    data = header[8 + 16 * entries :][:size]
    tags = {
        tag: (offset, count)
        for tag, _, offset, count in struct.iter_unpack(">IIiI", header[8 : 8 + 16 * entries])
    }

    def strings(tag: int) -> list[bytes]:
        offset, count = tags.get(tag, (0, 0))
        return data[offset:].split(b"\0", count)[:count]

    offset, count = tags.get(_DIRINDEXES, (0, 0))
    folders, numbers = strings(_DIRNAMES), struct.unpack_from(f">{count}I", data, offset)
    files = zip(strings(_BASENAMES), numbers, strings(_FILEDIGESTS), strict=False)
    for name, number, digest in files:
        if len(folders[number]) + len(name) <= _PATH_LIMIT:
            yield folders[number] + name, digest.decode("ascii")


def _sqlite(content: bytes) -> Iterator[bytes]:
    database = sqlite3.connect(":memory:")
    try:
        # rpm has it in the mode that keeps a second file, which a database in memory cannot have.
        database.deserialize(content[:18] + b"\1\1" + content[20:])
        for (blob,) in database.execute("SELECT blob FROM Packages"):
            yield blob
    finally:
        database.close()


def _ndb(content: bytes) -> Iterator[bytes]:
    magic, _, _, pages = struct.unpack_from("<4s3I", content)
    if magic != _NDB_MAGIC:
        raise ValueError("no NDB database")
    budget = len(content)  # packages do not share blocks
    slots = content[_NDB_HEADER : pages * _NDB_PAGE]
    for slot, package, block, _ in struct.iter_unpack("<4s3I", slots[: len(slots) // 16 * 16]):
        if slot != _SLOT_MAGIC:
            raise ValueError("a damaged NDB database")
        if not package or not block:  # a free one
            continue
        start = block * _NDB_BLOCK
        begin, of, _, length = struct.unpack_from("<4s3I", content, start)
        budget -= length
        if begin != _BLOB_MAGIC or of != package or budget < 0:
            raise ValueError("a damaged NDB database")
        yield content[start + 16 : start + 16 + length]


def _berkeley(content: bytes) -> Iterator[bytes]:
    order = "<" if struct.unpack_from("<I", content, 12)[0] == _HASH_MAGIC else ">"
    magic, _, size = struct.unpack_from(f"{order}III", content, 12)
    if magic != _HASH_MAGIC or content[_ENCRYPTED] or not 512 <= size <= 65536:
        raise ValueError("no hash table of Berkeley DB, or an encrypted one")
    budget = len(content)  # items do not share pages
    for start in range(size, len(content) - size + 1, size):
        page = content[start : start + size]
        if page[25] not in _HASH_PAGES:
            continue
        (entries,) = struct.unpack_from(f"{order}H", page, 20)
        places = struct.unpack_from(f"{order}{entries}H", page, _PAGE_HEADER)
        for number in range(1, entries, 2):  # a key, its value, a key ...
            place, end = places[number], places[number - 1]
            length = end - place
            if page[place] == _OFF_PAGE:
                first, length = struct.unpack_from(f"{order}II", page, place + 4)
            budget -= length
            if budget < 0 or length < 0:
                raise ValueError("a damaged hash table")
            if page[place] == _OFF_PAGE:
                yield _overflow(content, order, size, first, length)
            # That of key 0 is the last number given, of four bytes.
            elif page[place] == _ON_PAGE and length > 1 + 8:
                yield page[place + 1 : end]


def _overflow(content: bytes, order: str, size: int, page: int, length: int) -> bytes:
    """An item of *length* bytes on the chain of pages that begins with *page*."""
    found: list[bytes] = []
    left = length
    while left > 0:
        start = page * size
        item = start + _PAGE_HEADER
        page, _, used = struct.unpack_from(f"{order}IHH", content, start + 16)
        if content[start + 25] != _OVERFLOW or not 0 < used <= size - _PAGE_HEADER:
            raise ValueError("a damaged chain of pages")
        found.append(content[item : item + min(used, left)])
        left -= used
    return b"".join(found)


#: In rpm's own order where there are several.
_FORMATS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "rpmdb.sqlite": _sqlite,
    "Packages.db": _ndb,
    "Packages": _berkeley,
}
