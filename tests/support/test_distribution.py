"""The order of the whole suite on several processors: what takes minutes begins first."""

from __future__ import annotations

import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_what_takes_minutes_comes_first_and_groups_stay_together() -> None:
    collected = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-q",
            "-p",
            "tests.support.distribution",
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    files = [line.partition("::")[0] for line in collected if "::" in line]
    order = [file for file, _ in groupby(files)]
    clones = ["tests/unclone/test_boot.py", "tests/unclone/test_real_guest.py"]
    assert order[:2] == clones
    boots = [place for place, file in enumerate(order) if file.endswith("test_boot_identifiers.py")]
    appliance = order.index("tests/images/engines/guestfs/test_volumes.py")
    assert 1 < appliance < boots[0] < order.index("tests/packaging/test_environments.py") < 40
    # Only tests for the appliance are taken out of their files, and those of sanitised guests.
    twice = {file for file in order if order.count(file) > 1}
    assert "tests/images/engines/test_conformance.py" in twice
    assert all(order.count(file) == 2 for file in twice)
