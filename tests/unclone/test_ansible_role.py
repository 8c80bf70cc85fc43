"""``examples/ansible``: the role, run by ansible-core on a local connection."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.packaging.conftest import ROOT
from tests.support import command
from tests.support.disks import BARE_ROOT, Part, make_disk

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ops\n"
TREE = {**BARE_ROOT, "/usr/lib/systemd/systemd": "ELF", "/etc/fstab": ""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The example, with what its inventory names."""
    shutil.copytree(ROOT / "examples" / "ansible", tmp_path, dirs_exist_ok=True)
    image = make_disk(tmp_path / "golden.qcow2", [Part("ext4", tree=TREE)], form="qcow2")
    shutil.copyfile(image, tmp_path / "golden-db.qcow2")
    (tmp_path / "id.pub").write_text(KEY)
    return tmp_path


def play(folder: Path, *options: str, status: int = 0) -> tuple[str, dict[str, tuple[int, int]]]:
    """What a run of the playbook says; of each host how much has changed, and failed."""
    done = subprocess.run(
        ["ansible-playbook", "-i", "inventory.yml", "-l", "db-01,web-01", *options, "site.yml"],
        cwd=folder,
        env={
            **os.environ,
            "HOME": str(folder),
            "ANSIBLE_LOCAL_TEMP": str(folder / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "PATH": f"{command.PROGRAM.parent}{os.pathsep}{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == status, done.stdout + done.stderr
    counts = re.findall(r"^(\S+) +: .* changed=(\d+) .* failed=(\d+)", done.stdout, re.MULTILINE)
    return done.stdout, {name: (int(changed), int(failed)) for name, changed, failed in counts}


def test_a_run_makes_what_is_missing(folder: Path) -> None:
    """Check mode says before what a run does, and a failure what unclone said."""
    assert play(folder, "--check")[1] == {"db-01": (1, 0), "web-01": (1, 0)}
    assert not (folder / "vms").exists()
    image = folder / "golden-db.qcow2"
    image.write_bytes(bytes(4096))
    said, counts = play(folder, status=2)
    assert "the disk has no partition table and no file system that is known" in said
    assert counts == {"db-01": (0, 1), "web-01": (1, 0)}
    shutil.copyfile(folder / "golden.qcow2", image)
    assert play(folder)[1] == {"db-01": (1, 0), "web-01": (0, 0)}
    assert sorted(path.name for path in (folder / "vms").iterdir()) == ["db-01", "web-01"]
    made = {path: path.read_bytes() for path in (folder / "vms").rglob("*") if path.is_file()}
    assert play(folder)[1] == {"db-01": (0, 0), "web-01": (0, 0)}
    assert {path: path.read_bytes() for path in made} == made
