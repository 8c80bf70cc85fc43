"""Processes of our own that work on what a guest wrote: an interpreter that loads little."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from images import process

if TYPE_CHECKING:
    import subprocess

#: Without site-packages and the user's settings: a third of an interpreter's starting time.
_FLAGS = ("-I", "-S", "-X", "utf8")
_START = "import sys; sys.path.insert(0, sys.argv[1]); from {} import main; main()"


def start_helper(module: str) -> subprocess.Popen[bytes]:
    """Start ``main()`` of *module*, with pipes to it."""
    packages = Path(__file__).parents[3]
    code = _START.format(module)
    return process.start([sys.executable, *_FLAGS, "-c", code, str(packages)])
