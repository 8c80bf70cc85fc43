"""Names that udev makes of serial numbers: those that a definition renews follow it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tree import guest_at, plant
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.change import Level
from unclone.sanitize.options import Options
from unclone.sanitize.planning import make_plan
from unclone.sanitize.references.disk_names import renewals
from unclone.sanitize.renewal import Rewriter
from unclone.sanitize.residue import find_residue

if TYPE_CHECKING:
    from pathlib import Path

SERIAL, NEW_SERIAL = "WD-ABC123DEF456GHI7890", "WD-ZYX987WVU654TSR3210"
WWN, NEW_WWN = "5000c50015ea71ad", "5000c50a1b2c3d4e"
SERIALS = {SERIAL: NEW_SERIAL, WWN: NEW_WWN}

FORMS = [
    "virtio-{}",
    "virtio-{}-part1",
    "scsi-0QEMU_QEMU_HARDDISK_{}",
    "scsi-SQEMU_QEMU_HARDDISK_{}-part2",
    "ata-QEMU_HARDDISK_{}-part1",
    "ata-VBOX_HARDDISK_{}",
    "nvme-QEMU_NVMe_Ctrl_{}",
    "nvme-QEMU_NVMe_Ctrl_{}_1-part1",
    "usb-QEMU_QEMU_HARDDISK_{}-0:0",
]
WWNS = ["wwn-0x{}", "wwn-0x{}-part3", "scsi-3{}", "nvme-eui.{}"]


def pairs() -> list[tuple[str, str]]:
    names = [(form.format(WWN), form.format(NEW_WWN)) for form in WWNS]
    for form in FORMS:
        length = 20 if form.startswith("virtio") else len(SERIAL)
        names.append((form.format(SERIAL[:length]), form.format(NEW_SERIAL[:length])))
    return names


@pytest.mark.parametrize(("old", "new"), pairs())
def test_every_name_of_a_disk_follows(old: str, new: str) -> None:
    rewriter = Rewriter(renewals(SERIALS))
    path = f"/dev/disk/by-id/{old} / ext4"
    assert rewriter.rewritten_text(path) == path.replace(old, new)
    unit = r"BindsTo=dev-disk-by\x2did-{}.device"
    escaped = [name.replace("-", r"\x2d") for name in (old, new)]
    assert rewriter.rewritten_text(unit.format(escaped[0])) == unit.format(escaped[1])


@pytest.mark.parametrize(
    "text", [SERIAL, f"virtio-{SERIAL[:20]}X", f"virtio-{SERIAL[:19]}", f"wwn-0x{WWN}0", "root"]
)
def test_a_number_that_is_no_name_stays(text: str) -> None:
    """A serial number may be any word: alone, it says nothing."""
    rewriter = Rewriter(renewals({**SERIALS, "root": "toor"}))
    assert rewriter.rewritten_text(f" {text} ") == f" {text} "


@pytest.mark.parametrize("uuids", ["renew", "keep"])
def test_a_guest_follows_its_definition(tmp_path: Path, uuids: str) -> None:
    old, new = f"virtio-{SERIAL[:20]}", f"virtio-{NEW_SERIAL[:20]}"
    files = {
        "/etc/fstab": "/dev/disk/by-id/{} / ext4 defaults 0 1\n",
        "/boot/grub/grub.cfg": "linux /vmlinuz root=/dev/disk/by-id/{}-part1 ro\n",
    }
    plant(tmp_path, {path: text.format(old) for path, text in files.items()})
    guest = guest_at(tmp_path)
    plan = make_plan(guest, Options(uuids=uuids, disk_serials=SERIALS))
    assert not [note for note in plan.notes if note.level is not Level.INFO]
    assert (old, True) in {
        (found.value, found.read_at_boot) for found in find_residue(guest, plan.retired)
    }
    for change in plan.changes:
        if change.action == "replace-identifiers":
            ACTIONS[change.action].apply(guest, change)
            assert ACTIONS[change.action].verify(guest, change, "") == ""
    for path, text in files.items():
        assert guest.read_text(path) == text.format(new)
    assert not find_residue(guest, plan.retired)


def test_what_cannot_follow_is_named(tmp_path: Path) -> None:
    """dm-verity covers everything: nothing on the disk may change."""
    plant(tmp_path, {"/boot/loader/entries/a.conf": "options roothash=abc\nlinux /vmlinuz\n"})
    plan = make_plan(guest_at(tmp_path), Options(disk_serials={SERIAL: NEW_SERIAL}))
    kept = [note.text for note in plan.notes if note.level is Level.KEPT]
    assert any("the disk name virtio-" in text and "dm-verity" in text for text in kept)
