"""Identities that no rule knows: found, ranked, and told from what packages bring."""

from __future__ import annotations

import hashlib
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.guests.trixie import base as trixie
from tests.support import debian_root
from tests.support.initrds import archive, compress
from tests.support.planted import planted
from tests.support.tree import guest_at, plant
from unclone.sanitize.audit.known import known
from unclone.sanitize.audit.unknown import TOPS, unknown
from unclone.sanitize.audit.values import Found
from unclone.sanitize.boot.compression import Compression
from unclone.sanitize.catalogue import load

if TYPE_CHECKING:
    from pathlib import Path

ID = "3f1c2f4e-8a67-4b0d-9d55-2f6f0c1b7a10"


def found(folder: Path, *known_values: Found) -> list[Found]:
    return list(unknown(guest_at(folder), known_values))


@pytest.mark.parametrize("path", planted(1))
def test_each_planted_identity_is_found(tmp_path: Path, path: str) -> None:
    values: list[set[str]] = []
    for seed in (1, 1, 2):
        folder = tmp_path / str(len(values))
        plant(folder, {path: planted(seed)[path]})
        values.append({each.value for each in found(folder)})
    first, same, other = values
    assert first
    assert first == same
    assert not first & other


def test_no_secret_is_shown(tmp_path: Path) -> None:
    """A digest stands for everything but a MAC address, and for the same wherever it is."""
    plant(tmp_path, {**planted(1), "/etc/a/token": ID, "/opt/c": f"node {ID}\n"})
    values = [each.value for each in found(tmp_path) if each.kind != "mac"]
    assert len(values) == len(set(values)) == len(planted(1)) + 1
    assert all(re.fullmatch("sha256:[0-9a-f]{32}", value) for value in values)


def test_what_a_rule_knows_is_not_told_again(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/x.conf": f"uuid={ID}\n", "/opt/y": f"id {ID.replace('-', '')}\n"})
    assert {each.place for each in found(tmp_path)} == {"/etc/x.conf", "/opt/y"}
    assert found(tmp_path, Found("machine-id", ID.replace("-", ""), "/etc/machine-id")) == []


@pytest.mark.parametrize(
    "content",
    [
        "deb http://deb.debian.org/debian bookworm main\n",
        "VERSION_ID=20240101\nURL=https://example.org/usr/lib/x86_64-linux-gnu/libc.so.6\n",
        "00000000-0000-0000-0000-000000000000\nff:ff:ff:ff:ff:ff\n",
        "kernel-parameters-for-the-installed-system=quiet splash\nid=multi-user\n",
        "sha256-rsa2048-aes128-cbc,chacha20-poly1305@openssh.com\n",
    ],
)
def test_what_is_no_identity_is_not_told(tmp_path: Path, content: str) -> None:
    plant(tmp_path, {"/etc/some.conf": content})
    assert found(tmp_path) == []


def test_names_of_files_and_links_are_looked_at(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            f"/var/lib/agent/{ID}/state": "ok",
            "/opt/agent/current": "-> 0f3b9a5c7d2e4f6081a3b5c7d9e1f304",
        },
    )
    assert {(each.kind, each.place) for each in found(tmp_path)} == {
        ("uuid", f"/var/lib/agent/{ID}"),
        ("hexadecimal", "/opt/agent/current"),
    }


def test_a_list_of_checksums_ranks_low(tmp_path: Path) -> None:
    lines = (hashlib.sha256(bytes([n])).hexdigest() + f"  file-{n}\n" for n in range(40))
    plant(tmp_path, {"/etc/sums": "".join(lines)})
    assert found(tmp_path) == []


def test_a_file_as_its_package_had_it_holds_none_and_a_changed_one_does(tmp_path: Path) -> None:
    vendor = f"id = {ID}\n"
    md5 = hashlib.md5(vendor.encode(), usedforsecurity=False).hexdigest()
    plant(
        tmp_path,
        {
            "/var/lib/dpkg/status": f"Package: a\nConffiles:\n /etc/a.conf {md5}\nVersion: 1\n",
            "/etc/a.conf": vendor,
            "/etc/b.conf": "node-uuid = 9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d\n",
        },
    )
    assert [each.place for each in found(tmp_path)] == ["/etc/b.conf"]
    changed = vendor + "uuid = 9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6e\n"
    (tmp_path / "etc/a.conf").write_text(changed)
    assert {each.place for each in found(tmp_path)} == {"/etc/a.conf", "/etc/b.conf"}


def test_without_a_database_what_vendors_files_hold_is_left_out(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/a.conf": f"uuid={ID}\n", "/usr/share/a/default": f"uuid={ID}\n"})
    assert found(tmp_path) == []


def test_modules_of_boot_loaders_are_programs(tmp_path: Path) -> None:
    """Their bytes are the same in every machine, wherever a copy of them is."""
    text = f"uuid={ID}\n".encode()
    for name, kind in (("module.mod", 1), ("program", 2)):
        (tmp_path / "boot").mkdir(exist_ok=True)
        header = b"\x7fELF\2\1\1".ljust(16, b"\0") + kind.to_bytes(2, "little")
        (tmp_path / "boot" / name).write_bytes(header + text)
    assert [each.place for each in found(tmp_path)] == ["/boot/program"]


def test_files_in_an_initrd_are_looked_at_too(tmp_path: Path) -> None:
    initrd, root = tmp_path / "initrd", tmp_path / "root"
    vendor = "id = 9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d\n"
    md5 = hashlib.md5(vendor.encode(), usedforsecurity=False).hexdigest()
    plant(initrd, {"/etc/agent/id": ID, "/etc/a.conf": vendor, "/usr/lib/b.conf": f"uuid={ID}1\n"})
    status = f"Package: a\nConffiles:\n /etc/a.conf {md5}\nVersion: 1\n"
    plant(root, {"/var/lib/dpkg/status": status, "/boot/x": ""})
    (root / "boot/initrd.img").write_bytes(compress(Compression.NONE, archive(initrd)))
    assert [each.place for each in found(root)] == ["/boot/initrd.img: etc/agent/id"]


@pytest.mark.slow
@pytest.mark.guest
def test_two_installations_of_debian_and_twenty_identities(tmp_path: Path) -> None:
    """Installed separately from the same packages: fewer than ten false ones, and none before."""
    trees = []
    for name, tarball in (("a", debian_root.cached()), ("b", trixie.cached().tarball)):
        folder = tmp_path / name
        folder.mkdir()
        tops = [f".{top}" for top in TOPS]
        subprocess.run(["tar", "-xf", tarball, "-C", folder, "--no-same-owner", *tops], check=True)
        plant(folder, planted(1))
        guest = guest_at(folder)
        trees.append(list(unknown(guest, list(known(guest, load())))))
    first, second = trees
    other = {(each.kind, each.value) for each in second}
    shared = [each.place for each in first if (each.kind, each.value) in other]
    wanted_places = list(planted(1))
    false = [place for place in shared if place not in wanted_places]
    assert set(wanted_places) <= set(shared)
    assert len(false) < 10
    assert set(shared[:10]) <= set(wanted_places)
