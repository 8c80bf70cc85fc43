"""``write``: an existing file in place, a missing one new."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.tree import guest_at, plant
from unclone.sanitize.actions.write import Write
from unclone.sanitize.change import Change

if TYPE_CHECKING:
    from pathlib import Path


def change(target: str, **details: Any) -> Change:
    return Change("step", "write", target, "why", details=details)


def test_an_existing_file_keeps_inode_and_mode(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/f": "a long old content\n"})
    path = tmp_path / "etc/f"
    path.chmod(0o640)
    before = path.stat()
    guest, wanted = guest_at(tmp_path), change("/etc/f", text="new\n", mode=0o444, like="/etc")
    assert "does not hold" in Write().verify(guest, wanted, "")
    Write().apply(guest, wanted)
    assert Write().verify(guest, wanted, "") == ""
    assert path.read_bytes() == b"new\n"
    assert (path.stat().st_ino, path.stat().st_mode) == (before.st_ino, before.st_mode)


def test_a_missing_file_is_made_with_its_folders(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc": None})
    guest, wanted = guest_at(tmp_path), change("/etc/a/b/f", text="x", mode=0o444, like="/etc")
    assert "is not there" in Write().verify(guest, wanted, "")
    Write().apply(guest, wanted)
    Write().apply(guest, wanted)
    assert Write().verify(guest, wanted, "") == ""
    assert (tmp_path / "etc/a/b/f").stat().st_mode & 0o777 == 0o444


def test_a_link_is_followed_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/f": "-> ../var/g", "/var/g": "old"})
    guest = guest_at(tmp_path)
    Write().apply(guest, change("/etc/f", text="one"))
    assert (tmp_path / "var/g").read_text() == "one"
    replace = change("/etc/f", text="two", instead_of_link=True)
    assert "is still a symlink" in Write().verify(guest, replace, "")
    Write().apply(guest, replace)
    assert Write().verify(guest, replace, "") == ""
    assert not (tmp_path / "etc/f").is_symlink()
    assert (tmp_path / "var/g").read_text() == "one"


@pytest.mark.parametrize("content", ["new\nmore", "ne", "", "NEW\n"])
def test_verify_notices_any_other_content(tmp_path: Path, content: str) -> None:
    plant(tmp_path, {"/f": content})
    assert Write().verify(guest_at(tmp_path), change("/f", text="new\n"), "")


def test_bytes_survive_the_plan(tmp_path: Path) -> None:
    guest, wanted = guest_at(tmp_path), change("/f", text="\udcff\udc80é\n")
    Write().apply(guest, wanted)
    assert (tmp_path / "f").read_bytes() == b"\xff\x80\xc3\xa9\n"
