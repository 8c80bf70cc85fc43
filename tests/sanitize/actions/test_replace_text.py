"""``replace-text`` and ``remove-kernel-argument``: exact edits that leave every other byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.families import grubenv
from tests.support.tree import guest_at, plant
from unclone.images.guest import READ_LIMIT
from unclone.sanitize.actions.remove_kernel_argument import RemoveKernelArgument
from unclone.sanitize.actions.replace_text import ReplaceText, replaced
from unclone.sanitize.change import Change

if TYPE_CHECKING:
    from pathlib import Path


def swap(*pairs: tuple[str, str, int], **details: Any) -> Change:
    found = [{"old": old, "new": new, "count": count} for old, new, count in pairs]
    return Change("s", "replace-text", "/f", "why", details={"replacements": found, **details})


CASES: dict[str, tuple[bytes, tuple[tuple[str, str, int], ...], bytes]] = {
    "several": (b"a OLD b OLD\r\n", (("OLD", "n", 2),), b"a n b n\r\n"),
    "removal": (b"x\nmachine-id OLD\ny", (("machine-id OLD\n", "", 1),), b"x\ny"),
    "longest first": (
        b"OLD OLD-1",
        (("OLD", "n", 1), ("OLD-1", "m-1", 1)),
        b"n m-1",
    ),
    "swapped": (b"a b a", (("a", "b", 2), ("b", "a", 1)), b"b a b"),
    "bytes": (b"\xff OLD \x80\0", (("OLD", "new", 1),), b"\xff new \x80\0"),
}


@pytest.mark.parametrize(("before", "pairs", "after"), CASES.values(), ids=CASES)
def test_replacing(
    tmp_path: Path, before: bytes, pairs: tuple[tuple[str, str, int], ...], after: bytes
) -> None:
    plant(tmp_path, {"/f": before})
    guest = guest_at(tmp_path)
    ReplaceText().apply(guest, swap(*pairs))
    assert (tmp_path / "f").read_bytes() == after


@pytest.mark.parametrize("name", [name for name in CASES if name != "swapped"])
def test_verify_says_when_it_is_done(tmp_path: Path, name: str) -> None:
    before, pairs, after = CASES[name]
    plant(tmp_path, {"/f": before})
    guest = guest_at(tmp_path)
    assert "/f still has" in ReplaceText().verify(guest, swap(*pairs), "")
    ReplaceText().apply(guest, swap(*pairs))
    assert ReplaceText().verify(guest, swap(*pairs), "") == ""
    ReplaceText().apply(guest, swap(*pairs))
    assert (tmp_path / "f").read_bytes() == after


def test_verify_misses_what_should_have_come(tmp_path: Path) -> None:
    plant(tmp_path, {"/f": "new\n"})
    wanted = swap(("OLD", "new", 2))
    assert ReplaceText().verify(guest_at(tmp_path), wanted, "") == "/f lacks new"


def test_what_was_put_in_is_not_replaced_again() -> None:
    assert replaced("ab", [{"old": "a", "new": "aa", "count": 1}]) == "aab"


@pytest.mark.parametrize("new", ["x", "a-much-longer-name"])
def test_a_block_keeps_its_size(tmp_path: Path, new: str) -> None:
    plant(tmp_path, {"/f": grubenv(saved_entry="OLD-1")})
    ReplaceText().apply(guest_at(tmp_path), swap(("OLD-1", f"{new}-1", 1), block=True))
    assert (tmp_path / "f").read_text() == grubenv(saved_entry=f"{new}-1")


def test_a_full_block_is_left_as_it_was(tmp_path: Path) -> None:
    full = grubenv(saved_entry="OLD", x="y" * 970)
    plant(tmp_path, {"/f": full})
    with pytest.raises(OSError, match="would not fit"):
        ReplaceText().apply(guest_at(tmp_path), swap(("OLD", "n" * 64, 1), block=True))
    assert (tmp_path / "f").read_text() == full


def test_a_file_too_large_to_read_whole_is_not_cut_short(tmp_path: Path) -> None:
    with (tmp_path / "f").open("wb") as file:
        file.truncate(READ_LIMIT + 1)
    with pytest.raises(OSError, match="too large"):
        ReplaceText().apply(guest_at(tmp_path), swap(("OLD", "new", 1)))
    assert (tmp_path / "f").stat().st_size == READ_LIMIT + 1


def drop(**details: Any) -> Change:
    given = {"kind": "template", "name": "a.b", "keep": [], **details}
    return Change("s", "remove-kernel-argument", "/f", "why", details=given)


def test_removing_a_kernel_argument(tmp_path: Path) -> None:
    plant(tmp_path, {"/f": "ro a.b=1 quiet a.b=keep\n"})
    guest, wanted = guest_at(tmp_path), drop(keep=["keep"])
    assert RemoveKernelArgument().verify(guest, wanted, "") == "/f still has a.b="
    RemoveKernelArgument().apply(guest, wanted)
    assert (tmp_path / "f").read_text() == "ro quiet a.b=keep\n"
    assert RemoveKernelArgument().verify(guest, wanted, "") == ""
    RemoveKernelArgument().apply(guest, wanted)
    assert (tmp_path / "f").read_text() == "ro quiet a.b=keep\n"


def test_it_is_verified_under_the_name_it_gets_later(tmp_path: Path) -> None:
    plant(tmp_path, {"/new": "ro a.b=1\n"})
    guest, wanted = guest_at(tmp_path), drop(later="/new")
    assert RemoveKernelArgument().verify(guest, wanted, "") == "/new still has a.b="


def test_in_a_block_the_size_stays(tmp_path: Path) -> None:
    plant(tmp_path, {"/f": grubenv(kernelopts="ro a.b=1 quiet")})
    RemoveKernelArgument().apply(guest_at(tmp_path), drop(kind="grubenv"))
    assert (tmp_path / "f").read_text() == grubenv(kernelopts="ro quiet")
