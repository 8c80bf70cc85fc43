"""Binaries beside boot loaders that name a device: what they name keeps its identifier."""

from __future__ import annotations

import gzip
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support.boot_images import (
    packed_kernel,
    uboot_environment,
    uboot_image,
    unified_kernel,
)
from tests.support.identified import RENEWALS, ROOT
from tests.support.initrds import archive, compress
from tests.support.planning import context
from tests.support.tree import guest_at, plant
from unclone.sanitize.boot.compression import Compression
from unclone.sanitize.change import Retired
from unclone.sanitize.references.built_in import REFERENCE
from unclone.sanitize.residue import find_residue

if TYPE_CHECKING:
    from pathlib import Path

NAMED = f"root=UUID={ROOT.old}\0".encode()
LARGE = bytes(1024 * 1024)
KEEPING = {
    "configuration": ("/boot/config-6.1", f'CONFIG_CMDLINE="root=UUID={ROOT.old}"\n'.encode()),
    "source": ("/usr/src/linux/.config", f'CONFIG_CMDLINE="root=UUID={ROOT.old}"\n'.encode()),
    "device tree": ("/boot/dtb/board.dtb", b"\xd0\x0d\xfe\xed\0\0\0\0bootargs\0" + NAMED),
    "Android": ("/boot/aboot.img", b"ANDROID!" + NAMED + LARGE),
    "kernel": ("/boot/Image-6.1", b"MZ\0\0" + LARGE + NAMED),
    "Windows": (
        "/boot/efi/EFI/Microsoft/Boot/BCD",
        b"regf" + bytes(70_000) + uuid.UUID(ROOT.old).bytes_le,
    ),
    "packed kernel": ("/boot/EFI/BOOT/BOOTX64.EFI", packed_kernel(gzip.compress(NAMED), LARGE)),
}


def kept(folder: Path) -> set[str]:
    found = REFERENCE.blockers(context(guest_at(folder), renewals=RENEWALS))
    assert all(blocker.why and blocker.lift for blocker in found)
    return {blocker.renewal.old for blocker in found}


@pytest.mark.parametrize(("path", "content"), KEEPING.values(), ids=KEEPING)
def test_what_it_names_is_kept(tmp_path: Path, path: str, content: bytes) -> None:
    plant(tmp_path, {path: content})
    assert kept(tmp_path) == {ROOT.old}


def test_a_kernel_that_a_loader_starts_has_no_command_line_of_its_own(tmp_path: Path) -> None:
    plant(tmp_path, {"/boot/vmlinuz": packed_kernel(gzip.compress(NAMED), LARGE)})
    assert kept(tmp_path) == set()


def test_what_follows_is_no_matter_of_this_one(tmp_path: Path) -> None:
    plant(tmp_path / "tree", {"/conf/conf.d/resume": NAMED})
    files: dict[str, str | bytes | None] = {
        "/boot/boot.scr": uboot_image(tmp_path, "script", NAMED),
        "/boot/uboot.env": uboot_environment(tmp_path, NAMED[:-1].decode(), 0x1000),
        "/boot/initrd.img": compress(Compression.NONE, archive(tmp_path / "tree")) + LARGE,
        "/boot/efi/EFI/Linux/a.efi": unified_kernel(tmp_path, {".cmdline": NAMED + LARGE}),
        "/boot/efi/EFI/debian/BOOTX64.CSV": NAMED.decode().encode("utf-16"),
        "/boot/config-6.1": f'# CONFIG_CMDLINE="root=UUID={ROOT.old}"\n',
        "/boot/cmdline.txt": NAMED[:-1],
    }
    plant(tmp_path / "guest", files)
    assert kept(tmp_path / "guest") == set()


@pytest.mark.parametrize("kind", ["Android", "kernel"])
def test_the_scan_for_what_is_left_reads_large_binaries(tmp_path: Path, kind: str) -> None:
    path, content = KEEPING[kind]
    plant(tmp_path, {path: content})
    (found,) = find_residue(guest_at(tmp_path), [Retired("x", ROOT.kind.value, ROOT.old)])
    assert (found.path, found.read_at_boot) == (path, True)
