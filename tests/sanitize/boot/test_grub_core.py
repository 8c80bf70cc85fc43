"""Images made by the real grub-mkimage, and what was built into them."""

from __future__ import annotations

import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.pe import program
from unclone.sanitize.boot import grub_core, pe
from unclone.sanitize.boot.grub_core import bios_image, efi_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Mkimage = Callable[..., bytes]

UUID = "11111111-2222-3333-4444-555555555555"
NEW = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
LOAD_CFG = f"search.fs_uuid {UUID} root hd0,msdos1 \nset prefix=($root)'/boot/grub'\n"
VG = "AAAAAA-aaaa-bbbb-cccc-dddd-eeee-FFFFFF"
LV = "GGGGGG-aaaa-bbbb-cccc-dddd-eeee-HHHHHH"


@pytest.fixture
def mkimage(tmp_path: Path) -> Mkimage:
    def make(target: str, prefix: str, config: str, *modules: str) -> bytes:
        load, output = tmp_path / "load.cfg", tmp_path / "image"
        load.write_text(config)
        options = [f"--config={load}"] if config else []
        subprocess.run(
            ["grub-mkimage", "-O", target, *options, "-p", prefix, "-o", output, *modules],
            check=True,
            timeout=120,
        )
        return output.read_bytes()

    return make


def test_the_configuration_inside_a_core_image_is_read(mkimage: Mkimage) -> None:
    data = mkimage("i386-pc", "(,msdos1)/boot/grub", LOAD_CFG, "biosdisk", "search_fs_uuid")
    assert UUID.encode() not in data  # this is why looking for it is not enough
    image = bios_image(data)
    assert image is not None
    assert image.prefix == "(,msdos1)/boot/grub"
    assert image.config == LOAD_CFG


def test_the_usual_image_embeds_no_identifier(mkimage: Mkimage) -> None:
    image = bios_image(mkimage("i386-pc", "(,gpt2)/boot/grub", "", "biosdisk", "part_gpt"))
    assert image is not None
    assert (image.prefix, image.config, image.memdisk) == ("(,gpt2)/boot/grub", "", b"")


@pytest.mark.parametrize("before", [0, 512, 34 * 512], ids=lambda n: f"{n} bytes before")
def test_it_is_found_in_sectors_of_a_disk(mkimage: Mkimage, before: int) -> None:
    prefix = f"(lvmid/{VG}/{LV})/boot/grub"
    core = mkimage("i386-pc", prefix, "", "biosdisk", "lvm", "ext2")
    image = bios_image(random.Random(1).randbytes(before) + core + bytes(1024 * 1024))
    assert image is not None
    assert image.prefix == prefix


def test_an_efi_image_is_read_and_patched_in_place(mkimage: Mkimage) -> None:
    data = mkimage("x86_64-efi", "/boot/grub", LOAD_CFG, "part_gpt", "ext2", "search_fs_uuid")
    before = efi_image(data)
    assert before is not None
    assert before.config == LOAD_CFG
    patched = pe.patched(
        data, grub_core.EFI_SECTION, lambda part: part.replace(UUID.encode(), NEW.encode())
    )
    assert len(patched) == len(data)
    assert patched.replace(NEW.encode(), UUID.encode()) == data
    after = efi_image(patched)
    assert after is not None
    assert after.prefix == before.prefix
    assert after.config == LOAD_CFG.replace(UUID, NEW)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(1024 * 1024),
        random.Random(2).randbytes(1024 * 1024),
        b"\xea\x1c\x82\0\0\0\0\0" * 65536,
        (b"\xea\x1c\x82\0\0\0\0\0" + b"\0\1\0\0" * 2 + bytes(496)) * 2048,
        program(("mods", b"mimg\x0c\0\0\0\xff\xff\xff\x7f" * 300_000)),
        program(("mods", b"mimg\x0c\0\0\0")),
    ],
    ids=["empty", "zeros", "random", "only jumps", "plausible in every sector", "areas", "cut off"],
)
def test_other_sectors_hold_no_grub(data: bytes) -> None:
    assert bios_image(data) is None
    assert efi_image(data) is None


@pytest.mark.slow
def test_flipped_bits_never_raise(mkimage: Mkimage) -> None:
    bios = mkimage("i386-pc", "(,msdos1)/boot/grub", LOAD_CFG, "biosdisk")
    efi = mkimage("x86_64-efi", "/boot/grub", LOAD_CFG)
    chosen = random.Random(5)
    for pristine, examine in ((bios, bios_image), (efi, efi_image)):
        for _ in range(100):
            damaged = bytearray(pristine)
            for _ in range(chosen.choice([1, 20])):
                damaged[chosen.randrange(len(damaged))] ^= 1 << chosen.randrange(8)
            examine(bytes(damaged))
