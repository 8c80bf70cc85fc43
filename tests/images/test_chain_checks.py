"""QEMU checks the backing file of linked clones once, and again when it is another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.disk_images import make, overlay_on
from unclone.images import qemu_img
from unclone.images.errors import RefusedError
from unclone.images.transaction import Disk, ReadOnly

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.images.image import Image


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the images that QEMU has checked."""
    names: list[str] = []
    real = qemu_img.require_sound

    def require_sound(image: Image, *, locked: bool) -> None:
        names.append(image.path.name)
        real(image, locked=locked)

    monkeypatch.setattr("unclone.images.qemu_img.require_sound", require_sound)
    return names


def read(image: Path) -> None:
    with ReadOnly([Disk(image)]):
        pass


@pytest.mark.slow
def test_a_backing_file_is_checked_once(
    tmp_path: Path, checked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unclone.images.files.SETTLED", 0)
    base = make(tmp_path / "base.qcow2")
    clones = [overlay_on(tmp_path / f"{name}.qcow2", base) for name in "abc"]
    read(clones[0])
    read(clones[1])
    assert sorted(checked) == ["a.qcow2", "b.qcow2", "base.qcow2"]
    read(clones[1])
    assert checked.count("b.qcow2") == 2
    with base.open("r+b") as file:
        file.truncate(base.stat().st_size - 65536)
    with pytest.raises(RefusedError, match=r"base\.qcow2 is damaged"):
        read(clones[2])


@pytest.mark.slow
def test_a_backing_file_that_was_just_written_is_checked_again(
    tmp_path: Path, checked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unclone.images.files.SETTLED", 24 * 3600 * 1_000_000_000)
    base = make(tmp_path / "base.qcow2")
    clones = [overlay_on(tmp_path / f"{name}.qcow2", base) for name in "ab"]
    for clone in clones:
        read(clone)
    assert checked.count("base.qcow2") == 2
