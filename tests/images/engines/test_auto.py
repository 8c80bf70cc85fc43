"""What the default engine does where the direct engine lacks something on this host."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.disks import BARE_ROOT, Part, make_disk
from unclone.images import process
from unclone.images.engines.auto import AutoEngine, _asked_once
from unclone.images.engines.direct.engine import BeyondReachError
from unclone.images.engines.engine import Drive, no_keys
from unclone.images.errors import EngineError
from unclone.images.opening import select_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def no_appliance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one, the other engine says so at once."""
    empty = tmp_path / "no-appliance"
    empty.mkdir()
    monkeypatch.setenv("LIBGUESTFS_PATH", str(empty))


def hide(program: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave only links to the other programs, in *folder*, on the PATH."""
    folder.mkdir()
    for name in ("env", "qemu-img", "qemu-nbd", "setpriv", "e2fsck", "stat"):
        path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        assert path is not None
        if name != program:
            (folder / name).symlink_to(path)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(process, "SYSTEM_FOLDERS", ())


def failures(disk: Path, form: str) -> tuple[str, str, list[str]]:
    """What the direct and the default engine end with, and what the latter says before."""
    said: list[str] = []
    ended = []
    for name, kind in (("direct", BeyondReachError), ("auto", EngineError)):
        opening = select_engine(name).open(
            [Drive(disk, form)], keys=no_keys, read_only=False, say=said.append
        )
        with pytest.raises(kind) as raised, opening:
            pass
        ended.append(f"{raised.value.message} ({raised.value.hint})")
    return ended[0], ended[1], said


@pytest.mark.slow
@pytest.mark.parametrize(("program", "form"), [("e2fsck", "raw"), ("qemu-nbd", "vmdk")])
def test_a_program_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, form: str
) -> None:
    disk = make_disk(tmp_path / f"disk.{form}", [Part("ext4", BARE_ROOT)], form=form)
    hide(program, tmp_path / "bin", monkeypatch)
    direct, auto, said = failures(disk, form)
    assert f"the direct engine does not work here: {program} is not installed" in direct
    assert "apt-get install" in direct
    assert f"starting a virtual machine: the direct engine does not work here: {program}" in said[0]
    assert f"{program} is not installed" in auto  # as the reason for a virtual machine
    assert "damaged" not in direct + auto


@pytest.mark.slow
def test_without_libext2fs_nothing_is_said_of_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = make_disk(tmp_path / "disk", [Part("ext4", BARE_ROOT)])
    broken = tmp_path / "lib"
    broken.mkdir()
    (broken / "libext2fs.so.2").touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", str(broken))
    direct, auto, said = failures(disk, "raw")
    assert "libext2fs cannot be loaded" in direct
    assert "libext2fs cannot be loaded" in said[0]
    assert "libext2fs cannot be loaded" in auto
    assert "damaged" not in direct + auto


def test_without_a_place_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = make_disk(tmp_path / "disk", [Part("ext4", BARE_ROOT)])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    direct, auto, said = failures(disk, "raw")
    assert "cannot make a temporary folder" in direct
    assert "cannot make a temporary folder" in said[0]
    assert "damaged" not in direct + auto


def test_each_engine_that_is_not_taken_says_why(tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "disk", [Part("ext4", BARE_ROOT), Part("f2fs")])
    direct, auto, said = failures(disk, "raw")
    reason = "/dev/sda2 holds f2fs, which only a kernel can open"
    assert f"the direct engine cannot open this guest: {reason}" in direct
    assert said[:2] == [
        f"starting a virtual machine: the direct engine cannot open this guest: {reason}",
        f"starting libguestfs: the appliance engine cannot open this guest: {reason}",
    ]
    assert f"needed because the direct engine cannot open this guest: {reason}; the appliance" in (
        auto
    )


def test_without_qemu_libguestfs_is_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other engine is not known to lack it, too."""
    disk = make_disk(tmp_path / "disk", [Part("xfs", BARE_ROOT)])
    hide("", tmp_path / "bin", monkeypatch)
    for name in ("xfs_repair", "xfs_admin"):
        found = shutil.which(name, path=f"{os.defpath}:/usr/sbin:/sbin")
        assert found is not None
        (tmp_path / "bin" / name).symlink_to(found)
    _, auto, said = failures(disk, "raw")
    assert "xfs, which only a kernel can open" in said[0]
    lacks = "the appliance engine does not work here: qemu-system-x86_64 is not installed"
    assert said[1] == f"starting libguestfs: {lacks}"
    assert lacks in auto


@pytest.mark.slow
def test_a_guest_on_xfs_needs_no_libguestfs(tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "disk", [Part("xfs", BARE_ROOT)])
    said: list[str] = []
    opening = AutoEngine().open([Drive(disk, "raw")], keys=no_keys, read_only=True, say=said.append)
    with opening as volumes:
        volumes.mount("/dev/sda1", "/", subvolume="", read_only=True)
        assert volumes.read("/etc/hostname", 100) == b"template\n"
        assert volumes.engine == "appliance"
    assert said[0].startswith("starting a virtual machine: the direct engine cannot open")


def test_a_key_is_asked_for_once() -> None:
    """The second engine is given what the first was, and asks for what that did not need."""
    asked = []

    def keys(container: str) -> Iterator[bytes]:
        for number in range(3):
            asked.append(f"{container} {number}")
            yield b"%d" % number

    given = _asked_once(keys)
    first = iter(given("/dev/sda1"))
    assert [next(first), next(first)] == [b"0", b"1"]
    assert list(given("/dev/sda1")) == [b"0", b"1", b"2"]
    assert list(given("/dev/sda2")) == [b"0", b"1", b"2"]
    assert asked == [f"/dev/sda{disk} {number}" for disk in (1, 2) for number in range(3)]
