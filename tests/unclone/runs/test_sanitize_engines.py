"""A run in which the direct engine fails in the middle: the default goes on with another one."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support import kills
from tests.support.disks import Part, make_disk
from unclone.images.errors import EngineError
from unclone.runs.listener import NullListener
from unclone.runs.request import Request
from unclone.runs.sanitize import sanitize


class Saboteur(NullListener):
    """Crashes the ext worker of this process, once, when the changes begin; keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self._done = False

    def phase(self, name: str) -> None:
        if name == "apply" and not self._done:
            self._done = True
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            for child in map(int, children):
                if "ext.worker" in Path(f"/proc/{child}/cmdline").read_text():
                    os.kill(child, signal.SIGSEGV)

    def say(self, message: str) -> None:
        self.said.append(message)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["direct", "auto"])
def test_a_crash_of_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """Once more with every check; the default then goes on, and says so in one line."""
    (tmp_path / "no-appliance").mkdir()
    monkeypatch.setenv("LIBGUESTFS_PATH", str(tmp_path / "no-appliance"))
    image = kills.copied(kills.golden(tmp_path / "disk.qcow2"), tmp_path / "images")
    saboteur = Saboteur()
    report = sanitize(Request(image, engine=engine), saboteur)
    assert report.engine == "direct"
    (said,) = saboteur.said
    assert "ended by signal 11" in said
    assert "once more, after a check of the file systems" in said
    assert kills.identity(image) == "new"


class Breaker(NullListener):
    """Crashes the virtual machine of this process, each time when the changes begin."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def phase(self, name: str) -> None:
        if name == "apply":
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            for child in map(int, children):
                if "qemu-system" in Path(f"/proc/{child}/cmdline").read_text():
                    os.kill(child, signal.SIGSEGV)

    def say(self, message: str) -> None:
        self.said.append(message)


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
    breaker = Breaker()
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


class Vandal(Saboteur):
    """Crashes it each time."""

    def phase(self, name: str) -> None:
        self._done = False
        super().phase(name)


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "lines"), [("direct", 1), ("auto", 2)])
def test_it_crashes_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, lines: int
) -> None:
    (tmp_path / "no-appliance").mkdir()
    monkeypatch.setenv("LIBGUESTFS_PATH", str(tmp_path / "no-appliance"))
    image = kills.copied(kills.golden(tmp_path / "disk.qcow2"), tmp_path / "images")
    vandal = Vandal()
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
    vandal = Vandal()
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
    listener = Saboteur()
    report = sanitize(Request(image, engine="auto"), listener)
    assert report.engine == "guestfs"
    (said,) = [line for line in listener.said if "starting a virtual machine" in line]
    assert "quota" in said
    assert kills.identity(image) == "new"
    assert [each.name for each in image.parent.iterdir()] == [image.name]
