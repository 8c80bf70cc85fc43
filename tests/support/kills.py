"""Runs that are killed or sent a signal, and what must be true afterwards."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.command import PROGRAM, process
from tests.support.disks import BARE_ROOT, Part, make_disk

if TYPE_CHECKING:
    from collections.abc import Mapping

ID = "0123456789abcdef0123456789abcdef"
TREE = {
    **BARE_ROOT,
    "/etc/machine-id": f"{ID}\n",
    "/var/lib/dbus/machine-id": f"{ID}\n",
    "/usr/lib/systemd/systemd": "ELF",
    **{f"/var/log/journal/{ID}/{number}.journal": b"x" * 20_000 for number in range(30)},
}

STATUSES = {signal.SIGTERM: 143, signal.SIGHUP: 129}

#: What is announced while a run changes something, in order.
PHASES = ("changing", "reading everything back", "committing")
#: Formats that are read by their own tables, and through qemu-nbd.
FORMS = ("qcow2", "vdi")
_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def golden(path: Path, form: str = "qcow2") -> Path:
    """Make a guest to copy."""
    return make_disk(path, [Part("ext4", tree=TREE)], form=form)


def copied(image: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(image, folder / image.name))


def identity(image: Path) -> str:
    """Say "old", "new", or what else the machine-id files and the journal on *image* are."""
    raw = image.with_suffix(".raw")
    subprocess.run(["qemu-img", "convert", "-O", "raw", image, raw], check=True)
    try:
        target = f"{raw}?offset={1024 * 1024}"
        sound = subprocess.run(["e2fsck", "-fn", target], capture_output=True, check=False)
        script = "cat /etc/machine-id\nls -p /var/lib/dbus\nls -p /var/log/journal\n"
        said = subprocess.run(
            ["debugfs", "-f", "-", target], input=script.encode(), capture_output=True, check=True
        ).stdout.decode()
    finally:
        raw.unlink()
    assert sound.returncode == 0, sound.stdout
    present = (f"\n{ID}\n" in said, "/machine-id/" in said, f"/{ID}/" in said)
    if present == (True, True, True):
        return "old"
    return said if any(present) else "new"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def started(
    *images: Path, engine: str = "direct", temporary: Path | None = None, before: str = ""
) -> subprocess.Popen[str]:
    """A run on *images* by the program *before*, if one is given."""
    argv = [before] if before else []
    argv += [os.fspath(PROGRAM), "sanitize", "--engine", engine, *map(os.fspath, images)]
    environment = {**os.environ, "TMPDIR": str(temporary)} if temporary else None
    return subprocess.Popen(
        argv,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment,
    )


def interrupted(
    run: subprocess.Popen[str],
    phase: str,
    number: signal.Signals = signal.SIGINT,
    *,
    process_group: bool = True,
) -> str:
    """Send Ctrl-C to the whole foreground, as a terminal does, when *phase* is announced."""
    assert run.stderr is not None
    said = ""
    for line in run.stderr:
        said += line
        if phase in line:
            (os.killpg if process_group else os.kill)(run.pid, number)
            break
    said += run.communicate(timeout=120)[1]
    return said


def mounts_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if f" {folder}/" in line]


def processes_with(image: Path) -> list[str]:
    """The command lines of processes that name *image*."""
    done = subprocess.run(["pgrep", "-fa", str(image)], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


@dataclass(frozen=True)
class Undisturbed:
    """A guest to copy, and the seconds that each of :data:`PHASES` takes when nothing happens."""

    image: Path
    seconds: Mapping[str, float]

    @classmethod
    def measured(cls, image: Path, folder: Path) -> Undisturbed:
        """As a run on a copy of *image* in *folder* shows."""
        run = started(copied(image, folder))
        assert run.stderr is not None
        times = [(line, time.monotonic()) for line in run.stderr]
        assert run.wait() == 0, times
        times.append(("", time.monotonic()))
        begun = [next(at for line, at in times if phase in line) for phase in PHASES]
        ends = [*begun[1:], times[-1][1]]
        return cls(image, {p: e - b for p, b, e in zip(PHASES, begun, ends, strict=True)})


def strike(guest: Undisturbed, folder: Path, seed: int) -> str:
    """End a run at a random moment of a phase by a random signal, and look at what is left.

    Returns what became of the image: "old", "new" or, when the run was over by then, "done".
    Everything else is an AssertionError.
    """
    chance = random.Random(seed)
    phase, number = chance.choice(PHASES), chance.choice(_SIGNALS)
    image, temporary = copied(guest.image, folder / "images"), folder / "temporary"
    temporary.mkdir()
    run = started(image, temporary=temporary)
    assert run.stderr is not None
    said = ""
    while phase not in said and (line := run.stderr.readline()):
        said += line
    time.sleep(guest.seconds[phase] * 1.2 * chance.random())
    (os.killpg if number is signal.SIGINT else os.kill)(run.pid, number)
    said += run.communicate(timeout=120)[1]
    name = f"seed {seed}: {number.name} while {phase}, status {run.returncode}: {said}"
    assert "Traceback" not in said, name
    assert run.returncode in {0, 1, STATUSES.get(number, 1), -number}, name
    if number is not signal.SIGKILL:
        assert list(temporary.iterdir()) == [], name
        assert [p.name for p in image.parent.iterdir()] == [image.name], name
    environment = {**os.environ, "TMPDIR": str(temporary)}
    for _ in range(100):  # a child that has not noticed yet still holds the lock
        recovered = process("recover", image, env=environment)
        if recovered.returncode != 3:
            break
        time.sleep(0.1)
    assert recovered.returncode == 0, f"{name}\n{recovered.stderr}"
    assert [p.name for p in image.parent.iterdir()] == [image.name], name
    assert list(temporary.iterdir()) == [], name
    assert not processes_with(folder), name
    assert not mounts_below(folder), name
    checked = subprocess.run(["qemu-img", "check", "-q", image], check=False)
    assert checked.returncode == 0, name
    became = identity(image)
    assert became in {"old", "new"}, f"{name}\n{became}"
    if became == "old":
        assert run.returncode, name
        assert digest(image) == digest(guest.image), name
    again = process("sanitize", "--engine", "direct", image)
    assert again.returncode == 0, f"{name}\n{again.stderr}"
    assert identity(image) == "new", name
    return became if run.returncode else "done"
