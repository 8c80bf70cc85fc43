"""U-Boot's environment in a file, as mkenvimage makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.boot_images import uboot_environment
from tests.support.identified import RENEWALS, ROOT, SWAP
from tests.support.planning import context
from tests.support.tree import guest_at, plant
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.boot.uboot_environment import is_intact
from unclone.sanitize.references.uboot_environment import REFERENCE

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change

ENV = "/boot/firmware/uboot.env"
TEXT = f"bootargs=root=UUID={ROOT.old} resume=UUID={SWAP.old}\nbootdelay=2\n"
FORMS = {"one": (), "of two": ("-r",), "big-endian": ("-b",), "big-endian, of two": ("-b", "-r")}


def followed(guest: Guest) -> tuple[Change, ...]:
    decided = context(guest, renewals=RENEWALS)
    assert REFERENCE.blockers(decided) == ()
    changes = REFERENCE.plan(decided).changes
    for change in changes:
        ACTIONS[change.action].apply(guest, change)
        assert ACTIONS[change.action].verify(guest, change, "") == ""
    assert REFERENCE.plan(decided).changes == ()
    return changes


def as_new(text: str) -> str:
    return text.replace(ROOT.old, ROOT.new).replace(SWAP.old, SWAP.new)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_it_is_what_mkenvimage_makes_of_the_new_text(tmp_path: Path, form: tuple[str, ...]) -> None:
    plant(tmp_path / "guest", {ENV: uboot_environment(tmp_path, TEXT, 0x4000, *form)})
    guest = guest_at(tmp_path / "guest")
    assert [change.target for change in followed(guest)] == [ENV]
    assert guest.read(ENV) == uboot_environment(tmp_path, as_new(TEXT), 0x4000, *form)


def test_two_in_one_file_as_fw_env_config_says(tmp_path: Path) -> None:
    first = uboot_environment(tmp_path, TEXT, 0x1000, "-r")
    second = uboot_environment(tmp_path, f"x={SWAP.old}\n", 0x1000, "-r")
    config = "# where\n/boot/env.bin\t0x0000\t0x1000\n/boot/env.bin 4096 4096\n"
    plant(tmp_path / "guest", {"/boot/env.bin": first + second, "/etc/fw_env.config": config})
    guest = guest_at(tmp_path / "guest")
    assert [change.target for change in followed(guest)] == ["/boot/env.bin"]
    after = guest.read("/boot/env.bin")
    assert after[:0x1000] == uboot_environment(tmp_path, as_new(TEXT), 0x1000, "-r")
    assert is_intact(after[0x1000:])


def test_a_link_to_it_is_followed(tmp_path: Path) -> None:
    made = uboot_environment(tmp_path, TEXT, 0x1000)
    plant(tmp_path / "guest", {"/boot/uboot.env": "-> ../srv/env", "/srv/env": made})
    assert [c.target for c in followed(guest_at(tmp_path / "guest"))] == ["/srv/env"]


@pytest.mark.parametrize("rest", [b"", b"\0" * 100 + ROOT.old.encode()], ids=["itself", "behind"])
def test_one_that_is_damaged_keeps_what_it_refers_to(tmp_path: Path, rest: bytes) -> None:
    made = uboot_environment(tmp_path, TEXT, 0x1000)
    content = made + rest if rest else made[:-1] + b"!"
    files: dict[str, str | bytes | None] = {"/boot/uboot.env": content}
    if rest:
        files["/etc/fw_env.config"] = "/boot/uboot.env 0 0x1000\n"
    plant(tmp_path, files)
    found = REFERENCE.blockers(context(guest_at(tmp_path), renewals=RENEWALS))
    assert {blocker.renewal for blocker in found} == {ROOT, SWAP}
    assert all("checksum" in b.why and "fw_setenv" in b.lift for b in found)


def test_a_wrong_checksum_is_noticed(tmp_path: Path) -> None:
    plant(tmp_path / "guest", {ENV: uboot_environment(tmp_path, TEXT, 0x1000)})
    guest = guest_at(tmp_path / "guest")
    (change,) = followed_plan(guest)
    text = guest.read(ENV).replace(ROOT.old.encode(), ROOT.new.encode())
    guest.write(ENV, text.replace(SWAP.old.encode(), SWAP.new.encode()))
    assert "not an environment" in ACTIONS[change.action].verify(guest, change, "")


def followed_plan(guest: Guest) -> tuple[Change, ...]:
    return REFERENCE.plan(context(guest, renewals=RENEWALS)).changes


def test_one_outside_of_all_files_is_named(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/fw_env.config": "/dev/mmcblk0 0x88000 0x20000\n/dev/mtd1 0 0x1000\n"})
    (note,) = REFERENCE.plan(context(guest_at(tmp_path), renewals=RENEWALS)).notes
    assert "/dev/mmcblk0 (/etc/fw_env.config) is not looked at" in note.text


@pytest.mark.parametrize("content", [b"", b"abcd", b"abcde", b"\0" * 4096], ids=len)
def test_what_is_none_is_left_alone(tmp_path: Path, content: bytes) -> None:
    plant(tmp_path, {"/boot/uboot.env": content})
    assert followed(guest_at(tmp_path)) == ()
