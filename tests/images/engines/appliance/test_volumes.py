"""Guests in the frozen virtual machine: what only this engine can do wrong."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.appliance import make_volume, mounted_appliance, open_appliance, require_clean
from unclone.images.engines.appliance import volumes as limits
from unclone.images.engines.appliance.engine import ApplianceEngine
from unclone.images.engines.engine import Drive, no_keys
from unclone.images.errors import EngineError, KilledError
from unclone.images.volumes import CheckState, Identifier, IdentifierKind

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

#: A label and a capability as the kernel stores them.
LABEL = b"system_u:object_r:etc_t:s0\0"
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
UUID = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_labels_capabilities_and_modes_outlive_a_change(tmp_path: Path, kind: str) -> None:
    """The kernel takes capabilities and set-id bits away from a file that is changed."""
    image = make_volume(tmp_path / "image", kind)
    volumes = mounted_appliance(image)
    volumes.create("/program", b"old", mode=0o4755, uid=0, gid=0)
    for name, value in (("security.selinux", LABEL), ("security.capability", CAPABILITY)):
        volumes.set_xattr("/program", name, value)
    volumes.write("/program", b"new content")
    volumes.set_owner("/program", uid=5, gid=6)
    volumes.unmount_all()
    volumes.mount("/dev/sda", "/", subvolume="", read_only=True)
    found = volumes.lstat("/program")
    assert (found.mode, found.uid, found.gid) == (0o4755, 5, 6)
    kept = volumes.get_xattrs("/program")
    assert (kept["security.selinux"], kept["security.capability"]) == (LABEL, CAPABILITY)
    volumes.close()
    require_clean(image, kind)


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_a_new_uuid_is_on_the_disk_and_mounts(tmp_path: Path, kind: str) -> None:
    image = make_volume(tmp_path / "image", kind)
    volumes = mounted_appliance(image)
    volumes.create("/file", b"content", mode=0o644, uid=0, gid=0)
    volumes.unmount_all()
    volumes.set_identifiers([Identifier(IdentifierKind.FILE_SYSTEM_UUID, "/dev/sda", UUID)])
    assert volumes.check("/dev/sda", repair=False).state is CheckState.CLEAN
    volumes.mount("/dev/sda", "/", subvolume="", read_only=False)
    volumes.write("/file", b"changed")  # it is mounted in the machine
    assert volumes.read("/file", 100) == b"changed"
    volumes.close()
    require_clean(image, kind)
    said = subprocess.run(["blkid", "-p", image], capture_output=True, text=True, check=True)
    assert f' UUID="{UUID}"' in said.stdout


def test_a_machine_that_was_killed_is_named(tmp_path: Path) -> None:
    volumes = mounted_appliance(make_volume(tmp_path / "image", "xfs"))
    volumes.start()
    machine = volumes._machine
    assert machine is not None
    os.kill(machine.process.pid, signal.SIGKILL)
    with pytest.raises(KilledError):
        volumes.create("/file", b"", mode=0o644, uid=0, gid=0)
    volumes.drop()


def test_a_machine_that_gives_no_answer_is_stopped_and_another_engine_may_do_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LIMIT", 1.0)
    image = make_volume(tmp_path / "image", "xfs")

    def work() -> None:
        engine, drives = ApplianceEngine(), [Drive(image, "raw")]
        with engine.open(drives, keys=no_keys, read_only=False, say=print) as volumes:
            volumes.mount("/dev/sda", "/", subvolume="", read_only=False)
            volumes.create("/file", b"", mode=0o644, uid=0, gid=0)  # from now on it is asked
            assert isinstance(volumes, limits.ApplianceVolumes)
            machine = volumes._machine
            assert machine is not None
            os.kill(machine.process.pid, signal.SIGSTOP)
            volumes.scan("/")

    with pytest.raises(EngineError, match="no answer in time and was stopped") as caught:
        work()
    assert caught.value.engine == "appliance"


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_a_damaged_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    """The signature is right, and nothing behind it."""
    image = make_volume(tmp_path / "image", kind)
    start = 512 if kind == "xfs" else 0x10000 + 4096
    with image.open("r+b") as file:
        file.seek(start)
        file.write(os.urandom(32 * 1024 * 1024))
    volumes = open_appliance(image)
    with pytest.raises(EngineError, match="cannot be mounted"):
        volumes.mount("/dev/sda", "/", subvolume="", read_only=False)
    volumes.drop()
