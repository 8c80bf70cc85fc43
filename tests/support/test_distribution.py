"""The order of the whole suite on several processors: what takes minutes begins first."""

from __future__ import annotations

import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_what_takes_minutes_comes_first_and_files_stay_together() -> None:
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
    assert len(order) == len(set(order)), "a file stays in one piece"
    boots, packaging, appliance, fast = (
        order.index(file)
        for file in (
            "tests/unclone/test_boot_identifiers.py",
            "tests/packaging/test_environments.py",
            "tests/images/engines/guestfs/test_volumes.py",
            "tests/images/test_clock.py",
        )
    )
    assert boots < packaging < appliance < fast
