"""Where a golden machine's files are: in any order, on other files, and moved afterwards."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.support.command import unclone
from tests.support.disks import Part, make_disk
from tests.unclone.test_clone import DOMAIN, MAC, TREE, UUID, clone

#: A process for each command: a second or two.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("golden") / "golden.qcow2"
    return make_disk(path, [Part("ext4", uuid=UUID, tree=TREE)], form="qcow2")


@pytest.fixture
def golden(template: Path, tmp_path: Path) -> Path:
    (tmp_path / "golden.xml").write_text(DOMAIN.format(folder=tmp_path, mac=MAC))
    return Path(shutil.copy(template, tmp_path / "golden.qcow2"))


def test_disks_are_told_by_their_paths_in_whatever_order_they_are_given(golden: Path) -> None:
    """A definition may name the data disk first."""
    data = make_disk(golden.with_name("data.img"), [Part("ext4")])
    text = (golden.parent / "golden.xml").read_text()
    disk = text[text.index("<disk") : text.index("</disk>") + 7]
    first = disk.replace("golden.qcow2", data.name).replace("vda", "vdb").replace("3344", "3345")
    (golden.parent / "golden.xml").write_text(text.replace(disk, first + disk))
    clone(golden, "--name", "m", "--add-disk", data, "--definition", golden.parent / "golden.xml")
    machine = golden.parent / "vms/m"
    domain = ET.parse(machine / "domain.xml").getroot()
    places = {
        str(each.find("target").get("dev")): each.find("source").get("file")  # type: ignore[union-attr]
        for each in domain.iter("disk")
    }
    assert places["vda"] == str(machine / "disk.qcow2")
    assert places["vdb"] == str(machine / "disk-2.qcow2")


def test_files_that_the_golden_image_stands_on_are_protected(golden: Path) -> None:
    """Its backing file is named by a relative path, and machines are made and moved elsewhere."""
    base = golden.rename(golden.with_name("base.qcow2"))
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2"]
    subprocess.run([*create, golden.name], cwd=golden.parent, check=True)
    clone(golden, "--name", "web-01", "--definition", golden.parent / "golden.xml")
    assert [each.stat().st_mode & 0o222 for each in (golden, base)] == [0, 0]
    moved = golden.parent / "elsewhere/vms"
    moved.parent.mkdir()
    (golden.parent / "vms").rename(moved)
    subprocess.run(["qemu-img", "check", "-q", moved / "web-01/disk.qcow2"], check=True)
    again = ("clone", golden, "--name", "web-01", "--definition", golden.parent / "golden.xml")
    done = unclone(*again, "-o", moved)
    assert done.returncode == 0, done.stderr
    assert "domain.xml names no file in" in done.stdout
    base.chmod(0o600)
    base.touch()
    done = unclone(*again, "-o", moved)
    assert done.returncode == 4
    assert "the golden image has changed since" in done.stderr
