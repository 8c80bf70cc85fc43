"""Initrds that only the boot configuration, or only their content, tells of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.initrds import archive, compress
from tests.support.tree import guest_at, plant
from unclone.sanitize import boot_view, initrds
from unclone.sanitize.boot.compression import Compression
from unclone.sanitize.boot.named_files import named_files
from unclone.sanitize.change import Retired
from unclone.sanitize.residue import find_residue

if TYPE_CHECKING:
    from pathlib import Path

OLD = "6f1a2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b"

#: Where a loader's configuration is, what it says, and where the file is in the guest.
NAMED = {
    "systemd-boot": ("/efi/loader/entries/d.conf", "initrd /debian/ram", "/efi/debian/ram"),
    "grub": ("/boot/grub/grub.cfg", "  initrd ($root)/boot/ram.img /u", "/boot/ram.img"),
    "grub on /boot": ("/boot/grub2/grub.cfg", "initrd /sub/ram", "/boot/sub/ram"),
    "grub efi": ("/boot/efi/EFI/x/grub.cfg", "\tinitrdefi $prefix/ram", "/boot/efi/EFI/x/ram"),
    "variables": ("/boot/loader/entries/a.conf", "initrd /ram $tuned_initrd", "/boot/ram"),
    "set": ("/boot/grub/grub.cfg", "set d=/srv\nset e=$d/x\ninitrd ${e}/ram", "/srv/x/ram"),
    "extlinux": ("/boot/extlinux/extlinux.conf", " INITRD ../ram,/m.img", "/boot/ram"),
    "append": ("/boot/extlinux.conf", "APPEND ro initrd=/boot/k/ram quiet", "/boot/k/ram"),
    "limine": ("/boot/limine.conf", "module_path: boot():/ram", "/boot/ram"),
    "refind": ("/efi/EFI/refind/refind.conf", "initrd \\EFI\\arch\\ram", "/efi/EFI/arch/ram"),
    "options": ("/efi/loader/entries/b.conf", "options initrd=\\ram ro", "/efi/ram"),
    "zipl": ("/etc/zipl.conf", "ramdisk=/boot/ram", "/boot/ram"),
    "raspberry": ("/boot/config.txt", "initramfs ram8 followkernel", "/boot/ram8"),
    "device tree": ("/boot/extlinux/extlinux.conf", "FDT /dtb/board.dtb", "/boot/dtb/board.dtb"),
}  # fmt: skip


@pytest.mark.parametrize(("config", "line", "path"), NAMED.values(), ids=NAMED)
def test_what_a_boot_entry_names_is_found(
    tmp_path: Path, config: str, line: str, path: str
) -> None:
    plant(tmp_path, {config: f"title x\n{line}\n", path: "x", "/boot/other": "x"})
    assert list(named_files(guest_at(tmp_path))) == [path]


@pytest.mark.parametrize("line", ["initrd /missing", "initrd /etc", "initrd $x", "initrd"])
def test_what_is_not_there_is_not_named(tmp_path: Path, line: str) -> None:
    plant(tmp_path, {"/boot/grub/grub.cfg": f"{line}\n", "/etc/fstab": ""})
    assert list(named_files(guest_at(tmp_path))) == []


def initrd(tmp_path: Path, compression: Compression) -> bytes:
    tree = tmp_path / "tree"
    plant(tree, {"/conf/conf.d/resume": f"RESUME=UUID={OLD}\n"})
    return compress(compression, archive(tree))


@pytest.mark.parametrize(
    "compression",
    [Compression.NONE, Compression.GZIP, Compression.ZSTD, Compression.XZ, Compression.LZ4_LEGACY],
)
def test_a_named_initrd_is_corrected_and_any_is_verified(
    tmp_path: Path, compression: Compression
) -> None:
    content = initrd(tmp_path, compression)
    guest = guest_at(tmp_path / "guest")
    plant(
        tmp_path / "guest",
        {
            "/efi/loader/entries/d.conf": "initrd /debian/ram\n",
            "/efi/debian/ram": content,
            "/boot/unnamed": content,
            "/boot/vmlinuz": compress(Compression.GZIP, b"a kernel" * 9999),
        },
    )
    assert list(initrds.find(guest)) == ["/efi/debian/ram"]
    assert list(boot_view.initrds(guest)) == ["/boot/unnamed"]
    retired = [Retired("file-system-uuids", "file-system-uuid", OLD)]
    found = [(r.path, r.read_at_boot) for r in find_residue(guest, retired)]
    inside = "conf/conf.d/resume"
    assert found == [(f"/boot/unnamed!{inside}", True), (f"/efi/debian/ram!{inside}", True)]
