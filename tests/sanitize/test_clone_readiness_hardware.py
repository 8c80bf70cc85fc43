"""Names of disks that are made of hardware: each place that names one is told, or follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tree import guest_at, plant
from unclone.sanitize.change import Level
from unclone.sanitize.clone_readiness import notes
from unclone.sanitize.facts import Facts
from unclone.sanitize.references.disk_names import renewals
from unclone.sanitize.renewal import Renewals

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.sanitize.change import Note


def told(folder: Path, files: dict[str, str | bytes | None]) -> tuple[Note, ...]:
    plant(folder, files)
    guest = guest_at(folder)
    return notes(guest, Facts(guest))


NAMES = {
    "fstab": (
        "/etc/fstab",
        "/dev/disk/by-id/wwn-0x5000c50015ea71ad-part1 / ext4 defaults 0 1\n",
        "wwn-0x5000c50015ea71ad-part1",
    ),
    "by the order of disks": (
        "/etc/fstab",
        "/dev/disk/by-diskseq/1-part1 / ext4 defaults 0 1\n",
        "by-diskseq/1-part1",
    ),
    "crypttab": (
        "/etc/crypttab",
        "x /dev/disk/by-path/pci-0000:00:05.0-part2 none\n",
        "by-path/pci-0000:00:05.0-part2",
    ),
    "a unit's setting": (
        "/etc/systemd/system/data.mount",
        "[Mount]\nWhat=/dev/disk/by-id/virtio-ABC123DEF-part1\n",
        "by-id/virtio-ABC123DEF-part1",
    ),
    "a unit's dependency": (
        "/etc/systemd/system/data.service",
        "[Unit]\nBindsTo=dev-disk-by\\x2did-nvme\\x2dQEMU_NVMe_Ctrl_ABC123DEF.device\n",
        "by-id/nvme-QEMU_NVMe_Ctrl_ABC123DEF",
    ),
    "a unit's name": (
        r"/etc/systemd/system/dev-disk-by\x2did-ata\x2dQEMU_HARDDISK_ABC123DEF.swap",
        "[Swap]\n",
        "by-id/ata-QEMU_HARDDISK_ABC123DEF",
    ),
    "an array": (
        "/etc/mdadm/mdadm.conf",
        "DEVICE /dev/disk/by-id/usb-QEMU_QEMU_HARDDISK_1-0000:00:04.7-4-0:0\n",
        "by-id/usb-QEMU_QEMU_HARDDISK_1-0000:00:04.7-4-0:0",
    ),
    "LVM's filter": (
        "/etc/lvm/lvm.conf",
        'devices {\n filter = [ "a|/dev/disk/by-id/scsi-35000c50015ea71ad|", "r|.*|" ]\n}\n',
        "by-id/scsi-35000c50015ea71ad:",
    ),
}


@pytest.mark.parametrize(("path", "text", "name"), NAMES.values(), ids=NAMES)
def test_a_name_made_of_hardware_is_named(tmp_path: Path, path: str, text: str, name: str) -> None:
    (note,) = told(tmp_path, {path: text})
    assert note.level is Level.WARNING
    assert (
        f"{path.replace(chr(92), chr(92) * 2)} names" in note.text or f"{path} names" in note.text
    )
    assert name in note.text
    assert "serial number or slot" in note.text


@pytest.mark.parametrize(
    "name", ["dm-uuid-LVM-a", "dm-name-vg-root", "lvm-pv-uuid-a-b", "md-uuid-1:2", "md-name-h:0"]
)
def test_a_name_made_of_what_is_on_the_disk_is_not(tmp_path: Path, name: str) -> None:
    assert told(tmp_path, {"/etc/fstab": f"/dev/disk/by-id/{name} / ext4 defaults 0 1\n"}) == ()


def test_a_name_that_follows_the_definition_is_no_matter(tmp_path: Path) -> None:
    serial, other = "ABC123DEF", "XYZ987UVW"
    text = "".join(
        f"/dev/disk/by-id/virtio-{each} /{each} ext4 defaults 0 1\n" for each in (serial, other)
    )
    plant(tmp_path, {"/etc/fstab": text})
    guest = guest_at(tmp_path)
    renewed = Renewals(renewals({serial: "QRS654TUV"}))
    (note,) = notes(guest, Facts(guest), renewals=renewed)
    assert f"virtio-{other}" in note.text
    assert serial not in note.text
