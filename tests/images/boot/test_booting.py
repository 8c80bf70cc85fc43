"""Real boots, of a program of a few bytes: what is read, what ends them, and that they end."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import time
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.boot_sector import Then, program, report
from unclone.images.boot import booting
from unclone.images.boot.booting import Ending, Watch, boot
from unclone.images.boot.command import CHANNELS, Machine
from unclone.images.boot.console import KEPT, Phase
from unclone.images.boot.hardware import CARDS, CONTROLLERS, DISKS, Card, Hardware
from unclone.images.boot.screen import png_from_ppm
from unclone.images.errors import ToolError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow  # a second or two each

BOOTED = b"GRUB loading\r\nLinux version 6.1\r\n"


def disk(path: Path, content: bytes) -> dict[str, Any]:
    path.write_bytes(content.ljust(1024 * 1024, b"\0"))
    return {"driver": "raw", "file": {"driver": "file", "filename": str(path)}}


def watch(limit: float = 60, **more: Any) -> Watch:
    return Watch(lambda d: b"end 1\n" in d, lambda d: d.startswith(b"begin"), limit, **more)


def booted(
    folder: Path,
    console: bytes,
    said: bytes,
    then: Then = Then.HALT,
    *,
    limit: float = 60,
    **more: Any,
) -> Ending:
    asks = more.pop("asks", False)
    hardware = more.pop("hardware", Hardware(memory=64))
    content = program(console, said, then, asks=asks)
    disks = [disk(folder / f"d{n}", content if not n else b"") for n in range(len(hardware.disks))]
    return boot(Machine(hardware, disks, kvm=False), watch(limit, **more))


def test_a_guest_that_reports(tmp_path: Path) -> None:
    phases: list[str] = []
    ending = booted(tmp_path, BOOTED, report(["machine-id 1"]), say=phases.append)
    assert (ending.reported, ending.reason, ending.screen) == (True, "", b"")
    assert ending.report == b"begin 1\nmachine-id 1\nend 1\n"
    assert ending.phase is Phase.REPORT
    assert phases[0] == "firmware"
    assert phases[-1] == "report"
    assert ending.console.last_lines()[-2:] == ("GRUB loading", "Linux version 6.1")


def test_a_guest_that_turns_itself_off_after_its_report(tmp_path: Path) -> None:
    assert booted(tmp_path, b"", report([]), Then.OFF, until_off=True).reported


@pytest.mark.parametrize(
    ("console", "said", "then", "limit", "reason"),
    [
        (BOOTED, b"begin 1\n", Then.OFF, 60, "turned itself off"),
        (BOOTED, b"", Then.HALT, 4, "no report within 4 s"),
        (BOOTED, b"", Then.FLOOD, 4, "no report within 4 s"),
        (b"", b"", Then.RESET, 60, "restarts again and again"),
        (b"\r\ngrub> ", b"", Then.HALT, 60, "GRUB waits for a command"),
        (b"Please unlock disk vda3_crypt: ", b"", Then.HALT, 60, "waits for a passphrase"),
    ],
)
def test_a_guest_that_does_not(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    console: bytes,
    said: bytes,
    then: Then,
    limit: float,
    reason: str,
) -> None:
    monkeypatch.setattr(booting, "_GRACE", 2.0)
    ending = booted(tmp_path, console, said, then, limit=limit)
    assert not ending.reported
    assert reason in ending.reason
    assert len("".join(ending.console.lines())) <= KEPT
    if then is not Then.OFF:  # a machine that is off has no screen
        assert ending.screen.startswith(b"\x89PNG")
        assert zlib.decompress(ending.screen[41 : ending.screen.index(b"IEND") - 8])


def test_a_passphrase_is_typed(tmp_path: Path) -> None:
    question = b"Please unlock disk vda3_crypt: "
    ending = booted(tmp_path, question, report([]), asks=True, keys=(b"secret\n",))
    assert ending.reported
    assert "secret" not in "".join(ending.console.lines())


def test_a_report_that_never_ends_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(booting, "REPORT_LIMIT", 1000)
    ending = booted(tmp_path, b"", b"begin 1\n" + b"x" * 5000)
    assert (ending.reported, len(ending.report)) == (False, 1000)
    assert "longer than 1000 bytes" in ending.reason


def test_a_guest_that_is_never_silent_is_not_read_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What its console still has after the report is read so often and no oftener."""
    monkeypatch.setattr(booting, "_DRAINED", 0)
    said = {name: socket.socketpair() for name in CHANNELS}
    own = {name: pair[0] for name, pair in said.items()}
    said["qmp"][1].close()
    said["console"][1].sendall(b"x" * 100_000)
    said["report"][1].sendall(report([]))
    with subprocess.Popen(["sleep", "60"]) as process:
        ending = booting._Boot(process, own, watch()).watched()
        process.kill()
    for pair in said.values():
        for each in pair:
            each.close()
    assert ending.reported
    assert len("".join(ending.console.lines(limit=KEPT))) <= 65536


def test_a_guest_that_reports_slowly_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """In emergency mode, on a loaded host: the time begins anew with whatever it says."""
    now = [1.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    said = {name: socket.socketpair() for name in CHANNELS}
    with subprocess.Popen(["sleep", "60"]) as guest:
        running = booting._Boot(guest, {name: pair[0] for name, pair in said.items()}, watch(1000))
        running._take("console", b"You are in emergency mode\r\n")
        running._take("report", b"begin 1\n")
        reasons = []
        for step in (0, 80, 80, 80):
            now[0] += step
            running._take("report", b"job a.service start running\n")
            reasons.append(running._ended())
        now[0] += 100
        reasons.append(running._ended())
        guest.kill()
    for pair in said.values():
        for each in pair:
            each.close()
    assert reasons == ["", "", "", "", "the system started in emergency mode"]


BUSES = tuple(DISKS)


@pytest.mark.parametrize(
    "hardware",
    [
        *(
            Hardware(disks=(*BUSES[number:], *BUSES[:number]), controller=controller, memory=64)
            for number, controller in enumerate(CONTROLLERS)
        ),
        Hardware(
            chipset="pc",
            disks=("ide",) * 4,
            cards=tuple(Card(f"52:54:00:00:00:0{n}", m) for n, m in enumerate(CARDS)),
            uuid="7c1b0d3e-0000-4000-8000-0123456789ab",
            memory=64,
        ),
    ],
    ids=lambda hardware: f"{hardware.controller}-{hardware.disks[0]}",
)
def test_qemu_knows_every_device(tmp_path: Path, hardware: Hardware) -> None:
    seed = tmp_path / "seed,readonly=off.iso"
    seed.write_bytes(bytes(65536))
    disks = [disk(tmp_path / f"d{number}", b"") for number in range(len(hardware.disks))]
    ending = boot(Machine(hardware, disks, kvm=False, seed=seed), watch(1))
    assert ending.reason == "no report within 1 s"


def test_the_words_of_qemu_are_in_the_error(tmp_path: Path) -> None:
    missing = {"driver": "file", "filename": str(tmp_path / "none")}
    with pytest.raises(ToolError, match="No such file or directory"):
        boot(Machine(Hardware(), [{"driver": "raw", "file": missing}], kvm=False), watch())


def test_qemu_ends_with_this_process(tmp_path: Path) -> None:
    disk(tmp_path / "d0", program(b"", b""))
    source = f"""
import os, signal, threading
from unclone.images.boot.booting import Watch, boot
from unclone.images.boot.command import Machine
from unclone.images.boot.hardware import Hardware
from unclone.images.interrupts import raise_terminated
raise_terminated()
node = {{"driver": "raw", "file": {{"driver": "file", "filename": {str(tmp_path / "d0")!r}}}}}
threading.Timer(2, os.kill, (os.getpid(), signal.SIGTERM)).start()
no = lambda data: False
try:
    boot(Machine(Hardware(memory=64), [node], False), Watch(no, no, 100))
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.stdout == "interrupted\n", done.stderr
    assert os.fsencode(tmp_path) not in _commands()


def _commands() -> bytes:
    return subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, check=True).stdout


def test_a_picture_has_the_chunks_of_a_png() -> None:
    png = png_from_ppm(b"P6\n2 1\n255\n" + bytes([255, 0, 0, 0, 0, 255]))
    assert struct.unpack(">II", png[16:24]) == (2, 1)
    assert zlib.decompress(png[41:-16]) == bytes([0, 255, 0, 0, 0, 0, 255])
    with pytest.raises(ValueError, match="not as large"):
        png_from_ppm(b"P6\n2 2\n255\n" + bytes(6))
