"""Files of packages, told by the databases of four package managers."""

from __future__ import annotations

import base64
import gzip
import hashlib
import random
import sqlite3
import struct
import tempfile
import zlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.tree import guest_at, plant
from unclone.sanitize.audit.packages import Packages

if TYPE_CHECKING:
    from collections.abc import Callable

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
    """As rpm leaves it: with a write-ahead log, which is empty."""
    with tempfile.TemporaryDirectory() as folder:
        database = sqlite3.connect(f"{folder}/rpmdb.sqlite")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
        database.execute("INSERT INTO Packages VALUES (1, ?)", (rpm_header(path, checksum),))
        database.commit()
        database.close()
        return Path(folder, "rpmdb.sqlite").read_bytes()


def rpm_ndb(path: str, checksum: str) -> bytes:
    """SUSE's: a page of slots, the first of which says in which blocks of 16 bytes a package is."""
    blob = rpm_header(path, checksum)
    slots = struct.pack("<4s7I", b"RpmP", 0, 1, 1, 2, 0, 0, 0)
    slots += struct.pack("<4s3I", b"Slot", 1, 4096 // 16, len(blob) // 16 + 2)
    slots += struct.pack("<4s3I", b"Slot", 0, 0, 0) * ((4096 - len(slots)) // 16)
    tail = struct.pack("<II4s", zlib.adler32(blob), len(blob), b"BlbE")
    return slots + struct.pack("<4s3I", b"BlbS", 1, 1, len(blob)) + blob + tail


def berkeley(order: str) -> bytes:
    """A package of rpmbuild 4.18 that has ``/etc/tool/agent.conf``, in a hash table of ``db_load``.

    With pages of 512 bytes. ``rpm --define '_db_backend bdb_ro' -qal`` lists its files.
    """
    return (Path(__file__).parent / "rpm" / f"Packages.{order}").read_bytes()


DATABASES: dict[str, dict[str, str | bytes]] = {
    "dpkg-conffile": {"/var/lib/dpkg/status": f"Conffiles:\n {FILE} {digest('md5')}\n"},
    "dpkg-md5sums": {"/var/lib/dpkg/info/a.md5sums": f"{digest('md5')}  {FILE[1:]}\n"},
    "rpm": {"/usr/lib/sysimage/rpm/rpmdb.sqlite": rpm_database(FILE, digest("sha256"))},
    "rpm-old-place": {"/var/lib/rpm/rpmdb.sqlite": rpm_database(FILE, digest("sha256"))},
    "rpm-ostree": {"/usr/share/rpm/rpmdb.sqlite": rpm_database(FILE, digest("sha256"))},
    "rpm-ndb": {"/usr/lib/sysimage/rpm/Packages.db": rpm_ndb(FILE, digest("sha256"))},
    "rpm-ndb-old-place": {"/var/lib/rpm/Packages.db": rpm_ndb(FILE, digest("md5"))},
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


@pytest.mark.parametrize("order", ["le", "be"])
def test_rpms_berkeley_db_is_read_in_both_byte_orders(tmp_path: Path, order: str) -> None:
    plant(tmp_path, {"/var/lib/rpm/Packages": berkeley(order)})
    packages = Packages(guest_at(tmp_path), ("/etc", "/usr"))
    assert packages.brought("/etc/tool/agent.conf", CONTENT)
    assert packages.brought("/usr/share/tool/file-3", b"3\n")
    assert not packages.brought("/etc/tool/agent.conf", CONTENT + b"x")
    assert not packages.brought("/etc/tool/link.conf", CONTENT)


@pytest.mark.parametrize("make", [partial(berkeley, "le"), partial(rpm_ndb, FILE, digest("md5"))])
def test_no_damage_to_an_rpm_database_stops_an_audit(
    tmp_path: Path, make: Callable[[], bytes]
) -> None:
    content = make()
    name = "Packages" if content[12:16] == b"\x61\x15\x06\x00" else "Packages.db"
    drawn = random.Random(1)
    for number in range(30):
        damaged = bytearray(content[: drawn.randrange(len(content)) if number % 3 else None])
        for _ in range(min(40, len(damaged))):
            damaged[drawn.randrange(len(damaged))] = drawn.choice((0, 1, 3, 255))
        plant(tmp_path / str(number), {f"/var/lib/rpm/{name}": bytes(damaged)})
        guest = guest_at(tmp_path / str(number))
        assert not Packages(guest, ("/etc",)).brought(FILE, b"another content")


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
