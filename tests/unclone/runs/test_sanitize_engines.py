"""A run in which the direct engine fails in the middle: the default goes on with another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import kills
from tests.support.disks import Part, make_disk
from unclone.images.errors import EngineError
from unclone.runs.request import Request
from unclone.runs.sanitize import sanitize

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["direct", "auto"])
def test_a_crash_of_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """Once more with every check; the default then goes on, and says so in one line."""
    (tmp_path / "no-appliance").mkdir()
    monkeypatch.setenv("LIBGUESTFS_PATH", str(tmp_path / "no-appliance"))
    image = kills.copied(kills.golden(tmp_path / "disk.qcow2"), tmp_path / "images")
    saboteur = kills.Breaker("ext.worker", times=1)
    report = sanitize(Request(image, engine=engine), saboteur)
    assert report.engine == "direct"
    (said,) = saboteur.said
    assert "ended by signal 11" in said
    assert "once more, after a check of the file systems" in said
    assert kills.identity(image) == "new"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["appliance", "auto"])
def test_a_crash_of_the_virtual_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """Once more with every check; the default then turns to libguestfs, which is not there."""
    (tmp_path / "no-appliance").mkdir()
    monkeypatch.setenv("LIBGUESTFS_PATH", str(tmp_path / "no-appliance"))
    golden = make_disk(tmp_path / "disk.qcow2", [Part("xfs", tree=kills.TREE)], form="qcow2")
    image = kills.copied(golden, tmp_path / "images")
    before = image.read_bytes()
    breaker = kills.Breaker("qemu-system")
    with pytest.raises(EngineError):
        sanitize(Request(image, engine=engine), breaker)
    said = [line for line in breaker.said if "once more" in line]
    assert "the virtual machine ended (-11)" in said[0]
    assert said[0].endswith("once more, after a check of the file systems")
    assert [line.endswith("; once more, with libguestfs") for line in said[1:]] == (
        [True] if engine == "auto" else []
    )
    assert image.read_bytes() == before
    assert [each.name for each in image.parent.iterdir()] == [image.name]


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "lines"), [("direct", 1), ("auto", 2)])
def test_it_crashes_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, lines: int
) -> None:
    (tmp_path / "no-appliance").mkdir()
    monkeypatch.setenv("LIBGUESTFS_PATH", str(tmp_path / "no-appliance"))
    image = kills.copied(kills.golden(tmp_path / "disk.qcow2"), tmp_path / "images")
    vandal = kills.Breaker("ext.worker")
    with pytest.raises(EngineError):
        sanitize(Request(image, engine=engine), vandal)
    # The other engine may add that there is no KVM.
    said = [line for line in vandal.said if "once more" in line]
    assert len(said) == lines
    if engine == "auto":
        assert said[1].endswith(
            "ended by signal 11 in the middle of its work; once more, in a virtual machine"
        )
    assert kills.identity(image) == "old"
    assert [each.name for each in image.parent.iterdir()] == [image.name]


@pytest.mark.appliance
@pytest.mark.timeout(600)
def test_another_engine_completes_what_crashes_each_time(tmp_path: Path) -> None:
    image = kills.copied(kills.golden(tmp_path / "disk.qcow2"), tmp_path / "images")
    vandal = kills.Breaker("ext.worker")
    report = sanitize(Request(image, engine="auto"), vandal)
    assert report.engine == "guestfs"
    said = [line for line in vandal.said if "once more" in line]
    assert len(said) == 2
    assert said[1].endswith("once more, in a virtual machine")
    assert kills.identity(image) == "new"
    assert [each.name for each in image.parent.iterdir()] == [image.name]


@pytest.mark.appliance
@pytest.mark.timeout(600)
def test_another_engine_completes_what_the_direct_one_does_not_know(tmp_path: Path) -> None:
    """A file system with a feature that libext2fs would not keep correct: quotas."""
    part = Part("ext4", tree=kills.TREE, options=("-O", "quota"))
    golden = make_disk(tmp_path / "disk.qcow2", [part], form="qcow2")
    image = kills.copied(golden, tmp_path / "images")
    listener = kills.Breaker("ext.worker", times=1)
    report = sanitize(Request(image, engine="auto"), listener)
    assert report.engine == "guestfs"
    (said,) = [line for line in listener.said if "starting a virtual machine" in line]
    assert "quota" in said
    assert kills.identity(image) == "new"
    assert [each.name for each in image.parent.iterdir()] == [image.name]
