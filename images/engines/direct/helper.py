"""Processes of our own that work on what a guest wrote: an interpreter that loads little."""

from __future__ import annotations

import marshal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from images import process

if TYPE_CHECKING:
    import subprocess

#: Without site-packages and the user's settings: a third of an interpreter's starting time.
_FLAGS = ("-I", "-S", "-X", "utf8")
_START = "import sys; sys.path.insert(0, sys.argv[1]); from {} import main; main(*sys.argv[2:])"


def start_helper(module: str, *message: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 (as sent)
    """Start ``main()`` of *module*, with *message* (if any) marshalled, as hexadecimal digits."""
    packages = Path(__file__).parents[3]
    argument = [marshal.dumps(message).hex()] if message else []
    code = _START.format(module)
    return process.start([sys.executable, *_FLAGS, "-c", code, str(packages), *argument])
