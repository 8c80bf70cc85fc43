"""The cache of frozen machines: damaged, outdated, full, killed while it is made, shared."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.appliance import make_volume, mounted_appliance, require_clean
from unclone.images.engines.appliance import build, frozen
from unclone.images.engines.appliance.machine import UnusableError

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = {"qemu": "one"}
#: A process that starts a machine, and says when it has one.
STARTER = """
from unclone.images.engines.appliance import frozen
machine, types = frozen.start(list, lambda line: print(line, flush=True))
print("ready", *types, flush=True)
machine.end()
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = frozen.cache_folder()
    folder.mkdir(parents=True, mode=0o700)
    return folder


def small(folder: Path, *, used: float = 1.0, key: dict[str, Any] | None = None) -> Path:
    """A machine as it is kept, without content, that was last used at time *used*."""
    folder.mkdir(mode=0o700, parents=True)
    for name in ("memory", "state", "initrd"):
        (folder / name).write_bytes(b"content")
    describe(folder, {"key": key or KEY, "types": ["xfs"], "machine": "pc", "first": ""})
    os.utime(folder / "description.json", (used, used))
    return folder


def describe(folder: Path, description: dict[str, Any]) -> None:
    """Write *description*, for the files as they are now."""
    files = {name: frozen._stamp(folder / name)[1:] for name in ("memory", "state")}
    more = {"accelerator": "tcg", "image": "/boot/vmlinuz", **description, "files": files}
    (folder / "description.json").write_text(json.dumps(more))


def copied(cache: Path) -> Path:
    """A copy in *cache* of the machine that all tests share."""
    with pytest.MonkeyPatch.context() as shared:
        shared.delenv("XDG_CACHE_HOME")
        frozen.start(list, print)[0].end()
        key = frozen._key(build.find_kernel(), "tcg")
        kept = frozen.cache_folder() / frozen._digest(key)
        folder = cache / kept.name
        shutil.copytree(kept, folder)
    describe(folder, json.loads((folder / "description.json").read_bytes()))
    return folder


# -- what is believed ----------------------------------------------------------------------
def _replaced(folder: Path) -> None:
    shutil.copy(folder / "state", folder / "new")
    (folder / "new").rename(folder / "state")


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: os.truncate(folder / "memory", 3),
        lambda folder: os.truncate(folder / "memory", 0),
        lambda folder: (folder / "memory").unlink(),
        lambda folder: (folder / "state").write_bytes(b"garbage"),
        lambda folder: (folder / "state").unlink(),
        lambda folder: os.utime(folder / "state", (1, 1)),
        _replaced,
        lambda folder: (folder / "description.json").write_bytes(b"\xff{"),
        lambda folder: (folder / "description.json").write_bytes(b"[" * 100_000),
        lambda folder: (folder / "description.json").write_bytes(b"[]"),
        lambda folder: (folder / "description.json").unlink(),
        lambda folder: folder.chmod(0o750),
    ],
)
def test_a_machine_whose_files_changed_is_not_used(
    cache: Path, damage: Callable[[Path], object]
) -> None:
    folder = small(cache / "machine")
    assert frozen._read(folder, KEY) is not None
    damage(folder)
    assert frozen._read(folder, KEY) is None


def test_another_qemu_needs_another_machine(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU is upgraded, and what is kept under the digest of the new one is of the old one."""
    program = tmp_path / "bin" / frozen.PROGRAM
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    kernel = build.Kernel("1", program, tmp_path)
    (tmp_path / "modules.dep").write_text("")
    before = frozen._key(kernel, "tcg")
    assert frozen._key(kernel, "tcg") == before
    program.write_text("#!/bin/sh\n# upgraded\n")
    after = frozen._key(kernel, "tcg")
    digests = {frozen._digest(key) for key in (before, after, frozen._key(kernel, "kvm"))}
    assert len(digests) == 3
    assert frozen._read(small(cache / frozen._digest(after), key=before), after) is None


def test_two_machines_are_kept_and_no_draft(cache: Path) -> None:
    for number in range(1, 5):
        small(cache / f"machine{number}", used=number)
    small(cache / "killed.draft", used=time.time())
    (cache / "empty").mkdir()
    (cache / "old.failed").write_text("why")
    os.utime(cache / "old.failed", (1, 1))
    (cache / "new.failed").write_text("why")
    with frozen._locked(cache):
        pass
    kept = sorted(path.name for path in cache.iterdir())
    assert kept == ["lock", "machine3", "machine4", "new.failed"]


def test_a_cache_of_another_mode_is_not_used(cache: Path) -> None:
    cache.chmod(0o755)
    with pytest.raises(UnusableError, match="is not private to this user"), frozen._locked(cache):
        pass


@pytest.mark.parametrize(("age", "believed"), [(10, True), (7200, False), (-7200, False)])
def test_a_failure_is_believed_for_an_hour(cache: Path, age: float, believed: bool) -> None:
    with pytest.raises(UnusableError), frozen._noted(cache / "machine"):
        raise UnusableError("it does not start")
    at = time.time() - age
    os.utime(cache / "machine.failed", (at, at))
    if believed:
        with pytest.raises(UnusableError, match="does not start; it is tried again an hour"):
            frozen._require_hope(cache / "machine")
    else:
        frozen._require_hope(cache / "machine")


# -- with machines -------------------------------------------------------------------------
def test_no_space_for_the_memory_is_found_before_a_boot(cache: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20, limits[1]))
    try:
        with pytest.raises(UnusableError, match=r"cannot keep a virtual .*too large"):
            frozen._resumed(build.find_kernel(), "tcg", list, print)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in cache.iterdir()] == ["lock"]  # nothing that stops the next try


#: Has a machine made, and says what became of it.
MAKER = """
from unclone.images.engines.appliance import build, frozen
try:
    frozen._resumed(build.find_kernel(), "tcg", list, print)
except Exception as error:
    print(error)
print(sorted(path.name for path in frozen.cache_folder().iterdir()))
"""


@pytest.mark.slow  # bwrap is not everywhere where the fast tests run
def test_no_space_for_the_state_is_found_before_a_boot(cache: Path) -> None:
    """Nor for the initrd: there is a MiB more than the memory takes."""
    small_disk = ("--size", str(257 << 20), "--tmpfs", os.environ["XDG_CACHE_HOME"])
    done = subprocess.run(
        ["bwrap", "--dev-bind", "/", "/", *small_disk, sys.executable, "-c", MAKER],
        capture_output=True,
        text=True,
        check=True,
    )
    *_, said, left = done.stdout.splitlines()
    assert "cannot keep a virtual machine" in said
    assert "no space left in" in said
    assert left == "['lock']"  # nothing that stops the next try


@pytest.mark.slow
def test_qemu_is_upgraded_in_between(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another file is another QEMU: a machine is frozen with it, and the one before is kept."""
    folder = copied(cache)
    program = tmp_path / "bin" / frozen.PROGRAM
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shutil.which(frozen.PROGRAM)} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    image = make_volume(tmp_path / "image", "xfs")
    for _ in range(2):
        volumes = mounted_appliance(image)
        volumes.start()
        assert "xfs" in volumes._types
        volumes.close()
    machines = {each.name for each in cache.iterdir() if each.is_dir()}
    assert len(machines) == 2
    assert folder.name in machines


@pytest.mark.slow
def test_a_state_that_does_not_load_is_made_again(cache: Path, tmp_path: Path) -> None:
    """What the files' stamps do not show: the disks are attached to a second machine."""
    folder = copied(cache)
    description = json.loads((folder / "description.json").read_bytes())
    (folder / "state").write_bytes(os.urandom(400_000))
    describe(folder, description)
    image = make_volume(tmp_path / "image", "xfs")
    volumes = mounted_appliance(image)
    volumes.create("/file", b"content", mode=0o644, uid=0, gid=0)
    volumes.close()
    require_clean(image, "xfs")
    found = frozen._read(folder, description["key"])
    assert found is not None
    assert found.files != description["files"]
    found.resume([]).end()


@pytest.mark.slow
def test_where_nothing_can_be_kept_a_guest_is_served_by_a_booted_machine(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / frozen.PROGRAM
    program.parent.mkdir()
    real = shutil.which(frozen.PROGRAM)
    program.write_text(f'#!/bin/sh\ncase "$*" in *share=on*) exit 1;; esac\nexec {real} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    image = make_volume(tmp_path / "image", "btrfs")
    volumes = mounted_appliance(image)
    volumes.create("/file", b"content", mode=0o644, uid=0, gid=0)
    assert volumes.read("/file", 10) == b"content"
    volumes.close()
    require_clean(image, "btrfs")
    assert {path.suffix for path in cache.iterdir()} == {"", ".failed"}
    with pytest.raises(UnusableError, match="it is tried again an hour after that"):
        frozen._resumed(build.find_kernel(), "tcg", list, print)


@pytest.mark.slow
def test_makers_are_killed_and_two_make_one_machine(cache: Path) -> None:
    """Killed when the draft, the memory, the initrd and the state appear; then two at once."""

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", STARTER], stdout=subprocess.PIPE)

    for awaited in ("", "memory", "initrd", "state"):
        maker = start()
        while not list(cache.glob(f"*.draft/{awaited}".rstrip("/"))):
            assert maker.poll() is None
            time.sleep(0.005)
        maker.send_signal(signal.SIGKILL)
        maker.communicate()
        assert not list(cache.glob("*/description.json"))
    both = [start(), start()]
    said = [each.communicate()[0].decode().splitlines() for each in both]
    assert [each.returncode for each in both] == [0, 0]
    assert all("xfs" in lines[-1] for lines in said)
    assert sorted(len(lines) for lines in said) == [1, 2]  # one has booted a machine
    names = sorted(path.name for path in cache.iterdir())
    assert names[1:] == ["lock"]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert os.fsencode(cache) not in process.read_bytes()  # of QEMU
        except OSError:
            continue  # it has ended
