"""The real guest and two sanitised copies of it, made once for every test that looks at them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.guests import debian
from tests.support import command, readback
from tests.support.clones import IDENTITY, KEPT, Clone, Clones

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def golden() -> Path:
    """The guest as it was built; read-only, shared by all tests."""
    return debian.cached(print)


@pytest.fixture(scope="session")
def clones(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Clones:
    """Two copies of the guest, each sanitised by the command, and each through another engine."""
    folder = tmp_path_factory.mktemp("clones")
    made = []
    for name, engine in (("web-01", "direct"), ("web-02", "guestfs")):
        image = folder / f"{name}.qcow2"
        shutil.copyfile(golden, image)
        done = command.process("sanitize", "--engine", engine, "--json", image)
        assert done.returncode == 0, done.stderr
        made.append(Clone(image, json.loads(done.stdout)["results"][0]))
    claimed = {path for clone in made for path in clone.paths_of_changes()}
    paths = sorted(claimed.union(IDENTITY, KEPT))
    before, *after = readback.read([golden, *(clone.image for clone in made)], paths)
    return Clones(golden, before, (made[0], made[1]), (after[0], after[1]))


@pytest.fixture
def tiny_tmpfs(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes a file system of that many KiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system to fill")
    mounted: list[Path] = []

    def make(kib: int) -> Path:
        point = tmp_path / f"tmpfs{len(mounted)}"
        point.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", point], check=True)
        mounted.append(point)
        return point

    yield make
    for point in mounted:
        subprocess.run(["umount", point], check=True)
