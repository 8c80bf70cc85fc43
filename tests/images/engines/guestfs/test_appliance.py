"""Starting and ending an appliance: interruptions, time limits, a full host, and no process left.

Each test starts one of its own, so there are few of them.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.disk_images import MIB, NEW, OLD, digests, make
from tests.support.disks import BARE_ROOT, Part, make_disk, make_file_system
from tests.support.transactions import changed
from unclone.images.engines.engine import Drive
from unclone.images.engines.guestfs import appliance as module
from unclone.images.engines.guestfs.acceleration import Acceleration
from unclone.images.engines.guestfs.appliance import Appliance, shell_value, start
from unclone.images.errors import EngineError, InUseError, KilledError, UsageError
from unclone.images.opening import open_guest, select_engine
from unclone.images.overlay import overlay_path
from unclone.images.transaction import Disk, InPlace

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[4]

#: What a process started by these tests does: the appliance of ``argv[1]`` opened, and told about.
OPEN = """
import sys, time
from pathlib import Path
from unclone.images.engines.engine import Drive
from unclone.images.opening import open_guest, select_engine
print("starting", flush=True)
with open_guest([Drive(Path(sys.argv[1]), "raw")], engine=select_engine("guestfs")) as guest:
    print("opened", flush=True)
    ACT
"""


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return make_disk(tmp_path / "disk.img", [Part("ext4", BARE_ROOT)])


def program(act: str, disk: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", OPEN.replace("ACT", act), disk],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def appliances(disk: Path) -> list[int]:
    """The QEMU processes that have *disk* open."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if entry.name.isdigit() and b"qemu-system" in command and os.fsencode(disk) in command:
            found.append(int(entry.name))
    return found


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return met


# -- interruptions -------------------------------------------------------------------------
@pytest.mark.appliance
def test_ctrl_c_during_the_launch_leaves_nothing_behind(disk: Path) -> None:
    before = disk.read_bytes()
    running = program("pass", disk)
    assert wait_for(lambda: bool(appliances(disk)), 120)
    running.send_signal(signal.SIGINT)  # to the parent only, as "kill -INT" does
    _, errors = running.communicate(timeout=300)
    assert running.returncode != 0
    assert "KeyboardInterrupt" in errors
    assert appliances(disk) == []
    assert disk.read_bytes() == before


@pytest.mark.appliance
def test_ctrl_c_in_a_long_call_takes_effect_at_once(disk: Path) -> None:
    running = program("guest._volumes._appliance.shell('sleep 1000')", disk)
    assert running.stdout is not None
    assert [running.stdout.readline() for _ in range(2)] == ["starting\n", "opened\n"]
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=300)
    assert "KeyboardInterrupt" in errors
    assert appliances(disk) == []


@pytest.mark.appliance
def test_a_killed_process_takes_its_appliance_with_it(disk: Path) -> None:
    running = program("time.sleep(1000)", disk)
    assert running.stdout is not None
    assert [running.stdout.readline() for _ in range(2)] == ["starting\n", "opened\n"]
    assert appliances(disk)
    running.kill()
    running.communicate(timeout=300)
    assert wait_for(lambda: not appliances(disk), 300)


# -- the host ------------------------------------------------------------------------------
FULL = """
mount -t tmpfs -o size=3m tmpfs "$1" || exit 99
cp --sparse=always "$2" "$1/disk.img"
if [ "$5" = 0 ]; then exec "$3" -c "$4" "$1/disk.img"; fi
exec unshare --user --map-user="$5" --map-group="$6" "$3" -c "$4" "$1/disk.img"
"""

FILL = """
try:
        for number in range(40):
            guest.create(f"/file{number}", bytes([number + 1]) * 1000000)
        guest.reopen()()
        print("nothing was reported")
    except Exception as error:
        print(type(error).__name__, error)
        raise SystemExit(7)
"""


@pytest.mark.appliance
def test_a_full_host_disk_is_an_error_and_not_a_hang(tmp_path: Path) -> None:
    image = make_file_system(tmp_path / "disk.img", Part("ext4", BARE_ROOT, size=64))
    place = tmp_path / "small"
    place.mkdir()
    code = OPEN.replace("ACT", FILL.strip())
    own = [] if os.geteuid() == 0 else ["--map-root-user"]  # and back again, see FULL
    ids = [str(os.geteuid()), str(os.getegid())]
    command = ["unshare", "--mount", *own, "sh", "-c", FULL, "sh"]
    done = subprocess.run(
        [*command, place, image, sys.executable, code, *ids],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 7, done.stdout + done.stderr
    assert "no space left in its folder" in done.stdout


@pytest.mark.appliance
def test_a_disk_that_another_process_uses_is_in_use(disk: Path) -> None:
    with subprocess.Popen(
        ["qemu-io", "-f", "raw", disk], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write("read 0 512\n")
        holder.stdin.flush()
        assert "read 512" in holder.stdout.readline()
        with (
            pytest.raises(InUseError, match=r"in use by another process: .*lock"),
            open_guest([Drive(disk, "raw")], engine=select_engine("guestfs")),
        ):
            pass
        holder.communicate("quit\n")
    assert appliances(disk) == []


@pytest.mark.appliance
def test_it_opens_the_files_that_were_read_whatever_their_names_lead_to(tmp_path: Path) -> None:
    """As of a folder that another user can write to: exchanged while the appliance starts."""
    for folder in ("shared", "decoys"):
        (tmp_path / folder).mkdir()
    image = make(tmp_path / "shared" / "disk.qcow2")
    decoy = make(tmp_path / "decoys" / "disk.qcow2")
    shutil.copy2(decoy, decoy.with_name(overlay_path(image).name))
    before = digests(decoy.parent.iterdir())
    with InPlace([Disk(image)]) as run:
        (overlay,) = run.overlays
        drive = Drive(overlay, "qcow2", run.images[0], run.opened(overlay), locked=True)
        appliance = Appliance([drive], read_only=False, kvm=False)
        away = image.parent.rename(tmp_path / "away")
        image.parent.symlink_to(decoy.parent)
        appliance.launch(600)
        image.parent.unlink()
        away.rename(image.parent)
        device, binding = "/dev/sda", appliance.binding
        new = bytes([NEW]) * MIB
        assert appliance.call(lambda: binding.pread_device(device, MIB, MIB)) == bytes([OLD]) * MIB
        appliance.call(lambda: binding.pwrite_device(device, new, 3 * MIB))
        appliance.close()
        run.commit()
    assert changed(image)
    assert digests(decoy.parent.iterdir()) == before


@pytest.mark.appliance
def test_a_call_that_takes_too_long_ends_the_appliance(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LAUNCH_LIMITS", {True: (0.2,), False: (0.2, 0.3)})
    with (
        pytest.raises(EngineError, match="did not answer within 0 s"),
        open_guest([Drive(disk, "raw")], engine=select_engine("guestfs")),
    ):
        pass
    assert appliances(disk) == []


@pytest.mark.appliance
def test_a_kvm_that_does_not_start_the_appliance_is_not_tried_again(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "acceleration", lambda: Acceleration(kvm=True))
    monkeypatch.setattr(module, "LAUNCH_LIMITS", {True: (0.2,), False: (0.2, 600.0)})
    said: list[str] = []
    before = disk.read_bytes()
    appliance = start([Drive(disk, "raw")], read_only=True, say=said.append)
    appliance.shell("for d in /dev/disk/by-path/*0:0:0:0; do mke2fs -q -F $d; done; sync")
    appliance.close()
    assert disk.read_bytes() == before, "it was attached read-only"
    assert appliances(disk) == []
    assert "software emulation" in said[0]
    assert said[1:] == ["the libguestfs appliance did not start in 0 s; it is started again"]
    assert (
        "with it, the libguestfs appliance did not "
        in (tmp_path / "unclone" / "acceleration.json").read_text()
    )


# -- what fails before anything starts -----------------------------------------------------
@pytest.mark.parametrize(
    ("name", "form", "error", "words"),
    [
        pytest.param("missing.img", "raw", EngineError, "missing.img: libguestfs: ", id="missing"),
        pytest.param("disk.img", "raw,x=y", EngineError, "disk.img: libguestfs: ", id="format"),
        pytest.param("\udcff.img", "raw", UsageError, "not valid UTF-8", id="name"),
    ],
)
def test_a_drive_that_cannot_be_attached(
    disk: Path, name: str, form: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Appliance([Drive(disk.with_name(name), form)], read_only=True, kvm=False)


@pytest.mark.appliance
def test_one_that_something_else_kills_is_told_as_that(disk: Path) -> None:
    def work() -> None:
        with open_guest([Drive(disk, "raw")], engine=select_engine("guestfs")) as guest:
            for process in appliances(disk):
                os.kill(process, signal.SIGKILL)
            guest.write("/etc/hostname", b"after\n")

    with pytest.raises(KilledError, match="the libguestfs appliance was killed"):
        work()
    assert not appliances(disk)


@pytest.mark.parametrize("kvm", [None, False, True])
def test_the_persons_own_settings_are_kept(
    disk: Path, monkeypatch: pytest.MonkeyPatch, kvm: bool | None
) -> None:
    monkeypatch.setenv(module.SETTINGS_VARIABLE, "force_kvm")
    appliance = Appliance([Drive(disk, "raw")], read_only=True, kvm=kvm)
    settings = appliance.call(appliance.binding.get_backend_settings)
    appliance.abandon()
    assert settings == (["force_tcg"] if kvm is False else ["force_kvm"])


def test_without_the_binding_the_message_says_how_to_get_it(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "guestfs", None)
    monkeypatch.setattr(module, "_MISSING", "No module named 'guestfs'", raising=False)
    with pytest.raises(EngineError, match="No module named 'guestfs'") as refused:
        Appliance([Drive(disk, "raw")], read_only=True, kvm=False)
    assert "python3-guestfs" in refused.value.hint
    assert "--system-site-packages" in refused.value.hint


@pytest.mark.parametrize(
    "value",
    [b"", b"plain", b"'; reboot; '", b"$(id)`id`", b"-rf", b"end\n\n", bytes(range(1, 256))],
)
def test_a_value_reaches_the_shell_unchanged(value: bytes) -> None:
    script = shell_value("name", value) + 'printf %s "$name"'
    assert set(script) <= set("0123456789abcdefghijklmnopqrstuvwxyz\\\"'$(){}%=; ")
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True)
    assert done.stdout == value
