"""``unclone define --virtio``: only for a guest that boots from it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from tests.support.disks import BARE_ROOT, Part, make_disk
from unclone.cli.main import cli

if TYPE_CHECKING:
    from pathlib import Path

UUID = "11111111-2222-3333-4444-555555555555"
KERNEL = "/usr/lib/modules/6.1.0-13-amd64"
DRIVERS = "".join(
    f"kernel/drivers/{name}.ko:\n"
    for name in ("virtio_pci", "virtio_blk", "virtio_scsi", "virtio_net", "virtio_balloon")
)
READY = {
    **BARE_ROOT,
    "/etc/fstab": f"UUID={UUID} / ext4 defaults 0 1\n",
    f"{KERNEL}/modules.dep": DRIVERS,
    f"{KERNEL}/modules.builtin": "kernel/fs/ext4.ko\n",
}
DOMAIN = """<domain type='kvm'>
  <name>golden</name>
  <uuid>6695eb01-f6a4-4304-b9aa-97f2502e193f</uuid>
  <memory unit='MiB'>512</memory>
  <os><type>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='{disk}'/>
      <target dev='sda' bus='sata'/>
      <wwn>5000c50015ea71aa</wwn>
    </disk>
  </devices>
</domain>
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "golden.xml").write_text(DOMAIN.format(disk=tmp_path / "golden.qcow2"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, status: int = 0) -> Result:
    options = ["golden.xml", "--name", "web-01", "--virtio"]
    done = CliRunner().invoke(cli, ["define", *options, *arguments])
    assert done.exit_code == status, done.output
    return done


def build(path: Path, **changes: str) -> None:
    tree = {**READY, **{f"/{name.replace('__', '/')}": text for name, text in changes.items()}}
    make_disk(path, [Part("ext4", tree=tree, uuid=UUID)], form="qcow2")


@pytest.mark.slow
def test_a_guest_that_is_ready_moves(folder: Path) -> None:
    build(folder / "golden.qcow2")
    document = json.loads(run("--json", "--disk", "sda=/srv/web-01.qcow2").stdout)
    (result,) = document["results"]
    text = (folder / "web-01.xml").read_text()
    assert "<target dev='vda' bus='virtio'/>" in text
    assert "<source file='/srv/web-01.qcow2'/>" in text
    assert "wwn" not in text  # a virtio disk has none
    assert [n["text"] for n in result["notes"] if n["row"] == "virtio"] == [
        "disk sda (sata) is now vda (virtio)"
    ]
    assert result["disks"][0]["label"] == "vda"
    assert result["disks"][0]["new"] == "/srv/web-01.qcow2"


def test_a_guest_that_names_its_disks_is_refused(folder: Path) -> None:
    build(folder / "golden.qcow2", etc__fstab="/dev/sda1 / ext4 defaults 0 1\n")
    done = run(status=4)
    assert "would not boot from virtio: /etc/fstab names /dev/sda1" in done.stderr
    assert not (folder / "web-01.xml").exists()


def test_a_guest_without_drivers_is_refused(folder: Path) -> None:
    build(
        folder / "golden.qcow2",
        **{f"{KERNEL[1:].replace('/', '__')}__modules.dep": "kernel/drivers/e1000.ko:\n"},
    )
    done = run(status=4)
    assert "has no virtio_pci" in done.stderr
    assert not (folder / "web-01.xml").exists()


@pytest.mark.slow
def test_the_new_disk_is_looked_at_where_it_is_there(folder: Path) -> None:
    build(folder / "golden.qcow2")
    build(folder / "web-01.qcow2", etc__fstab="/dev/sda1 / ext4 defaults 0 1\n")
    done = run("--disk", f"sda={folder / 'web-01.qcow2'}", status=4)
    assert f"{folder / 'web-01.qcow2'} would not boot" in done.stderr


def test_a_guest_that_nobody_can_look_at_is_refused_unless_told(folder: Path) -> None:
    done = run(status=4)
    assert "none of its disks is here" in done.stderr
    run("--unchecked")
    assert "bus='virtio'" in (folder / "web-01.xml").read_text()


def test_snapshots_stay_where_they_are(folder: Path) -> None:
    done = run("--snapshot", "golden.xml", "--unchecked", status=2)
    assert "--virtio and --snapshot" in done.stderr
