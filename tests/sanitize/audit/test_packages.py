"""Files of packages, told by the databases of four package managers."""

from __future__ import annotations

import base64
import gzip
import hashlib
import sqlite3
import struct
from typing import TYPE_CHECKING

import pytest

from tests.support.tree import guest_at, plant
from unclone.sanitize.audit.packages import Packages

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"id = 3f1c2f4e-8a67-4b0d-9d55-2f6f0c1b7a10\n"
FILE = "/etc/agent/agent.conf"


def digest(kind: str) -> str:
    return hashlib.new(kind, CONTENT, usedforsecurity=False).hexdigest()


def rpm_header(path: str, checksum: str) -> bytes:
    """One package as rpm stores it: an index of 16 bytes for each tag, and their data."""
    folder, _, name = path.rpartition("/")
    values = {
        1116: (4, 2, struct.pack(">2I", 0, 1)),
        1117: (8, 2, name.encode() + b"\0other\0"),
        1118: (8, 2, f"{folder}/".encode() + b"\0/usr/bin/\0"),
        1035: (8, 2, checksum.encode() + b"\0" + b"0" * 64 + b"\0"),
    }
    index = data = b""
    for tag, (kind, count, value) in values.items():
        index += struct.pack(">IIiI", tag, kind, len(data), count)
        data += value
    return struct.pack(">II", len(values), len(data)) + index + data


def rpm_database(path: str, checksum: str) -> bytes:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
    database.execute("INSERT INTO Packages VALUES (1, ?)", (rpm_header(path, checksum),))
    database.commit()
    content = database.serialize()
    database.close()
    return content


DATABASES: dict[str, dict[str, str | bytes]] = {
    "dpkg-conffile": {"/var/lib/dpkg/status": f"Conffiles:\n {FILE} {digest('md5')}\n"},
    "dpkg-md5sums": {"/var/lib/dpkg/info/a.md5sums": f"{digest('md5')}  {FILE[1:]}\n"},
    "rpm": {"/usr/lib/sysimage/rpm/rpmdb.sqlite": rpm_database(FILE, digest("sha256"))},
    "rpm-old-place": {"/var/lib/rpm/rpmdb.sqlite": rpm_database(FILE, digest("sha256"))},
    "apk": {
        "/lib/apk/db/installed": "P:agent\nF:etc/agent\nR:agent.conf\nZ:Q1"
        + base64.b64encode(bytes.fromhex(digest("sha1"))).decode()
        + "\n"
    },
    "pacman": {
        "/var/lib/pacman/local/agent-1-1/mtree": gzip.compress(
            f"#mtree\n.{FILE} time=1.0 size=9 sha256digest={digest('sha256')}\n".encode()
        )
    },
}


@pytest.mark.parametrize("name", DATABASES)
def test_a_file_is_a_packages_while_its_content_is(tmp_path: Path, name: str) -> None:
    plant(tmp_path, DATABASES[name])
    packages = Packages(guest_at(tmp_path), ("/etc",))
    assert packages
    assert packages.brought(FILE, CONTENT)
    assert not packages.brought(FILE, CONTENT + b"x")
    assert not packages.brought("/etc/agent/other.conf", CONTENT)
    assert not Packages(guest_at(tmp_path), ("/opt",))


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"/usr/lib/sysimage/rpm/rpmdb.sqlite": b"SQLite format 3\0" + bytes(500)},
        {"/usr/lib/sysimage/rpm/rpmdb.sqlite": rpm_database(FILE, digest("sha256"))[:-6000]},
        {"/var/lib/pacman/local/a/mtree": b"\x1f\x8bno gzip"},
        {"/lib/apk/db/installed": "F:etc\nR:x\nZ:Q1***\n"},
        {"/var/lib/dpkg/status": "Conffiles:\n /etc/a newconffile\n"},
    ],
)
def test_a_database_that_cannot_be_read_knows_nothing(
    tmp_path: Path, files: dict[str, str | bytes]
) -> None:
    plant(tmp_path, files)
    assert not Packages(guest_at(tmp_path), ("/etc",)).brought(FILE, CONTENT)
