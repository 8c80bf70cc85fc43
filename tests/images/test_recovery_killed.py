"""A run that is killed leaves the old or the new image, in every format."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.disk_images import (
    MIB,
    NEW,
    Kind,
    digests,
    fill,
    make,
    sound,
)
from tests.support.transactions import BY_NAME, names
from unclone.images import journal
from unclone.images.errors import InUseError
from unclone.images.recovery import Action, recover

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from unclone.images.recovery import Recovery


RUN = f"""
import sys
from pathlib import Path
from unclone.images.transaction import Disk, InPlace
from tests.support.disk_images import fill
with InPlace([Disk(Path(sys.argv[1]))]) as transaction:
    print("open", flush=True)
    for part in range(4):
        fill(transaction.overlays[0], {NEW}, (3 + 4 * part) * {MIB}, 4 * {MIB})
    print("commit", flush=True)
    transaction.commit()
"""
CHANGED = (3 * MIB, 16 * MIB)


def seen(ending: str) -> Callable[[Path], bool]:
    return lambda directory: any(name.endswith(ending) for name in os.listdir(directory))


def gone(ending: str) -> Callable[[Path], bool]:
    """True once a name with *ending* has been there and is not any more."""
    state = {"seen": False}

    def condition(directory: Path) -> bool:
        there = seen(ending)(directory)
        state["seen"] |= there
        return state["seen"] and not there

    return condition


def at_size(ending: str, size: int) -> Callable[[Path], bool]:
    def condition(directory: Path) -> bool:
        return any(
            entry.name.endswith(ending) and entry.stat().st_size >= size
            for entry in os.scandir(directory)
        )

    return condition


def finished(directory: Path) -> bool:
    found = journal.read(directory / "disk.img")
    return isinstance(found, journal.Marker) and found.finished


def written(directory: Path) -> bool:
    return seen("journal.json")(directory) and (
        (directory / "disk.img").stat().st_mtime_ns
        > (directory / ".disk.img.unclone-journal.json").stat().st_mtime_ns
    )


def after(condition: Callable[[Path], bool], seconds: float) -> Callable[[Path], bool]:
    state = {"since": 0.0}

    def later(directory: Path) -> bool:
        if not state["since"] and condition(directory):
            state["since"] = time.monotonic()
        return bool(state["since"]) and time.monotonic() - state["since"] >= seconds

    return later


#: Where a run is killed: at what its directory looks like, and so long after.
POINTS: dict[str, Callable[[], Callable[[Path], bool]]] = {
    "at the start": lambda: lambda directory: True,
    "0.15 s later": lambda: after(lambda directory: True, 0.15),
    "0.25 s later": lambda: after(lambda directory: True, 0.25),
    "0.35 s later": lambda: after(lambda directory: True, 0.35),
    "empty overlay": lambda: seen("overlay.qcow2"),
    "overlay made": lambda: at_size("overlay.qcow2", 65536),
    "overlay of 5 MiB": lambda: at_size("overlay.qcow2", 5 * MIB),
    "overlay complete": lambda: after(at_size("overlay.qcow2", 16 * MIB), 0.05),
    "reserve": lambda: seen("reserve"),
    "reserve full": lambda: at_size("reserve", 16 * MIB),
    "journal being written": lambda: seen("journal.json.new"),
    "journal": lambda: seen("journal.json"),
    "reserve gone": lambda: gone("reserve"),
    "0.02 s into the commit": lambda: after(gone("reserve"), 0.02),
    "0.03 s into the commit": lambda: after(gone("reserve"), 0.03),
    "0.04 s into the commit": lambda: after(gone("reserve"), 0.04),
    "image being written": lambda: written,
    "0.003 s into the writing": lambda: after(written, 0.003),
    "0.01 s into the writing": lambda: after(written, 0.01),
    "marked as finished": lambda: finished,
    "overlay gone": lambda: gone("overlay.qcow2"),
    "journal gone": lambda: gone("journal.json"),
}
KILLED = ("qcow2", "raw", "vmdk-monolithicSparse", "vdi", "vhdx", "qcow2-small-clusters")
LAZY = Kind("qcow2-lazy-refcounts", "qcow2", "lazy_refcounts=on")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "kind"),
    [(point, KILLED[number % len(KILLED)]) for number, point in enumerate(POINTS)]
    + [(point, "qcow2-lazy-refcounts") for point in POINTS if "writ" in point],
)
def test_a_killed_run_leaves_the_old_or_the_new_image(
    tmp_path: Path, point: str, kind: str
) -> None:
    flavour = LAZY if kind == LAZY.name else BY_NAME[kind]
    fmt = flavour.format
    directory = tmp_path / "images"
    directory.mkdir()
    image = make(directory / "disk.img", flavour)
    original, complete = tmp_path / "original.img", tmp_path / "complete.img"
    shutil.copy(image, original)
    shutil.copy(image, complete)
    fill(complete, NEW, *CHANGED, fmt)
    before = digests([image])

    kill(image, POINTS[point]())
    found = recover_when_free(image)

    if found.action is Action.FINISHED:
        assert same(image, complete, fmt)
    elif found.action is Action.DISCARDED:
        assert digests([image]) == before
    else:
        assert same(image, original, fmt) or same(image, complete, fmt)
    assert sound(image, fmt)
    assert names(directory) == ["disk.img"]
    assert recover(image).action is Action.NOTHING


def kill(image: Path, condition: Callable[[Path], bool]) -> None:
    """Start a run on *image* and SIGKILL it as soon as *condition* holds."""
    with subprocess.Popen([sys.executable, "-c", RUN, image], stdout=subprocess.PIPE) as run:
        while run.poll() is None and not condition(image.parent):
            time.sleep(0)
        run.send_signal(signal.SIGKILL)


def recover_when_free(image: Path) -> Recovery:
    """The recovery; the killed run's last tool may need a moment to follow it."""
    for _ in range(1000):
        try:
            return recover(image)
        except InUseError:
            time.sleep(0.01)
    pytest.fail("the image stayed locked")


def same(image: Path, other: Path, fmt: str) -> bool:
    done = subprocess.run(
        ["qemu-img", "compare", "-q", "-f", fmt, "-F", fmt, image, other], check=False
    )
    return done.returncode == 0
