"""Guests whose fstab names what is not there, or is larger than one would think."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.command import sanitized, unclone
from tests.support.disk_images import digest
from tests.support.disks import BARE_ROOT, Part, make_disk
from tests.support.selection import slow_but

if TYPE_CHECKING:
    from pathlib import Path

UUID, SERIAL = "aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb", "7C3E-A91B"


def guest(folder: Path, fstab: str) -> Path:
    tree = {
        **BARE_ROOT,
        "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
        "/etc/fstab": f"UUID={UUID} / ext4 defaults 0 1\n{fstab}",
        "/usr/lib/systemd/systemd": "ELF",
    }
    grub = {"/EFI/debian/grub.cfg": f"search.fs_uuid {UUID} root\n"}
    parts = [Part("ext4", uuid=UUID, tree=tree), Part("vfat", uuid=SERIAL, tree=grub)]
    return make_disk(folder / "disk.qcow2", parts, form="qcow2")


@pytest.mark.slow
@pytest.mark.parametrize("options", slow_but({"noauto,nofail"}, ["noauto,nofail", "umask=0077"]))
@pytest.mark.parametrize("place", slow_but({"/run/esp"}, ["/run/esp", "/boot/efi", "/srv/a/b"]))
def test_a_mount_point_that_is_not_there_is_made(tmp_path: Path, place: str, options: str) -> None:
    image = guest(tmp_path, f"UUID={SERIAL} {place} vfat {options} 0 1\n")
    looked = unclone("inspect", image)
    assert looked.returncode == 0
    assert "does not exist: a run makes it" in " ".join(looked.stdout.split())
    assert sanitized(image, "--dry-run")["status"] == "planned"
    found = sanitized(image)
    assert any(f"the mount point {place}" in warning for warning in found["warnings"])
    targets = {change["target"] for change in found["changes"]}
    assert {"/etc/fstab", f"{place}/EFI/debian/grub.cfg"} <= targets
    again = unclone("inspect", image)
    assert "does not exist" not in " ".join(again.stdout.split())


@pytest.mark.slow
def test_an_fstab_of_nine_megabytes_is_read_whole(tmp_path: Path) -> None:
    comment = "# a comment line of some length here\n" * 250_000
    image = guest(tmp_path, f"{comment}UUID={SERIAL} /boot/efi vfat umask=0077 0 1\n")
    found = sanitized(image)
    (change,) = [change for change in found["changes"] if change["target"] == "/etc/fstab"]
    assert change["old"] == "2 identifiers"


@pytest.mark.slow
def test_an_fstab_that_is_too_large_is_refused(tmp_path: Path) -> None:
    image = guest(tmp_path, "# a comment line of some length here\n" * 500_000)
    before = digest(image)
    done = unclone("sanitize", image)
    assert done.returncode == 4
    assert re.search(r"/etc/fstab has 185\d+ bytes; no more than 16777216 are read", done.stderr)
    assert digest(image) == before
