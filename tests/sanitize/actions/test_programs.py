"""``correct-initrd``, ``patch-efi-program``, ``rewrite-uimage``: what is left undone is noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.boot_images import uboot_image, unified_kernel
from tests.support.identified import ROOT
from tests.support.initrds import archive, compress
from tests.support.tree import guest_at, plant
from unclone.images.errors import RefusedError
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.actions.replace_identifiers import as_details
from unclone.sanitize.boot.compression import Compression
from unclone.sanitize.change import Change

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def an_initrd(folder: Path) -> bytes:
    plant(folder / "tree", {"/conf/conf.d/resume": f"RESUME=UUID={ROOT.old}\n"})
    return compress(Compression.GZIP, archive(folder / "tree"))


def a_kernel(folder: Path) -> bytes:
    return unified_kernel(folder, {".cmdline": f"root=UUID={ROOT.old}\0".encode()})


def a_script(folder: Path) -> bytes:
    return uboot_image(folder, "script", f"root=UUID={ROOT.old}\n".encode())


MADE = {
    "correct-initrd": an_initrd,
    "patch-efi-program": a_kernel,
    "rewrite-uimage": a_script,
}


def change(action: str) -> Change:
    return Change("s", action, "/boot/f", "why", details=as_details([ROOT]))


@pytest.mark.parametrize(("action", "make"), MADE.items(), ids=list(MADE))
def test_done_and_noticed_when_not(
    tmp_path: Path, action: str, make: Callable[[Path], bytes]
) -> None:
    plant(tmp_path / "guest", {"/boot/f": make(tmp_path)})
    guest = guest_at(tmp_path / "guest")
    assert ACTIONS[action].verify(guest, change(action), "") != ""
    ACTIONS[action].apply(guest, change(action))
    assert ACTIONS[action].verify(guest, change(action), "") == ""
    once = guest.read("/boot/f")
    ACTIONS[action].apply(guest, change(action))
    assert guest.read("/boot/f") == once


@pytest.mark.parametrize("action", MADE)
def test_what_is_gone_is_no_failure(tmp_path: Path, action: str) -> None:
    assert ACTIONS[action].verify(guest_at(tmp_path), change(action), "") == ""


def test_a_damaged_initrd_is_noticed(tmp_path: Path) -> None:
    content = an_initrd(tmp_path)
    plant(tmp_path / "guest", {"/boot/f": content[: len(content) // 2]})
    told = ACTIONS["correct-initrd"].verify(
        guest_at(tmp_path / "guest"), change("correct-initrd"), ""
    )
    assert "cannot be read" in told


def test_a_damaged_script_is_noticed(tmp_path: Path) -> None:
    plant(tmp_path / "guest", {"/boot/f": a_script(tmp_path)[:-1] + b"!"})
    guest = guest_at(tmp_path / "guest")
    told = ACTIONS["rewrite-uimage"].verify(guest, change("rewrite-uimage"), "")
    assert "not an image that U-Boot accepts" in told


@pytest.mark.parametrize("action", ["patch-efi-program", "rewrite-uimage"])
def test_anything_else_is_refused(tmp_path: Path, action: str) -> None:
    plant(tmp_path, {"/boot/f": "text"})
    with pytest.raises(RefusedError):
        ACTIONS[action].apply(guest_at(tmp_path), change(action))
