"""Kernel arguments are found everywhere, and edited without touching anything else."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from tests.support.families import OLD
from tests.support.pe import program
from tests.support.tree import guest_at, plant
from unclone.sanitize.boot import grubenv, pe
from unclone.sanitize.boot.kernel_arguments import (
    PLACES,
    ArgumentKind,
    arguments,
    find,
    read,
    read_uki,
    values,
    without,
)
from unclone.sanitize.files import BOOT_ROOTS

if TYPE_CHECKING:
    from pathlib import Path

K = ArgumentKind
X = f"systemd.machine_id={OLD}"
NAME = "systemd.machine_id"

CASES = {
    "grub.cfg": (
        K.GRUB_CFG,
        f"menuentry 'x' {{\n\tlinux\t/vmlinuz root=/dev/a ro  {X} quiet\n\tinitrd /i\n}}\n",
        "menuentry 'x' {\n\tlinux\t/vmlinuz root=/dev/a ro quiet\n\tinitrd /i\n}\n",
    ),
    "grub.cfg, last": (
        K.GRUB_CFG,
        f"linuxefi ($root)/vmlinuz ro {X}\nset x=1",
        "linuxefi ($root)/vmlinuz ro\nset x=1",
    ),
    "grub.cfg, quoted word": (
        K.GRUB_CFG,
        f"linux /v \"{X}\" ro '{X}'\n",
        "linux /v ro\n",
    ),
    "grub.cfg, continued": (
        K.GRUB_CFG,
        f"linux /v ro \\\n  {X} quiet\n",
        "linux /v ro \\\n quiet\n",
    ),
    "grub.cfg, variable": (
        K.GRUB_CFG,
        f'  set default_kernelopts="root=/dev/a ro {X} "\n',
        '  set default_kernelopts="root=/dev/a ro "\n',
    ),
    "grub.cfg, elsewhere": (
        K.GRUB_CFG,
        f"# {X}\necho 'linux /v {X}'\n",
        f"# {X}\necho 'linux /v {X}'\n",
    ),
    "entry": (
        K.ENTRY,
        f"title x\noptions    root=/dev/a rw {X}\nlinux /v\n",
        "title x\noptions    root=/dev/a rw\nlinux /v\n",
    ),
    "entry, CRLF": (
        K.ENTRY,
        f"title x\r\noptions {X} rw\r\nlinux /v\r\n",
        "title x\r\noptions rw\r\nlinux /v\r\n",
    ),
    "entry, alone on its line": (
        K.ENTRY,
        f"title x\noptions rw\noptions {X}\nlinux /v\n",
        "title x\noptions rw\nlinux /v\n",
    ),
    "entry, alone at the end": (K.ENTRY, f"linux /v\noptions {X}", "linux /v\n"),
    "entry, several": (K.ENTRY, f"options {X} {X} rw {X}\n", "options rw\n"),
    "entry, title": (K.ENTRY, f"title {X}\noptions rw\n", f"title {X}\noptions rw\n"),
    "template": (K.TEMPLATE, f"{X} root=/dev/a ro\n", "root=/dev/a ro\n"),
    "template, nothing else": (K.TEMPLATE, f"{X}\n", "\n"),
    "template, comment": (K.TEMPLATE, f"# {X}\nro {X}\n", f"# {X}\nro\n"),
    "template, no newline": (K.TEMPLATE, f"ro {X}", "ro"),
    "firmware": (K.FIRMWARE, f"console=tty1 {X} rootwait\n", "console=tty1 rootwait\n"),
    "assignment": (
        K.ASSIGNMENTS,
        f'# x\nGRUB_CMDLINE_LINUX="quiet {X}"\nGRUB_CMDLINE_LINUX_DEFAULT="{X}"\nOTHER="{X}"\n',
        f'# x\nGRUB_CMDLINE_LINUX="quiet"\nGRUB_CMDLINE_LINUX_DEFAULT=""\nOTHER="{X}"\n',
    ),
    "assignment, single quotes": (
        K.ASSIGNMENTS,
        f"GRUB_CMDLINE_LINUX='{X} dyndbg=\"file a +p\"'\n",
        "GRUB_CMDLINE_LINUX='dyndbg=\"file a +p\"'\n",
    ),
    "assignment, bare": (
        K.ASSIGNMENTS,
        f"GRUB_CMDLINE_LINUX={X}\nx=1\n",
        "GRUB_CMDLINE_LINUX=\nx=1\n",
    ),
    "assignment, appended, escaped": (
        K.ASSIGNMENTS,
        f'GRUB_CMDLINE_LINUX+=" a=\\"b c\\" {X}"\n',
        'GRUB_CMDLINE_LINUX+=" a=\\"b c\\""\n',
    ),
    "assignment, over lines": (
        K.ASSIGNMENTS,
        f'GRUB_CMDLINE_LINUX="ro\n {X}\n quiet"\n',
        'GRUB_CMDLINE_LINUX="ro\n\n quiet"\n',
    ),
    "alpine": (K.ASSIGNMENTS, f'default_kernel_opts="ro {X}"\n', 'default_kernel_opts="ro"\n'),
    "suse": (K.ASSIGNMENTS, f'DEFAULT_APPEND="{X} ro"\n', 'DEFAULT_APPEND="ro"\n'),
    "extlinux": (
        K.EXTLINUX,
        f"LABEL a\n  KERNEL /v\n  append root=/dev/a {X} ro\n",
        "LABEL a\n  KERNEL /v\n  append root=/dev/a ro\n",
    ),
    "grub script": (
        K.GRUB_SCRIPT,
        f"#!/bin/sh\ntail -n +3 $0\nlinux /v ro {X}\n",
        "#!/bin/sh\ntail -n +3 $0\nlinux /v ro\n",
    ),
    "refind, a quote inside": (
        K.REFIND,
        f'"a ""b""" "ro {X} c=""d e"""\n',
        '"a ""b""" "ro c=""d e"""\n',
    ),
    "refind, options": (K.REFIND, f'  options "{X} rw"\n', '  options "rw"\n'),
    "grub.cfg, another variable": (
        K.GRUB_CFG,
        f"set args=\"quiet {X}\"\nset x='{X}'\n",
        "set args=\"quiet\"\nset x=''\n",
    ),
    "grub.cfg, Xen and another loader": (
        K.GRUB_CFG,
        f"module2 /vmlinuz placeholder ro {X}\nchainloader /a.efi {X}\n",
        "module2 /vmlinuz placeholder ro\nchainloader /a.efi\n",
    ),
    "grubenv, another variable": (K.GRUBENV, f"extra=ro {X}\n", "extra=ro\n"),
    "ukify": (K.SETTINGS, f"[UKI]\nCmdline=ro {X} quiet\n", "[UKI]\nCmdline=ro quiet\n"),
    "u-boot": (K.SETTINGS, f"verbosity=1\nextraargs={X}\n", "verbosity=1\nextraargs=\n"),
    "u-boot's defaults": (
        K.ASSIGNMENTS,
        f'U_BOOT_PARAMETERS="ro {X}"\n',
        'U_BOOT_PARAMETERS="ro"\n',
    ),
    "limine": (K.LIMINE, f"/A\n  CMDLINE: ro {X}\n", "/A\n  CMDLINE: ro\n"),
    "dracut": (K.ASSIGNMENTS, f'kernel_cmdline+=" {X} "\n', 'kernel_cmdline+=" "\n'),
    "dash for underscore": (K.TEMPLATE, f"ro systemd.machine-id={OLD}\n", "ro\n"),
    "firmware as value": (
        K.TEMPLATE,
        "ro systemd.machine_id=firmware\n",
        "ro systemd.machine_id=firmware\n",
    ),
    "inside another argument": (
        K.TEMPLATE,
        f'ro foo="a {X} b" x{X}\n',
        f'ro foo="a {X} b" x{X}\n',
    ),
    "bytes that are not text": (
        K.TEMPLATE,
        f"ro \udcff\udcfe {X} \udc80\n",
        "ro \udcff\udcfe \udc80\n",
    ),
    "unpaired quote": (K.TEMPLATE, f"ro it's \"{X} {X}\n", "ro it's\n"),
}


@pytest.mark.parametrize(("kind", "before", "after"), CASES.values(), ids=CASES)
def test_an_argument_is_removed_and_nothing_else(
    kind: ArgumentKind, before: str, after: str
) -> None:
    assert without(before, kind, NAME, keep=["firmware"]) == after
    assert without(after, kind, NAME, keep=["firmware"]) == after
    assert set(values(after, kind, NAME)) <= {"firmware"}


def test_a_block_is_edited_and_keeps_its_size() -> None:
    text = f"# GRUB Environment Block\nsaved_entry={X}\nkernelopts=root=/dev/a {X} ro\n"
    text += "#" * (1024 - len(text))
    edited = grubenv.refit(without(text, K.GRUBENV, NAME), 1024)
    assert len(edited) == 1024
    assert grubenv.variables(edited) == {"saved_entry": X, "kernelopts": "root=/dev/a ro"}


def test_a_block_never_outgrows_its_size() -> None:
    with pytest.raises(OSError, match="would not fit"):
        grubenv.refit("# GRUB Environment Block\n" + "a=b\n" * 500, 1024)


def test_quotes_hold_words_together() -> None:
    line = 'linux /v root=/dev/a dyndbg="file a +p" \'a b\' c\\ d "e=f"\n'
    assert arguments(line, K.GRUB_CFG) == [
        ["root=/dev/a", "dyndbg=file a +p", "a b", "c d", "e=f"],
    ]


@pytest.mark.parametrize("kind", [k for k in K if k is not K.UKI], ids=str)
def test_every_kind_is_found_read_and_edited(tmp_path: Path, kind: ArgumentKind) -> None:
    blocks = f"# GRUB Environment Block\nkernelopts={X}\n"
    content = next((before for k, before, _ in CASES.values() if k is kind), blocks)
    paths = [p.replace("*", "name") for p in PLACES[kind]]
    plant(tmp_path, dict.fromkeys(paths, content))
    guest = guest_at(tmp_path)
    found = [file for file in find(guest) if file.kind is kind]
    assert {file.path for file in found} == set(paths)
    for file in found:
        assert set(values(read(guest, file), kind, NAME)) == {OLD}


def test_one_file_under_two_paths_counts_once(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "/etc/default/grub": "x",
            "/etc/sysconfig/grub": "-> ../default/grub",
            "/boot/efi/loader/entries/a.conf": "options rw\n",
            "/efi": "-> boot/efi",
        },
    )
    paths = [file.path for file in find(guest_at(tmp_path))]
    assert paths == ["/boot/efi/loader/entries/a.conf", "/etc/default/grub"]


def test_folders_loops_and_giants_are_passed_over(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "/boot/grub/grub.cfg/x": "linux /v ro\n",
            "/etc/kernel/cmdline": "-> cmdline",
            "/boot/cmdline.txt": "-> /etc/../../outside",
        },
    )
    giant = tmp_path / "etc/default/grub"
    giant.parent.mkdir()
    with giant.open("wb") as file:
        file.truncate(2**30)
    guest = guest_at(tmp_path)
    assert [read(guest, file) for file in find(guest)] == [""]


def uki(command_line: bytes, *, signed: bool = False, before: int = 0) -> bytes:
    """A PE32+ file with a .text and a .cmdline section, as small as the format allows."""
    optional = struct.pack("<H106xI", 0x20B, 16) + b"".join(
        struct.pack("<II", 4096, 8 if signed and n == 4 else 0) for n in range(16)
    )
    headers = 0x80 + 24 + len(optional) + 80
    offset = headers + before
    sections = struct.pack("<8sIIIIIIHHI", b".text", 0, 0, before, headers, 0, 0, 0, 0, 0)
    sections += struct.pack(
        "<8sIIIIIIHHI", b".cmdline", len(command_line), 0, 512, offset, 0, 0, 0, 0, 0
    )
    dos = b"MZ" + bytes(0x3A) + struct.pack("<I", 0x80) + bytes(0x40)
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, 2, 0, 0, 0, len(optional), 0)
    return dos + coff + optional + sections + bytes(before) + command_line.ljust(512, b"\0")


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("before", [0, 200_000], ids=["early", "behind the stub"])
def test_the_command_line_of_a_uki_is_read(tmp_path: Path, signed: bool, before: int) -> None:
    image = uki(f"root=/dev/a rw {X}".encode(), signed=signed, before=before)
    plant(tmp_path, {"/boot/efi/EFI/Linux/a.efi": image})
    guest = guest_at(tmp_path)
    inside = read_uki(guest, "/boot/efi/EFI/Linux/a.efi")
    assert inside is not None
    assert inside.signed is signed
    (file,) = find(guest)
    assert file.kind is K.UKI
    assert values(read(guest, file), K.UKI, NAME) == [OLD]


@pytest.mark.parametrize("length", range(0, 0x80 + 24 + 240 + 80, 37))
def test_a_truncated_image_is_no_image(length: int) -> None:
    assert pe.parse(uki(b"ro")[:length]) is None


def test_a_section_with_a_wrong_place_is_not_followed(tmp_path: Path) -> None:
    image = bytearray(uki(b"ro"))
    at = image.index(b".cmdline") + 20
    image[at : at + 4] = struct.pack("<I", 0xFFFFFFF0)
    plant(tmp_path, {"/efi/EFI/Linux/a.efi": bytes(image)})
    assert read_uki(guest_at(tmp_path), "/efi/EFI/Linux/a.efi") is None


def test_every_boot_root_is_searched() -> None:
    for root in BOOT_ROOTS:
        assert any(place.startswith(f"{root}/") for place in PLACES[K.ENTRY])


@pytest.mark.slow
def test_the_command_line_of_a_profile_behind_a_large_initrd_is_read(tmp_path: Path) -> None:
    data = bytearray(program((".cmdline", b"root=a"), (".cmdline", b"root=b")))
    place = 130 * 1024**2
    struct.pack_into("<I", data, 64 + 24 + 240 + 40 + 20, place)  # of the second section's bytes
    with (tmp_path / "linux.efi").open("wb") as file:
        file.write(data)
        file.seek(place)
        file.write(b"root=b")
    inside = read_uki(guest_at(tmp_path), "/linux.efi")
    assert inside is not None
    assert inside.text == "root=a\0root=b"
