"""How many programs a run starts: each costs as much as a good part of the run."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import families
from tests.support.command import PROGRAM
from tests.support.disks import Part, make_disk

if TYPE_CHECKING:
    from pathlib import Path

#: The image is checked and opened by QEMU, its age asked for, the overlay checked and committed.
STARTED = ["qemu-img check", "qemu-img check", "qemu-img commit", "qemu-img info", "stat"]


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
def test_a_run_starts_no_other_interpreter(tmp_path: Path, count: int) -> None:
    """All programs but e2fsck are started through setpriv, and here one that writes them down."""
    log, recorder = tmp_path / "log", tmp_path / "bin/setpriv"
    recorder.parent.mkdir()
    recorder.write_text(f'#!/bin/sh\necho "$4 $5" >>{log}\nexec /usr/bin/setpriv "$@"\n')
    recorder.chmod(0o755)
    images = [
        make_disk(
            tmp_path / f"{number}.qcow2",
            [Part("ext4", tree=families.DEBIAN_12, size=64)],
            form="qcow2",
        )
        for number in range(count)
    ]
    path = f"{recorder.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [PROGRAM, "sanitize", "--engine", "direct", "--uuids", "keep", *images],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    started = [line.removesuffix(" -L") for line in log.read_text().splitlines()]
    assert sorted(started) == sorted(STARTED * count)
