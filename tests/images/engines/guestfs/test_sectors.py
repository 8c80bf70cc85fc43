"""Disks with sectors of 4096 bytes, which only the place of their GPT shows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.images.engines.direct.test_identifiers import with_large_sectors
from tests.support.command import unclone
from tests.support.disks import BARE_ROOT, Part, make_disk
from unclone.images.chain import read_chain
from unclone.images.engines.engine import Drive
from unclone.images.engines.guestfs.sectors import sector_size
from unclone.images.formats.header import Format
from unclone.images.process import run

if TYPE_CHECKING:
    from pathlib import Path

GUID = "ecdd5980-c369-4e4f-bee9-2efac3934294"
FSTAB = f"PARTUUID={GUID} / ext4 defaults 0 1\n"


def made(folder: Path, *, large: bool) -> Path:
    root = Part("ext4", {**BARE_ROOT, "/etc/fstab": FSTAB}, gpt_uuid=GUID, options=("-b", "4096"))
    disk = make_disk(folder / "disk.raw", [root])
    if large:
        with_large_sectors(disk)
    return disk


@pytest.mark.parametrize("form", ["raw", "qcow2", "vmdk"])
@pytest.mark.parametrize("large", [False, True], ids=["512", "4096"])
def test_the_gpt_tells(tmp_path: Path, form: str, large: bool) -> None:
    disk = made(tmp_path, large=large)
    image = tmp_path / "image"
    run(["qemu-img", "convert", "-f", "raw", "-O", form, disk, image])
    expected = 4096 if large and form != "vmdk" else 512  # only QEMU can read the last
    assert sector_size(Drive(image, form, read_chain(image, Format(form)))) == expected


@pytest.mark.appliance
def test_a_guest_on_large_sectors_is_sanitised(tmp_path: Path) -> None:
    disk = made(tmp_path, large=True)
    done = unclone("sanitize", "--json", "--engine", "guestfs", disk)
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)["results"]
    found = {i["kind"]: i["value"] for i in report["identifiers"]}
    assert found["partition-guid"] != GUID
    fstab = run(["debugfs", "-R", "cat /etc/fstab", f"{disk}?offset=1048576"]).stdout.decode()
    assert fstab == FSTAB.replace(GUID, found["partition-guid"])
