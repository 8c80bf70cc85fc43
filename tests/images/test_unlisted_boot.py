"""Determining a layout of which fstab does not tell all, or tells what cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from tests.support.disks import BARE_ROOT
from tests.support.forest import ForestVolumes
from unclone.images.errors import RefusedError
from unclone.images.layout import Layout, Mount
from unclone.images.layout_inspection import inspect_layout
from unclone.images.volumes import FileSystem, Volumes

if TYPE_CHECKING:
    from pathlib import Path

ROOT = FileSystem("/dev/sda2", "ext4", "root-uuid", "root")
OTHER = FileSystem("/dev/sdb1", "ext4", "other-uuid")


@pytest.fixture
def forest(tmp_path: Path) -> ForestVolumes:
    return ForestVolumes(tmp_path)


def inspect(forest: ForestVolumes) -> Layout:
    return inspect_layout(cast("Volumes", forest))


BOOT = FileSystem("/dev/sda8", "ext4", "boot-uuid")
BOOT_FILES = ["/grub/grub.cfg", "/boot/grub/grub.cfg", "/loader/entries/x.conf", "/extlinux.conf"]


@pytest.mark.parametrize(
    "name", [*BOOT_FILES, "/initrd.img-6", "/vmlinuz", "/bootmap", "/boot.scr"]
)
def test_a_boot_file_system_that_no_line_mounts_is_looked_at(
    forest: ForestVolumes, name: str
) -> None:
    """As of OpenWrt, and of guests whose /boot is mounted by hand."""
    forest.add(BOOT, {name: "x"})
    forest.add(ROOT, {**BARE_ROOT, "/etc/fstab": ""})
    layout = inspect(forest)
    assert layout.mounts["/boot"] == Mount("/dev/sda8", "/boot", "ext4")
    assert layout.unmounted_boots == ()
    assert any("holds what a boot loader reads; looked at as /boot" in w for w in layout.warnings)


@pytest.mark.parametrize("name", BOOT_FILES)
def test_one_that_cannot_be_looked_at_as_boot_is_told(forest: ForestVolumes, name: str) -> None:
    forest.add(BOOT, {name: "x"})
    forest.add(ROOT, {**BARE_ROOT, "/etc/fstab": "", "/boot/vmlinuz": "x"})
    layout = inspect(forest)
    assert set(layout.mounts) == {"/"}
    assert layout.unmounted_boots == ("/dev/sda8",)


def test_of_two_boot_file_systems_neither_is_taken_for_boot(forest: ForestVolumes) -> None:
    forest.add(BOOT, {"/grub/grub.cfg": "x"})
    forest.add(OTHER, {"/vmlinuz-6": "x"})
    forest.add(ROOT, {**BARE_ROOT, "/etc/fstab": ""})
    layout = inspect(forest)
    assert set(layout.mounts) == {"/"}
    assert layout.unmounted_boots == ("/dev/sda8", "/dev/sdb1")


def test_one_that_cannot_be_read_may_be_a_boot_file_system(forest: ForestVolumes) -> None:
    forest.add(BOOT, {}, broken=True)
    forest.add(ROOT, {**BARE_ROOT, "/etc/fstab": ""})
    layout = inspect(forest)
    assert set(layout.mounts) == {"/"}
    assert layout.unmounted_boots == ("/dev/sda8",)


@pytest.mark.parametrize(
    "name", ["/data/x", "/grub-notes.txt", "/lost+found/x", "/backup/grub.cfg"]
)
def test_data_that_no_line_mounts_is_no_boot_file_system(forest: ForestVolumes, name: str) -> None:
    forest.add(BOOT, {name: "x"})
    forest.add(ROOT, {**BARE_ROOT, "/etc/fstab": ""})
    layout = inspect(forest)
    assert set(layout.mounts) == {"/"}
    assert layout.unmounted_boots == ()


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("/ostree/deploy/fedora/deploy/ab.0/etc/fstab", "deployments of ostree"),
        ("/system-data/var/lib/snapd/state.json", "an Ubuntu Core"),
        ("/boot/1.4/1.4.squashfs", r"a live system on squashfs \(VyOS\)"),
        ("/live/filesystem.squashfs", "a live system"),
        ("/A/initramfs.xz", "the kernel of a Talos node"),
        ("/EFI/Linux/Talos-v1.9.0.efi", "the kernel of a Talos node"),
        ("/cOS/active.img", "system images of Kairos"),
    ],
)
def test_a_system_without_a_plain_root_is_refused_by_name(
    forest: ForestVolumes, name: str, what: str
) -> None:
    forest.add(OTHER, {"/grub/grub.cfg": ""})
    forest.add(ROOT, {name: ""})
    with pytest.raises(RefusedError, match=f"no root directory .*: /dev/sda2 holds {what}"):
        inspect(forest)


@pytest.mark.parametrize("kind", ["swap", "crypto_LUKS", "LVM2_member", "unknown"])
@pytest.mark.parametrize("place", ["/data", "/home"])
def test_what_holds_no_files_is_not_mounted(forest: ForestVolumes, kind: str, place: str) -> None:
    forest.add(ROOT, {**BARE_ROOT, "/etc/fstab": f"PARTUUID=p {place} auto defaults 0 0\n"})
    forest.add(FileSystem("/dev/sda9", kind, "u", partition_uuid="p"), {})
    if place == "/home":
        with pytest.raises(RefusedError, match=rf"/dev/sda9 holds no files \({kind}\)"):
            inspect(forest)
        return
    layout = inspect(forest)
    assert set(layout.mounts) == {"/"}
    assert any(f"/dev/sda9 holds no files ({kind})" in warning for warning in layout.warnings)
