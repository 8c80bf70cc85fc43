"""What packages brought: the digests of their files, from the databases of the package managers.

A file that is as its package had it is the same on every machine, whatever is in it.

References: dpkg(1), deb-md5sums(5), dpkg's status file (``Conffiles``); apk-installed(5)
(``Z:``); pacman's local database, mtree(5); :mod:`.rpm_database`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import sqlite3
import struct
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

from unclone.sanitize.audit import rpm_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.images.guest import Guest

#: Bytes of a database, and of a file in one. Larger ones are not read.
_DATABASE_LIMIT, _FILE_LIMIT = 256 * 1024 * 1024, 4 * 1024 * 1024
_DPKG, _APK, _PACMAN = "/var/lib/dpkg", "/lib/apk/db/installed", "/var/lib/pacman/local"

_DIGESTS = {32: "md5", 40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}
#: Most files are below /usr, which is not looked into.
_MD5SUMS = re.compile(rb"(?m)^([0-9a-f]{32})  ((?!usr/).+)$")
_CONFFILE = re.compile(rb"(?m)^ (/\S+) ([0-9a-f]{32})\b")
_MTREE = re.compile(rb"(?m)^\./(\S+) .*?(?:sha256digest|md5digest)=([0-9a-f]{32,64})\b")


class Packages:
    """The files of packages below some folders, each with the digest that it should have."""

    def __init__(self, guest: Guest, tops: tuple[str, ...]) -> None:
        self._tops = tuple(f"{top}/" for top in tops)
        self._digests: dict[str, str] = {}
        for read in (_dpkg, _rpm, _apk, _pacman):
            # A database that is damaged says nothing; what it would have told is then unknown.
            with suppress(OSError, ValueError, IndexError, sqlite3.Error, struct.error, zlib.error):
                for path, digest in read(guest):
                    if path.startswith(self._tops):
                        self._digests[path] = digest

    def __bool__(self) -> bool:
        """Whether any database was found."""
        return bool(self._digests)

    def brought(self, path: str, content: bytes) -> bool:
        """Whether the file at *path* is, with this *content*, a package's."""
        wanted = self._digests.get(path, "")
        kind = _DIGESTS.get(len(wanted))
        return (
            kind is not None
            and hashlib.new(kind, content, usedforsecurity=False).hexdigest() == wanted
        )


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _dpkg(guest: Guest) -> Iterator[tuple[str, str]]:
    for member in guest.walk(f"{_DPKG}/info", limit=_FILE_LIMIT):
        if member.path.endswith(".md5sums") and member.content:
            for digest, path in _MD5SUMS.findall(member.content):
                yield f"/{_text(path)}", digest.decode()
    if guest.is_file(f"{_DPKG}/status"):
        for path, digest in _CONFFILE.findall(guest.read(f"{_DPKG}/status", _DATABASE_LIMIT)):
            yield _text(path), digest.decode()


def _apk(guest: Guest) -> Iterator[tuple[str, str]]:
    folder = name = ""
    if not guest.is_file(_APK):
        return
    for line in guest.read_text(_APK, _DATABASE_LIMIT).splitlines():
        if line.startswith("F:"):
            folder = line[2:]
        elif line.startswith("R:"):
            name = line[2:]
        elif line.startswith("Z:Q1"):
            with suppress(binascii.Error):
                yield f"/{folder}/{name}", base64.b64decode(line[4:]).hex()


def _pacman(guest: Guest) -> Iterator[tuple[str, str]]:
    for path in guest.glob(f"{_PACMAN}/*/mtree"):
        unpacked = zlib.decompressobj(zlib.MAX_WBITS | 16)
        text = unpacked.decompress(guest.read(path, _FILE_LIMIT), 8 * _FILE_LIMIT)
        for name, digest in _MTREE.findall(text):
            escaped = re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8) & 255]), name)
            yield f"/{_text(escaped)}", digest.decode()


def _rpm(guest: Guest) -> Iterator[tuple[str, str]]:
    for path, digest in rpm_database.packaged_files(guest):
        yield _text(path), digest
