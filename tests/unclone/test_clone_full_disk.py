"""A full disk: machines are complete or absent, and the rest is made once there is room."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.command import unclone
from tests.unclone.test_clone_interrupted import records, values
from tests.unclone.test_clone_stamped import golden_image
from unclone.sanitize.identities.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow


def visible(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@pytest.mark.parametrize(
    ("count", "kib", "options"),
    [
        (8, 20, ()),  # no room for what is decided
        (20, 2500, ()),  # for some of the machines
        (1, 1000, ("--mode", "copy")),
    ],
    ids=["deciding", "stamping", "copy"],
)
def test_a_full_disk(
    tmp_path: Path,
    tiny_tmpfs: Callable[[int], Path],
    count: int,
    kib: int,
    options: tuple[str, ...],
) -> None:
    golden, book = golden_image(tmp_path, "GPT"), tmp_path / "ledger"
    vms = tiny_tmpfs(kib)
    names = ("--name", "web-{:02}", "--count", str(count))
    command: list[str | Path] = ["clone", golden, *names, *options, "-o", vms, "--ledger", book]
    done = unclone(*command)
    assert done.returncode == 1, done.stderr
    assert "no space left" in done.stderr.lower()
    assert re.search("Free some (disk )?space", done.stderr)
    made = records(vms)
    assert len(made) < count
    assert visible(vms) == sorted(made)
    with Ledger.open(book) as ledger:
        assert sorted(each.name for each in ledger.machines()) == sorted(made)
    subprocess.run(["mount", "-o", "remount,size=200m", vms], check=True)
    again = unclone(*command)
    assert again.returncode == 0, again.stderr
    now = records(vms)
    assert visible(vms) == sorted(now)
    assert len(now) == count
    assert {name: now[name] for name in made} == made
    given = [value for one in now.values() for value in values(one)]
    assert len(given) == len(set(given))
