"""Runs that are killed or sent a signal, and what must be true afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.appliance import require_clean
from tests.support.command import PROGRAM, process
from tests.support.disks import BARE_ROOT, Part, make_disk
from unclone.runs.listener import NullListener

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

#: What it can be asked of, and the engine that changes it.
ENGINES = {"ext4": "direct", "xfs": "appliance", "btrfs": "appliance"}

STATUSES = {signal.SIGTERM: 143, signal.SIGHUP: 129}

#: What is announced while a run changes something, in order.
PHASES = ("changing", "reading everything back", "committing")
#: What is announced when there is no frozen machine yet.
FREEZING = "a virtual machine is booted once"
#: Formats that are read by their own tables, and through qemu-nbd.
FORMS = ("qcow2", "vdi")
_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def golden(path: Path, form: str = "qcow2", kind: str = "ext4") -> Path:
    """Make a guest to copy."""
    return make_disk(path, [Part(kind, tree=TREE)], form=form)


def copied(image: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(image, folder / image.name))


def identity(image: Path, kind: str = "ext4") -> str:
    """Say "old", "new", or what else the machine-id files and the journal on *image* are.

    Its file system, of type *kind*, has to be sound.
    """
    with tempfile.TemporaryDirectory(dir=image.parent) as work:
        raw, partition = Path(work) / "raw", Path(work) / "partition"
        subprocess.run(["qemu-img", "convert", "-O", "raw", image, raw], check=True)
        part = {"driver": "raw", "offset": 1024 * 1024}
        part |= {"file": {"driver": "file", "filename": str(raw)}}
        source = f"json:{json.dumps(part)}"
        subprocess.run(["qemu-img", "convert", "-O", "raw", source, partition], check=True)
        require_clean(partition, kind)
        present = _PRESENT[kind](partition)
    if present == (True, True, True):
        return "old"
    return str(present) if any(present) else "new"


def _in_ext(partition: Path) -> tuple[bool, bool, bool]:
    """Whether the id is in /etc, the file is in /var/lib/dbus, and the journal has its folder."""
    script = "cat /etc/machine-id\nls -p /var/lib/dbus\nls -p /var/log/journal\n"
    said = subprocess.run(
        ["debugfs", "-f", "-", partition], input=script.encode(), capture_output=True, check=True
    ).stdout.decode()
    return f"\n{ID}\n" in said, "/machine-id/" in said, f"/{ID}/" in said


def _in_xfs(partition: Path) -> tuple[bool, bool, bool]:
    script = "path /etc/machine-id\nprint core.size\npath /var/lib/dbus\nls\n"
    script += "path /var/log/journal\nls\n"
    said = subprocess.run(
        ["xfs_db", "-r", partition], input=script, capture_output=True, text=True, check=True
    ).stdout
    return f"core.size = {len(ID) + 1}\n" in said, " machine-id (" in said, f" {ID} (" in said


def _in_btrfs(partition: Path) -> tuple[bool, bool, bool]:
    with tempfile.TemporaryDirectory(dir=partition.parent) as work:
        folder = Path(work)
        subprocess.run(["btrfs", "restore", partition, folder], capture_output=True, check=True)
        id_file = folder / "etc/machine-id"
        return (
            id_file.exists() and ID in id_file.read_text(),
            (folder / "var/lib/dbus/machine-id").exists(),
            (folder / "var/log/journal" / ID).exists(),
        )


_PRESENT = {"ext4": _in_ext, "xfs": _in_xfs, "btrfs": _in_btrfs}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def started(
    *images: Path,
    engine: str = "direct",
    temporary: Path | None = None,
    cache: Path | None = None,
    before: str = "",
) -> subprocess.Popen[str]:
    """A run on *images* by the program *before*, if one is given."""
    argv = [before] if before else []
    argv += [os.fspath(PROGRAM), "sanitize", "--engine", engine, *map(os.fspath, images)]
    return subprocess.Popen(
        argv,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment(temporary, cache),
    )


def environment(temporary: Path | None = None, cache: Path | None = None) -> dict[str, str]:
    """This process' environment, but for the folders that are given."""
    given = {"TMPDIR": temporary, "XDG_CACHE_HOME": cache}
    return {**os.environ, **{name: str(path) for name, path in given.items() if path}}


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


def runs(child: str, program: str) -> bool:
    """Whether the process *child* was started as *program*, or forked with that name."""
    return any(program in Path("/proc", child, file).read_text() for file in ("cmdline", "comm"))


class Breaker(NullListener):
    """Crashes children of this process that run *program* when *phase* begins; keeps what is said.

    The first so many *times*.
    """

    def __init__(self, program: str, phase: str = "apply", *, times: int = 1000) -> None:
        self.said: list[str] = []
        self._program, self._phase, self._times = program, phase, times

    def phase(self, name: str) -> None:
        if name != self._phase or not self._times:
            return
        self._times -= 1
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        for child in children:
            if runs(child, self._program):
                os.kill(int(child), signal.SIGSEGV)

    def say(self, message: str) -> None:
        self.said.append(message)


@dataclass(frozen=True)
class Undisturbed:
    """A guest to copy, and the seconds that each phase takes when nothing happens."""

    image: Path
    kind: str
    seconds: Mapping[str, float]

    @classmethod
    def measured(cls, image: Path, folder: Path, kind: str = "ext4") -> Undisturbed:
        """As a run on a copy of *image*, with a file system of type *kind*, in *folder* shows."""
        cache = folder.parent / "cache"  # the first of several guests freezes a machine
        run = started(copied(image, folder), engine=ENGINES[kind], cache=cache)
        assert run.stderr is not None
        times = [(line, time.monotonic()) for line in run.stderr]
        assert run.wait() == 0, times
        times.append(("", time.monotonic()))
        phases = [p for p in (FREEZING, *PHASES) if any(p in line for line, _ in times)]
        begun = [next(at for line, at in times if phase in line) for phase in phases]
        ends = [*begun[1:], times[-1][1]]
        return cls(image, kind, {p: e - b for p, b, e in zip(phases, begun, ends, strict=True)})


def strike(guest: Undisturbed, folder: Path, seed: int) -> str:
    """End a run at a random moment of a phase by a random signal, and look at what is left.

    With the appliance, it is SIGKILL, for the run or its virtual machine. Returns what became of
    the image: "old", "new" or, when the run was over by then, "done". Everything else is an
    AssertionError.
    """
    chance = random.Random(seed)
    engine = ENGINES[guest.kind]
    # A machine takes many times as long to freeze as everything else together.
    phase = FREEZING if FREEZING in guest.seconds and not seed % 8 else chance.choice(PHASES)
    number = chance.choice(_SIGNALS) if engine == "direct" else signal.SIGKILL
    victim = "the run" if engine == "direct" else chance.choice(["the run", "qemu-system"])
    image, temporary = copied(guest.image, folder / "images"), folder / "temporary"
    cache = folder / "cache" if phase == FREEZING else None
    temporary.mkdir()
    run = started(image, engine=engine, temporary=temporary, cache=cache)
    assert run.stderr is not None
    said = ""
    while phase not in said and (line := run.stderr.readline()):
        said += line
    time.sleep(guest.seconds[phase] * 1.2 * chance.random())
    below = _descendants(run.pid)
    for target in [run.pid] if victim == "the run" else [p for p in below if victim in below[p]]:
        with suppress(ProcessLookupError):
            (os.killpg if number is signal.SIGINT else os.kill)(target, number)
    said += run.communicate(timeout=1800)[1]
    name = f"seed {seed}: {number.name} for {victim} while {phase}, status {run.returncode}: {said}"
    assert "Traceback" not in said, name
    assert run.returncode in {0, 1, STATUSES.get(number, 1), -number}, name
    if run.returncode != -signal.SIGKILL:
        assert list(temporary.iterdir()) == [], name
        assert [p.name for p in image.parent.iterdir()] == [image.name], name
    for _ in range(100):  # a child that has not noticed yet still holds the lock
        recovered = process("recover", image, env=environment(temporary, cache))
        if recovered.returncode != 3:
            break
        time.sleep(0.1)
    assert recovered.returncode == 0, f"{name}\n{recovered.stderr}"
    assert [p.name for p in image.parent.iterdir()] == [image.name], name
    assert list(temporary.iterdir()) == [], name
    # The kernel kills the helpers of a run that was killed, which takes a moment.
    for _ in range(100):
        if not processes_with(folder):
            break
        time.sleep(0.1)
    assert not processes_with(folder), name
    for _ in range(600):  # a process that is killed ends when it is given a processor
        left = [command for pid, command in below.items() if command and _command(pid) == command]
        if not left:
            break
        time.sleep(0.1)
    assert not left, f"{name}\n{left}"
    assert not mounts_below(folder), name
    checked = subprocess.run(["qemu-img", "check", "-q", image], check=False)
    assert checked.returncode == 0, name
    became = identity(image, guest.kind)
    assert became in {"old", "new"}, f"{name}\n{became}"
    if became == "old":
        assert run.returncode, name
        assert digest(image) == digest(guest.image), name
    if became == "new" or cache is not None or not seed % 5:  # else it is a run like any other
        again = process("sanitize", "--engine", engine, image, env=environment(cache=cache))
        assert again.returncode == 0, f"{name}\n{again.stderr}"
        assert identity(image, guest.kind) == "new", name
    if cache is not None:
        (machine,) = [p for p in (cache / "unclone/appliance").iterdir() if p.is_dir()]
        assert (machine / "description.json").exists(), name
    ending = became if run.returncode else "done"
    return ending if engine == "direct" else f"{ending}: {victim} while {phase}"


def _descendants(process: int) -> dict[int, str]:
    """The processes below *process*, with their command lines."""
    found: dict[int, str] = {}
    with suppress(OSError):  # it has ended
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            for child in map(int, children.read_text().split()):
                found |= {child: _command(child), **_descendants(child)}
    return found


def _command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""
