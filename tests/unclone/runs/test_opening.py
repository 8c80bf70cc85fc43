"""Runs that only read, and an engine that fails meanwhile: the default goes on with another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import kills
from tests.support.disks import Part, make_disk
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
    return [value.value for value in found.values if value.kind == "machine-id"]


def rehearsed(image: Path, engine: str, listener: Listener) -> str:
    return sanitize(Request(image, engine=engine, dry_run=True), listener).engine


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


@pytest.mark.appliance
@pytest.mark.timeout(600)
@RUNS
def test_libguestfs_completes_what_crashes(tmp_path: Path, run: Run) -> None:
    image = guest(tmp_path, "xfs")
    breaker = kills.Breaker("qemu-system", "plan", times=1)
    assert run(image, "auto", breaker) in ("guestfs", [kills.ID])
    (said,) = [line for line in breaker.said if "once more" in line]
    assert "the virtual machine ended (-11)" in said
