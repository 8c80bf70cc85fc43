"""What the command prints about a run on a real disk: into a pipe, quietly, and run again."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import unclone
from tests.support.disks import Part, make_disk
from tests.support.families import DEBIAN_12, UUID, Tree

if TYPE_CHECKING:
    from pathlib import Path

GUEST: Tree = {
    **DEBIAN_12,
    "/etc/fstab": f"UUID={UUID} / ext4 defaults 0 1\n",
    "/etc/passwd": "root:x:0:0::/root:/bin/sh\nadmin:x:1000:1000::/home/admin:/bin/sh\n",
    "/etc/shadow": "root:*:1::\nadmin:$y$j9T$secret-hash:1::\n",
    "/etc/network/interfaces": "iface eth0 inet static\n    address 192.0.2.10/24\n",
    "/var/lib/systemd/random-seed": b"x" * 512,
    "/var/lib/systemd/credential.secret": b"x" * 64,
}


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    disk = tmp_path_factory.mktemp("golden") / "golden.raw"
    return make_disk(disk, [Part("ext4", tree=GUEST, uuid=UUID)])


@pytest.fixture
def image(golden: Path, tmp_path: Path) -> Path:
    return shutil.copyfile(golden, tmp_path / "web-01.raw")


def run(*arguments: str | Path) -> str:
    done = unclone(*arguments, "--engine", "direct")
    assert done.returncode == 0, done.stderr
    return done.stdout


def result(*arguments: str | Path) -> dict[str, Any]:
    (entry,) = json.loads(run(*arguments, "--json"))["results"]
    assert isinstance(entry, dict)
    return entry


@pytest.mark.slow
def test_a_summary_names_what_was_done_what_is_kept_and_what_is_off(image: Path) -> None:
    text = run("sanitize", image)
    assert "emptied: the root file system starts read-only" in text
    assert "new; 2 files follow (fstab, grub-cfg)" in text
    assert "removed        journal-folders, random-seed" in text
    kept = " ".join(text.partition("  kept  ")[2].partition("  off by default")[0].split())
    assert kept == (
        "host name template (--hostname NAME changes it); users admin (password); "
        "address 192.0.2.10/24"
    )
    assert "off by default --enable systemd-credential-secret" in text
    assert "changes read back, 1 file system clean" in text
    assert max(map(len, text.splitlines())) <= 80
    assert [line for line in text.splitlines() if line != line.rstrip()] == []


@pytest.mark.slow
def test_the_document_holds_the_inventory_and_no_hash(image: Path) -> None:
    document = run("sanitize", "--json", image)
    assert "secret-hash" not in document
    inventory = json.loads(document)["results"][0]["inventory"]
    assert inventory["users"] == [
        {"name": "root", "uid": 0, "password": "locked"},
        {"name": "admin", "uid": 1000, "password": "set"},
    ]
    assert inventory["host_names"] == [{"value": "template", "paths": ["/etc/hostname"]}]
    assert [each["state"] for each in inventory["machine_ids"]] == ["empty", "absent"]


@pytest.mark.slow
def test_quiet_prints_a_line_for_each_image_and_a_total(image: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.raw"
    other = shutil.copyfile(image, tmp_path / "web-02.raw")
    done = unclone("sanitize", "-q", image, missing, other)
    lines = done.stdout.splitlines()
    assert [line.partition(", ")[0] for line in lines] == [
        f"{image}: done",
        f"{missing}: usage",
        f"{other}: done",
        "3 images: 2 done",
    ]
    assert lines[-1] == "3 images: 2 done, 1 usage"
    assert str(missing) in done.stderr


@pytest.mark.slow
def test_a_second_run_says_so_and_if_needed_leaves_the_image_alone(image: Path) -> None:
    first = result("sanitize", "--if-needed", image)
    assert (first["status"], first["only_renews"]) == ("done", False)
    digest = hashlib.sha256(image.read_bytes()).digest()
    text = run("sanitize", "--if-needed", image)
    text = " ".join(text.split())
    assert "not needed, nothing was changed" in text
    assert "left as it is: a run would only make new device identifiers" in text
    assert run("sanitize", "--if-needed", "-q", image) == f"{image}: unchanged\n"
    left = result("sanitize", "--if-needed", image)
    assert (left["status"], left["only_renews"]) == ("unchanged", True)
    assert hashlib.sha256(image.read_bytes()).digest() == digest
    assert [path.name for path in image.parent.iterdir()] == [image.name]
    text = run("sanitize", image)
    assert "this image looks sanitised already" in " ".join(text.split())
    assert hashlib.sha256(image.read_bytes()).digest() != digest


@pytest.mark.slow
def test_an_inspection_begins_with_identities_and_has_a_plan_when_asked(image: Path) -> None:
    text = run("inspect", image)
    assert text.index("host name") < text.index("machine-id") < text.index("file systems")
    assert "--plan shows them" in text
    assert "random-seed" not in text
    assert "/var/lib/systemd/random-seed" in run("inspect", "--plan", image)
