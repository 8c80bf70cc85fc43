"""Whether KVM works: a probe that runs code, and what is remembered of it."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from unclone.images.engines.guestfs import acceleration as module
from unclone.images.engines.guestfs.acceleration import Acceleration, acceleration, probe, remember
from unclone.images.errors import ToolError
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Callable

QEMU = "qemu-system-x86_64"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "acceleration.json"


def fake_qemu(folder: Path, script: str) -> str:
    """A program in the place of QEMU: hosts with a broken KVM cannot be made to order."""
    program = folder / "qemu-system-x86_64"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def test_the_rom_ends_qemu_when_its_code_runs(tmp_path: Path) -> None:
    rom = tmp_path / "rom.bin"
    rom.write_bytes(module._ROM)
    run(module._smallest_machine(QEMU, "tcg", rom), ok=(module._STATUS,), timeout=60)


def test_the_rom_does_not_end_qemu_when_its_code_does_not_run(tmp_path: Path) -> None:
    rom = tmp_path / "rom.bin"
    rom.write_bytes(b"\xf4" * 0x10000)  # nothing but hlt
    with pytest.raises(ToolError, match="did not finish"):
        run(module._smallest_machine(QEMU, "tcg", rom), ok=(module._STATUS,), timeout=2)


def test_the_answer_for_this_host_is_the_one_qemu_gives(tmp_path: Path) -> None:
    rom = tmp_path / "rom.bin"
    rom.write_bytes(module._ROM)
    try:
        run(module._smallest_machine(QEMU, "kvm", rom), ok=(module._STATUS,), timeout=20)
        works = True
    except ToolError:
        works = False
    assert probe(QEMU).kvm is works


@pytest.mark.parametrize(
    ("script", "words"),
    [
        pytest.param("echo 'failed to set MSR 0x10a' >&2; kill -ABRT $$", "set MSR", id="abort"),
        pytest.param("exit 0", "status 0", id="ended without running the code"),
        pytest.param("echo no KVM support; exit 1", "no KVM support", id="refused"),
    ],
)
def test_a_kvm_that_fails_is_no_kvm_and_qemu_says_why(
    tmp_path: Path, script: str, words: str
) -> None:
    found = probe(fake_qemu(tmp_path, script), device=Path("/dev/null"))
    assert not found.kvm
    assert words in found.reason
    assert words in found.message


def test_a_kvm_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIME_LIMIT", 0.3)
    found = probe(fake_qemu(tmp_path, "sleep 60"), device=Path("/dev/null"))
    assert (found.kvm, "did not finish" in found.reason) == (False, True)


def test_a_kvm_that_runs_the_code_works(tmp_path: Path) -> None:
    program = fake_qemu(tmp_path, f"exit {module._STATUS}")
    assert probe(program, device=Path("/dev/null")) == Acceleration(kvm=True)


def test_without_the_device_nothing_is_started(tmp_path: Path) -> None:
    found = probe("no-such-program", device=tmp_path / "kvm")
    assert found == Acceleration(kvm=False, reason=f"there is no {tmp_path / 'kvm'}")


def test_without_permission_nothing_is_started() -> None:
    with tempfile.NamedTemporaryFile(prefix="kvm-") as device:
        Path(device.name).chmod(0)
        assert "permission" in as_nobody(lambda: probe("none", device=Path(device.name)).reason)


def as_nobody(ask: Callable[[], str]) -> str:
    """What *ask* returns in a process that is not root's: root may use every device."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresuid(65534, 65534, 65534)
            os.write(write, ask().encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as answer:
        return answer.read()


def test_the_answer_is_remembered(tmp_path: Path, cache: Path) -> None:
    program = fake_qemu(tmp_path, f"touch {tmp_path}/ran; exit 1")
    first = acceleration(hypervisor=program, cache=cache)
    (tmp_path / "ran").unlink(missing_ok=True)
    assert acceleration(hypervisor=program, cache=cache) == first
    assert not (tmp_path / "ran").exists()


def test_another_qemu_is_another_question(tmp_path: Path, cache: Path) -> None:
    program = fake_qemu(tmp_path, "exit 1")
    remember(Acceleration(kvm=False, reason="from before"), hypervisor=program, cache=cache)
    assert acceleration(hypervisor=program, cache=cache).reason == "from before"
    fake_qemu(tmp_path, "exit 1 # an update")
    assert acceleration(hypervisor=program, cache=cache).reason != "from before"


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda _: b"\xff\xfe{", id="not text"),
        pytest.param(lambda _: b"[" * 100_000, id="too deep"),
        pytest.param(lambda text: text[:-10], id="cut short"),
        pytest.param(lambda _: b"[]", id="a list"),
        pytest.param(
            lambda text: text.replace(b'"kvm": false', b'"kvm": "no"'), id="not a boolean"
        ),
        pytest.param(lambda text: text.replace(b'"boot": "', b'"boot": "x'), id="another boot"),
        pytest.param(
            lambda text: text.replace(b'"kernel": "', b'"kernel": "x'), id="another kernel"
        ),
    ],
)
def test_a_memory_that_is_stale_or_spoiled_is_made_anew(
    tmp_path: Path, cache: Path, spoil: Callable[[bytes], bytes]
) -> None:
    program = fake_qemu(tmp_path, "exit 1")
    remember(Acceleration(kvm=False, reason="from before"), hypervisor=program, cache=cache)
    cache.write_bytes(spoil(cache.read_bytes()))
    found = acceleration(hypervisor=program, cache=cache)
    assert found.reason != "from before"
    assert json.loads(cache.read_text())["acceleration"]["reason"] == found.reason


def test_a_memory_that_cannot_be_kept_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = tmp_path / "file" / "acceleration.json"
    assert not acceleration(hypervisor=fake_qemu(tmp_path, "exit 1"), cache=cache).kvm


def test_the_memory_is_private_and_leaves_nothing_beside_it(tmp_path: Path, cache: Path) -> None:
    remember(Acceleration(kvm=True), hypervisor=QEMU, cache=cache)
    assert [entry.name for entry in cache.parent.iterdir()] == [cache.name]
    assert stat.S_IMODE(cache.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("value", "parent"),
    [("/somewhere", Path("/somewhere/unclone")), ("relative", None), ("", None)],
)
def test_the_cache_folder_is_the_users(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, parent: Path | None
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert module.cache_file().parent == (parent or tmp_path / ".cache" / "unclone")
