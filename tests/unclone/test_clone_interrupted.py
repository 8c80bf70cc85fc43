"""Killed at any moment: every machine is complete or absent, and no value is given twice."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import PROGRAM, unclone
from tests.unclone.test_clone_stamped import golden_image
from unclone.sanitize.identities.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

COUNT = 40


def records(vms: Path) -> dict[str, dict[str, Any]]:
    """Who each machine is; every file that its record names has to be there, as it says."""
    found = {}
    for path in sorted(each for each in vms.iterdir() if not each.name.startswith(".")):
        document = json.loads((path / "machine.json").read_text())
        for file in document["files"]:
            assert (path / file["path"]).stat().st_size == file["size"]
        found[path.name] = document["machine"]
    return found


def values(identity: dict[str, Any]) -> set[str]:
    return {*identity["identifiers"].values(), *(each["new"] for each in identity["values"])}


@pytest.mark.parametrize("seed", range(6))
def test_killed_and_resumed(tmp_path: Path, seed: int) -> None:
    golden, vms, book = golden_image(tmp_path, "GPT"), tmp_path / "vms", tmp_path / "ledger"
    arguments = ("--name", "web-{:02}", "--count", str(COUNT), "-o", vms, "--ledger", book, "-q")
    command = ("clone", golden, *arguments)
    before = time.monotonic()
    subprocess.run([PROGRAM, "clone", golden, "--name", "first-{}", "--count", "8", "-o", vms],
                   check=True, capture_output=True)  # fmt: skip
    lasts = time.monotonic() - before
    draw = random.Random(seed)
    seen: dict[str, dict[str, Any]] = {}
    for _ in range(6):
        process = subprocess.Popen([PROGRAM, *command], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)  # fmt: skip
        time.sleep(draw.uniform(0, lasts))
        process.send_signal(draw.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
        process.wait()
        now = records(vms)
        assert {name: now[name] for name in seen} == seen, "what is complete is left alone"
        seen = now
    done = unclone(*command)
    assert done.returncode == 0, done.stderr
    made = {name: one for name, one in records(vms).items() if name.startswith("web-")}
    assert len(made) == COUNT
    assert not [each for each in vms.iterdir() if each.name.startswith(".")]
    given = [value for one in made.values() for value in values(one)]
    assert len(given) == len(set(given))
    with Ledger.open(book) as ledger:
        for name, one in made.items():
            known = ledger.machine(name)
            assert known is not None
            assert values(one) <= {each.value for each in known.identities}
