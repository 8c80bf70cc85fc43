"""``unclone prove`` as people call it, on disks that boot in a second.

QEMU, SeaBIOS, the overlays and the injection are real; only what reports is a few bytes in the boot
sector in place of a kernel (tests/support/boot_sector.py).
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.boot_sector import Then, install, program, report
from tests.support.command import unclone
from tests.support.disks import BARE_ROOT, Part, make_disk, poke
from tests.support.readback import fingerprint
from unclone.images.lock import ImageLock

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.slow

ID = "0123456789abcdef0123456789abcdef"
OLD = "fedcba9876543210fedcba9876543210"
ROOT = "4195d873-56d6-44b5-b1c8-b3956d973a3a"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKlD8w0szd4ugIUNALnc3F9Vutz4UJj9d51xPC4SbAIm root@golden"
TREE: dict[str, str | bytes | None] = {
    **BARE_ROOT,
    "/etc/machine-id": f"{ID}\n",
    "/etc/hostname": "web-01\n",
    "/etc/fstab": f"UUID={ROOT} / ext4 defaults 0 1\n",
    "/etc/ssh/ssh_host_ed25519_key.pub": f"{KEY}\n",
    "/usr/lib/systemd/systemd": b"",
}
#: Of the MBR, as it is on the disk and as blkid says it.
DISK_ID = bytes.fromhex("d1c0b0a0")
#: What blkid says of a disk with the root alone.
DEVICES = (
    f'device /dev/vda1: UUID="{ROOT}" TYPE="ext4" PARTUUID="a0b0c0d1-01"',
    'device /dev/vda: PTUUID="a0b0c0d1" PTTYPE="dos"',
)
MOUNTED = 'mount TARGET="/" UUID="" SOURCE="/dev/vda1" FSTYPE="ext4" OPTIONS="rw"'
#: What the guest says when all is well.
SAID = (
    "init systemd",
    "state running",
    f"machine-id {ID}",
    "hostname web-01",
    f'mount TARGET="/" UUID="{ROOT}" SOURCE="/dev/vda1" FSTYPE="ext4" OPTIONS="rw"',
    f"host-key /etc/ssh/ssh_host_ed25519_key.pub {KEY}",
    *DEVICES,
)


@dataclass
class Proven:
    """What the command printed and how it ended."""

    done: subprocess.CompletedProcess[str]
    result: dict[str, Any]

    @property
    def differences(self) -> dict[str, str]:
        return {each["what"]: each["found"] for each in self.result["differences"]}


def make(
    path: Path,
    said: Sequence[str] = SAID,
    *,
    console: bytes = b"Linux version 6.1\r\n",
    tree: dict[str, str | bytes | None] = TREE,
    then: Then = Then.OFF,
) -> Path:
    disk = make_disk(path, [Part("ext4", tree, uuid=ROOT)], table="dos")
    poke(disk, 440, DISK_ID)
    install(disk, program(console, report(said) if said else b"", then))
    return disk


def prove(*arguments: str | Path) -> Proven:
    done = unclone("prove", "-q", "--engine", "direct", "--json", *arguments)
    return Proven(done, json.loads(done.stdout)["results"][0])


def test_a_machine_that_is_who_its_image_says(tmp_path: Path) -> None:
    disk = make(tmp_path / "web-01.raw")
    before = disk.read_bytes()
    found = prove(disk, "--reboots", "2")
    assert (found.done.returncode, found.result["status"]) == (0, "proven"), found.result
    assert len(found.result["boots"]) == 2
    assert found.result["boots"][0]["report"]["machine-id"] == [ID]
    assert disk.read_bytes() == before
    assert list(tmp_path.iterdir()) == [disk]


def test_each_difference_is_named(tmp_path: Path) -> None:
    said = [
        "init systemd",
        "state degraded",
        f"machine-id {OLD}",
        f"dbus-machine-id {ID}",
        "hostname \x1b[31mgolden",
        'mount TARGET="/" UUID="" SOURCE="/dev/vda1" FSTYPE="ext4" OPTIONS="ro"',
        "failed ssh.service loaded failed",
        *DEVICES,
    ]
    tree = {
        **TREE,
        "/etc/fstab": f"UUID={ROOT} / ext4 defaults 0 1\n"
        "UUID=00000000-0000-4000-8000-000000000000 /srv ext4 defaults 0 0\n"
        "UUID=00000000-0000-4000-8000-000000000001 /mnt ext4 noauto 0 0\n"
        "UUID=00000000-0000-4000-8000-000000000002 none swap sw 0 0\n",
    }
    found = prove(make(tmp_path / "web-01.raw", said, tree=tree))
    assert (found.done.returncode, found.result["status"]) == (5, "different")
    assert found.differences == {
        "machine-id": OLD,
        "D-Bus machine-id": ID,
        "host name": "\\x1b[31mgolden",
        "mount /": "read-only",
        "mount /srv": "not mounted",
        "swap": "0 of 1 active",
        "unit ssh.service": "failed",
    }


def test_the_report_of_sanitize_is_what_counts(tmp_path: Path) -> None:
    disk = make(tmp_path / "web-01.raw", [*SAID, f"cmdline systemd.machine_id={OLD}"])
    document = tmp_path / "report.json"
    result = {
        "result": str(disk),
        "host_name": {"old": "golden", "new": "web-01"},
        "inventory": {
            "machine_ids": [{"path": "/etc/machine-id", "state": "empty", "id": ""}],
            "ssh_host_keys": [],
        },
        "identifiers": [],
        "changes": [],
        "retired": [{"step": "machine-id", "kind": "machine-id", "value": OLD}],
    }
    document.write_text(json.dumps({"schema": "unclone.sanitize/1", "results": [result]}))
    found = prove(disk, "--report", document)
    assert found.differences == {"old machine-id": f"{OLD} in cmdline"}


def test_against_the_original(tmp_path: Path) -> None:
    golden = make(tmp_path / "golden.raw", [*SAID, "failed old.service", "failed both.service"])
    new = SAID[2].replace(ID, OLD)
    said = [*SAID[:2], new, *SAID[3:], "failed both.service", "failed new.service"]
    tree = {**TREE, "/etc/machine-id": f"{OLD}\n"}
    disk = make(tmp_path / "web-01.raw", said, tree=tree)
    found = prove(disk, "--against", golden)
    assert found.differences == {"unit new.service": "failed"}
    assert found.result["failed_before"] == ["both.service"]
    key = "host key /etc/ssh/ssh_host_ed25519_key.pub"
    assert {each["kind"]: each["value"] for each in found.result["shared"]} == {
        key: fingerprint(KEY.encode()),
        "UUID of /dev/vda1": ROOT,
        "PARTUUID of /dev/vda1": "a0b0c0d1-01",
        "PTUUID of /dev/vda": "a0b0c0d1",
    }
    assert found.result["original"]["reported"]


def test_an_original_that_does_not_boot_proves_nothing(tmp_path: Path) -> None:
    golden = make(tmp_path / "golden.raw", (), then=Then.OFF)
    found = prove(make(tmp_path / "web-01.raw"), "--against", golden)
    assert (found.done.returncode, found.result["status"]) == (5, "different")
    reason = "it did not boot: the machine turned itself off before it had reported"
    assert found.differences == {"the original": reason}


def test_a_machine_that_does_not_boot(tmp_path: Path) -> None:
    console = b"Linux version 6.1\r\n\x1b[31mKernel panic\x1b[0m - not syncing: VFS\r\n"
    disk = make(tmp_path / "web-01.raw", (), console=console, then=Then.HALT)
    picture = tmp_path / "screen.png"
    found = prove(disk, "--screenshot", picture)
    assert (found.done.returncode, found.result["status"]) == (5, "not-booted")
    (boot,) = found.result["boots"]
    assert (boot["phase"], boot["reason"]) == ("kernel", "the kernel panicked")
    assert boot["console"][-1] == "Kernel panic - not syncing: VFS"
    assert base64.b64decode(boot["screen"]) == picture.read_bytes()
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_what_people_read_fits_and_says_it_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = [*SAID[:3], "hostname golden", *SAID[4:], "card eth0 52:54:00:00:00:01"]
    make(tmp_path / "web-01.raw", said)
    done = unclone("prove", "--engine", "direct", "web-01.raw", "--console", "console")
    assert done.returncode == 5
    lines = done.stdout.splitlines()
    assert lines[0] == "web-01.raw: booted, but different"
    assert any("host name: expected web-01, found golden" in line for line in lines)
    assert max(map(len, lines)) <= 80
    assert "boot: report" in done.stderr
    assert "Linux version 6.1\n" in (tmp_path / "console").read_text()


@pytest.mark.parametrize("state", ["maintenance", "initializing"])
def test_emergency_mode_is_not_booted(tmp_path: Path, state: str) -> None:
    said = [SAID[0], f"state {state}", *SAID[2:], "failed srv.mount"]
    found = prove(make(tmp_path / "web-01.raw", said))
    assert found.result["status"] == "not-booted"
    assert set(found.differences) == {"state", "unit srv.mount"}


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--seed", "none.iso"], 2, "none.iso is not a file"),
        (["--report", "none.json"], 2, "none.json cannot be read"),
        (["--definition", "none.xml"], 2, "none.xml"),
        (["--against", "none.raw"], 2, "none.raw is not a file"),
    ],
)
def test_what_cannot_be_tried(tmp_path: Path, options: list[str], status: int, words: str) -> None:
    found = prove(make(tmp_path / "web-01.raw"), *options)
    assert found.done.returncode == status
    assert words in found.result["error"]["message"]


def test_an_init_that_cannot_report_is_refused(tmp_path: Path) -> None:
    tree = {**BARE_ROOT, "/sbin/runit-init": b""}
    found = prove(make(tmp_path / "web-01.raw", tree=tree))
    assert found.done.returncode == 4
    assert "init system (runit) cannot be made to report" in found.result["error"]["message"]


def test_a_disk_without_a_boot_loader_is_refused(tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "web-01.raw", [Part("ext4", TREE, uuid=ROOT)], table="dos")
    found = prove(disk)
    assert found.done.returncode == 4
    assert "has no boot loader" in found.result["error"]["message"]


def test_an_image_in_use_is_left_alone(tmp_path: Path) -> None:
    disk = make(tmp_path / "web-01.raw")
    with ImageLock() as lock:
        lock.exclusive([disk])
        assert prove(disk).done.returncode == 3


#: A guest that gets new identities: its report has none of those of its image.
PLAIN = {path: text for path, text in TREE.items() if not path.startswith("/etc/ssh")}


@pytest.mark.parametrize(
    ("machine_id", "status", "differences"),
    [(OLD, "proven", set()), (ID, "different", {"old machine-id"})],
)
def test_what_sanitize_made_is_proven(
    tmp_path: Path, machine_id: str, status: str, differences: set[str]
) -> None:
    said = [*SAID[:2], f"machine-id {machine_id}", SAID[3], MOUNTED, *DEVICES]
    disk = make(tmp_path / "web-01.raw", said, tree=PLAIN)
    options = ("--engine", "direct", "--uuids", "keep", "--prove")
    done = unclone("sanitize", "-q", "--json", *options, disk)
    (result,) = json.loads(done.stdout)["results"]
    assert (result["status"], result["proof"]["status"]) == ("done", status)
    assert {each["what"] for each in result["proof"]["differences"]} == differences
    assert done.returncode == (0 if status == "proven" else 5)


@pytest.mark.parametrize(("wanted", "proven"), [("first", 1), ("all", 2), ("2", 2)])
def test_what_clone_made_is_proven(tmp_path: Path, wanted: str, proven: int) -> None:
    said = [*SAID[:2], f"machine-id {OLD}", "hostname web-01", MOUNTED, *DEVICES]
    golden = make(tmp_path / "golden.raw", said, tree=PLAIN)
    folder = tmp_path / "vms"
    options: list[str | Path] = [
        "--name",
        "web-{:02}",
        "--count",
        "2",
        "-o",
        folder,
        *("--seed", "never", "--uuids", "keep"),
    ]
    done = unclone("clone", "-q", "--json", golden, *options, "--prove", wanted)
    results = json.loads(done.stdout)["results"]
    proofs = [result["proof"] for result in results if "proof" in result]
    assert len(proofs) == proven, done.stderr
    assert proofs[0]["status"] == "proven", proofs[0]["differences"]
    assert proofs[0]["image"] == str(folder / "web-01" / "disk.qcow2")
    names = [each["what"] for proof in proofs[1:] for each in proof["differences"]]
    assert names == ["host name"] * (proven - 1)
    assert done.returncode == (0 if proven == 1 else 5)


@pytest.mark.parametrize("wanted", ["0", "-1", "one", "²"])
def test_how_many_clones_are_proven_is_a_number(tmp_path: Path, wanted: str) -> None:
    done = unclone("clone", tmp_path / "golden.raw", "--name", "a", "--prove", wanted)
    assert done.returncode == 2
    assert "none of first, all, and a number" in done.stderr


def test_a_dry_run_has_nothing_to_prove(tmp_path: Path) -> None:
    done = unclone("sanitize", "--dry-run", "--prove", tmp_path / "web-01.raw")
    assert done.returncode == 2
    assert "--prove boots what a run made" in done.stderr
