"""The installed command, started the way people start it: in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.documents import check_output

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The script that pip installed beside the interpreter which runs the tests.
PROGRAM = Path(sys.executable).with_name("unclone")


def unclone(
    *arguments: str | Path, env: Mapping[str, str] | None = None, timeout: float = 600
) -> subprocess.CompletedProcess[str]:
    """Run ``unclone`` with *arguments* and return how it ended; *env* replaces the environment.

    A document on stdout has to be as its schema says.
    """
    done = subprocess.run(
        [PROGRAM, *arguments],
        capture_output=True,
        check=False,
        text=True,
        errors="surrogateescape",
        env=env,
        timeout=timeout,
    )
    check_output(arguments, done.stdout)
    return done
