"""A part of an old identifier in a file that the boot reads is residue, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tree import guest_at, plant
from unclone.sanitize.change import Retired
from unclone.sanitize.residue import find_residue

if TYPE_CHECKING:
    from pathlib import Path

UUID = "6f1a2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b"
RETIRED = (
    Retired("file-system-uuids", "file-system-uuid", UUID),
    Retired("file-system-uuids", "vfat-serial", "7C3E-A91B"),
)


def scan(folder: Path) -> list[tuple[str, int, bool]]:
    found = find_residue(guest_at(folder), RETIRED)
    return [(each.path, each.line, each.read_at_boot) for each in found]


GRUB, RULES = "/boot/grub/grub.cfg", "/etc/udev/rules.d/99-disk.rules"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (GRUB, "set a=6f1a2b3c-4d5e; set b=-4f60-8a7b-9c0d1e2f3a4b; search --fs-uuid ${a}${b}"),
        (GRUB, "set a=6f1a2b3c-4d5e-4f60-8a\nset b=7b-9c0d1e2f3a4b"),
        (GRUB, "search --fs-uuid 6f1a2b3c-4d5e'-4f60-8a7b-9c0d1e2f3a4b'"),
        (GRUB, f"search --fs-uuid {UUID[:12].upper()}{UUID[12:]}"),
        (GRUB, f"search --fs-uuid {UUID.title()}"),
        ("/etc/fstab", f"UUID={UUID[:3].upper()}{UUID[3:]} / ext4"),
        ("/etc/grub.d/40_custom", 'echo "search ${x:-6f1a2b3c}"'),
        ("/etc/kernel/cmdline.d/a.conf", "root=UUID=6f1a2b3c-4d5e"),
        (RULES, 'ENV{ID_FS_UUID}=="6f1a2b3c-*", SYMLINK+="r"'),
        (RULES, 'ENV{ID_FS_UUID}=="6f1a2b*", SYMLINK+="r"'),
        (RULES, 'ENV{ID_FS_UUID}=="?f1a2b3c-4d5e-*", SYMLINK+="r"'),
        (RULES, 'ENV{ID_FS_UUID}=="x|[67]f1a2*", SYMLINK+="r"'),
        (RULES, 'SYMLINK=="disk/by-uuid/6F1A*", RUN+="x"'),
        (RULES, 'ENV{ID_FS_UUID}=="7C3E-*", SYMLINK+="esp"'),
    ],
)
def test_a_part_that_the_boot_reads_is_residue(tmp_path: Path, path: str, text: str) -> None:
    plant(tmp_path, {path: f"# a comment\n{text}\n"})
    first, *_ = scan(tmp_path)
    assert first == (path, 2, True)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (GRUB, "search --fs-uuid 6f1a2b3c-4d5e-4f60-8a7b-000000000000"),
        (GRUB, r"search --fs-uuid 00000000\x2d4d5e\x2d4f60\x2d8a7b\x2d9c0d1e2f3a4b"),
        (GRUB, "linux /vmlinuz hash=6f1a2b3c4d5e4f608a7b"),
        (GRUB, "# was 6f1a2b3c-4d5e"),
        ("/etc/app/a.conf", "id = 6f1a2b3c"),
        (RULES, 'KERNEL=="sd*", ENV{ID_FS_UUID}=="?*", ENV{ID_FS_TYPE}=="ext*|*swap*"'),
        (RULES, 'ENV{ID_FS_UUID}=="6f1a2b3d-*", ENV{ID_FS_UUID}=="*-*-*-*-*"'),
        (RULES, '# ENV{ID_FS_UUID}=="6f1a2b3c-*"'),
    ],
)
def test_what_is_no_part_of_one_is_none(tmp_path: Path, path: str, text: str) -> None:
    plant(tmp_path, {path: f"{text}\n"})
    assert scan(tmp_path) == []


@pytest.mark.parametrize(
    "files",
    [
        {GRUB: "set a=6f1a2b\nset b=3c-4d5e-4f60-8a7b-9c0d1e\nset c=2f3a4b\nsearch $a${b}$c"},
        {GRUB: "a=6f1a; b=2b3c-4d5e-4f60-8a7b-9c0d1e2f3a; search --fs-uuid ${a}'$b'\"4b\""},
        {GRUB: "set a=6f1a\nset b=${a}2b3c-4d5e-4f60-8a7b-9c0d1e2f3a\nsearch --fs-uuid ${b}4b"},
        {GRUB: "set a=0000\nset a=7c3e\nsearch --fs-uuid --set=root $a-A91B"},
        {GRUB: "search --fs-uuid $a$b", "/boot/grub/grubenv": "# GRUB\na=7C3E-\nb=A91B\n####"},
        {"/etc/default/grub": "S=7C3E\n", "/etc/default/grub.d/x.cfg": 'X="UUID=${S}-A91B ro"'},
        {"/etc/default/grub": "S=7C3E\nS+=-A91B\nX=UUID=$S"},
        {"/etc/default/grub": "X=UUID=${S:-7C3E}-A91B"},
        {GRUB: "search --fs-uuid 6f1a2\\\nb3c-4d5e-4f60-8a7b-9c0d1e2\\\nf3a4b"},
        {GRUB: "search --fs-uuid 7C3E-\\\nA91B"},
        {GRUB: "search --fs-uuid '7c3e'-\"a91b\""},
        {
            "/boot/loader/entries/a.conf": "options systemd.set_credential_binary=fstab.extra:"
            "VVVJRD03QzNFLUE5MUIgL3gK"
        },
        {"/boot/boot.cmd": "setenv a 7C3E-\nsetenv bootargs root=UUID=${a}A91B"},
    ],
)
def test_what_is_put_together_is_residue(tmp_path: Path, files: dict[str, str]) -> None:
    """No line has a group of the identifier that would be looked for by itself."""
    plant(tmp_path, files)
    assert [(path, at_boot) for path, _, at_boot in scan(tmp_path)] == [
        (max(files, key=lambda path: "$" in files[path]), True)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "set a=7C3E\nset b=A91B\necho $a $b $a:$b",
        "set a=7C3E\necho $ab-A91B ${x}-A91B",
        "# '7C3E'-A91B\necho 7C3E\\\n A91B\nset_credential_binary=x:AAAAA",
        "set a=$b$b$b\nset b=$a$a$a\necho $a-A91B",
        "".join(
            f"set a={n:04}$a$b$c\nset b={n:04}$c$a\nset c=$a$a\necho $a$b{n}\n" for n in range(60)
        ),
    ],
    ids=["apart", "others", "comment", "circle", "many"],
)
def test_other_parts_make_up_none(tmp_path: Path, text: str) -> None:
    plant(tmp_path, {GRUB: text})
    assert scan(tmp_path) == []


def test_a_uuid_of_zeros_has_no_parts(tmp_path: Path) -> None:
    plant(tmp_path, {GRUB: "set x=00000000\n"})
    zeros = Retired("s", "file-system-uuid", "00000000-0000-0000-0000-000000000000")
    assert find_residue(guest_at(tmp_path), [zeros]) == []
