"""Runs that only read, and an engine that fails meanwhile: the default goes on with another."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support import kills
from tests.support.disks import Part, make_disk
from unclone.images.engines.appliance import volumes
from unclone.images.engines.appliance.volumes import ApplianceVolumes
from unclone.images.engines.direct.volumes import DirectVolumes
from unclone.images.errors import EngineError, UncloneError
from unclone.runs.audit.reading import read_disks
from unclone.runs.inspect import inspect
from unclone.runs.listener import Listener, PhaseTimer
from unclone.runs.request import Request
from unclone.runs.sanitize import sanitize

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[[Path, str, Listener], object]


def inspected(image: Path, engine: str, listener: Listener) -> str:
    return inspect(Request(image, engine=engine), listener).engine


def audited(image: Path, engine: str, listener: Listener) -> list[str]:
    found = read_disks(Request(image, engine=engine), PhaseTimer(listener))
    for _, error in found.errors:
        raise error
    return [*{value.value for value in found.values if value.kind == "machine-id"}]


def rehearsed(image: Path, engine: str, listener: Listener) -> str:
    return sanitize(Request(image, engine=engine, dry_run=True), listener).engine


@pytest.fixture(autouse=True)
def not_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a log that is not empty: what is at rest needs no machine to be read."""
    monkeypatch.setattr(volumes, "is_at_rest", lambda *_: False)


RUNS = pytest.mark.parametrize("run", [inspected, audited, rehearsed])


def guest(folder: Path, kind: str) -> Path:
    return make_disk(folder / "disk.qcow2", [Part(kind, tree=kills.TREE)], form="qcow2")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["appliance", "auto"])
@pytest.mark.parametrize(
    ("kind", "program", "how"),
    [("ext4", "ext.worker", "in a virtual machine"), ("xfs", "qemu-system", "with libguestfs")],
)
@RUNS
def test_a_crash_is_told_and_the_default_turns_to_libguestfs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
    kind: str,
    program: str,
    how: str,
    engine: str,
) -> None:
    """Which is not there."""
    (tmp_path / "no-appliance").mkdir()
    monkeypatch.setenv("LIBGUESTFS_PATH", str(tmp_path / "no-appliance"))
    image = guest(tmp_path, kind)
    before = image.read_bytes()
    breaker = kills.Breaker(program, "plan")
    with pytest.raises(UncloneError) as caught:
        run(image, engine, breaker)
    assert isinstance(caught.value, EngineError)
    said = [line for line in breaker.said if line.endswith(f"once more, {how}")]
    assert len(said) == (engine == "auto")
    assert image.read_bytes() == before
    assert [each.name for each in image.parent.iterdir() if each.is_file()] == [image.name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "engine"),
    [("ext4", "direct"), ("ext4", "auto"), ("xfs", "appliance"), ("xfs", "auto")],
)
def test_a_crash_while_the_guest_is_looked_for_is_no_fault_of_the_guest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, engine: str
) -> None:
    """Nothing can be mounted any more, as where a file system is damaged."""
    (tmp_path / "no-appliance").mkdir()
    monkeypatch.setenv("LIBGUESTFS_PATH", str(tmp_path / "no-appliance"))
    start, beyond_reach = ApplianceVolumes.start, DirectVolumes.beyond_reach

    def crash_machine(opened: ApplianceVolumes) -> None:
        start(opened)
        if kind == "xfs" and opened._machine is not None:
            os.kill(opened._machine.process.pid, signal.SIGSEGV)

    def crash_worker(opened: DirectVolumes, *, clean: bool = True) -> str:
        if kind == "ext4":
            os.kill(opened._worker._process._process.pid, signal.SIGSEGV)
        return beyond_reach(opened, clean=clean)

    monkeypatch.setattr(ApplianceVolumes, "start", crash_machine)
    monkeypatch.setattr(DirectVolumes, "beyond_reach", crash_worker)
    listener = kills.Breaker("", times=0)
    with pytest.raises(EngineError) as caught:
        inspected(guest(tmp_path, kind), engine, listener)
    said = [line for line in listener.said if "once more" in line]
    assert len(said) == (engine == "auto")
    assert "ended" in "".join(said or [caught.value.message])


@pytest.mark.appliance
@pytest.mark.timeout(1200)
@RUNS
def test_libguestfs_completes_what_crashes(tmp_path: Path, run: Run) -> None:
    image = guest(tmp_path, "xfs")
    # A run that may write checks the file system after the first crash, and uses a machine again.
    crashes = 2 if run is rehearsed else 1
    breaker = kills.Breaker("qemu-system", "plan", times=crashes)
    assert run(image, "auto", breaker) in ("guestfs", [kills.ID])
    said = [line for line in breaker.said if "once more" in line]
    assert len(said) == crashes
    assert all("the virtual machine ended (-11)" in line for line in said)
    assert said[-1].endswith("once more, with libguestfs")
