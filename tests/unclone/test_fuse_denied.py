"""A host where /dev/fuse can be opened and nothing can be mounted, such as a container."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command import PROGRAM
from tests.support.disk_images import digest
from tests.support.disks import BARE_ROOT, Part, make_disk
from unclone.images.engines.auto import AutoEngine
from unclone.images.engines.direct import storage_daemon
from unclone.images.engines.engine import Drive, no_keys
from unclone.images.engines.guestfs import appliance
from unclone.images.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

ID = "0123456789abcdef0123456789abcdef"
TREE = {**BARE_ROOT, "/etc/machine-id": f"{ID}\n", "/usr/lib/systemd/systemd": "ELF"}

#: What takes the right to mount away: from root, and from anybody else.
DENIED = (
    ("setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin")
    if os.geteuid() == 0
    else ("setpriv", "--no-new-privs")
)


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Path]:
    """A guest; what is left beside it or in the temporary directory is found at the end."""
    (tmp_path / "temporary").mkdir()
    (tmp_path / "images").mkdir()
    yield make_disk(tmp_path / "images" / "disk.qcow2", [Part("ext4", tree=TREE)], form="qcow2")
    assert [p.name for p in (tmp_path / "images").iterdir()] == ["disk.qcow2"]
    left = [p.name for p in (tmp_path / "temporary").iterdir()]
    assert [name for name in left if not name.startswith(".guestfs-")] == []  # its appliance


def denied(tmp_path: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DENIED, PROGRAM, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
    )


@pytest.mark.parametrize(
    "arguments",
    [("sanitize",), pytest.param(("sanitize", "--dry-run"), marks=pytest.mark.slow), ("inspect",)],
    ids=" ".join,
)
def test_it_is_told_as_what_it_is(tmp_path: Path, image: Path, arguments: tuple[str, ...]) -> None:
    before = digest(image)
    done = denied(tmp_path, *arguments, "--engine", "direct", image)
    assert done.returncode == 1, done.stderr
    assert "mounting is denied" in done.stderr
    assert "--engine guestfs" in done.stderr
    assert "damaged" not in done.stderr
    assert digest(image) == before


@pytest.mark.appliance
def test_the_other_engine_does_it(tmp_path: Path, image: Path) -> None:
    done = denied(tmp_path, "sanitize", "--json", image)
    assert done.returncode == 0, done.stderr
    assert "starting a virtual machine: the direct engine cannot work here" in done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert (result["status"], result["engine"]) == ("done", "guestfs")


def test_doctor_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    done = denied(tmp_path, "doctor", "--json")
    checks = {each["id"]: each for each in json.loads(done.stdout)["results"]}
    assert checks["fuse"]["state"] == "missing"
    assert "mounting is denied" in checks["fuse"]["found"]
    assert "SYS_ADMIN" in checks["fuse"]["fix"]
    assert list((tmp_path / "temporary").iterdir()) == []


def test_without_any_engine_both_reasons_are_told(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_daemon, "_FUSE", Path("/dev/no-such-device"))
    monkeypatch.setattr(appliance, "guestfs", None)
    monkeypatch.setattr(appliance, "_MISSING", "none here", raising=False)
    drives = [Drive(image, "qcow2")]
    opening = AutoEngine().open(drives, keys=no_keys, read_only=True, say=print)
    with pytest.raises(EngineError, match=r"none here.*needed because.*no-such-device"):
        opening.__enter__()
