"""The command: in this process, or in one of its own as people start it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from tests.support.documents import check_output
from unclone.cli.main import cli

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: The script that pip installed beside the interpreter which runs the tests.
PROGRAM = Path(sys.executable).with_name("unclone")


def unclone(
    *arguments: str | Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, which saves starting an interpreter and loading it.

    *env* replaces the environment. What the command raises, the test gets.
    """
    with _environment(env):
        done = CliRunner().invoke(
            cli, [os.fspath(each) for each in arguments], catch_exceptions=False
        )
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def sanitized(*arguments: str | Path) -> dict[str, Any]:
    """The one result of ``unclone sanitize --json`` with *arguments*, which has to succeed."""
    done = unclone("sanitize", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["results"]
    return dict(found)


def process(
    *arguments: str | Path, env: Mapping[str, str] | None = None, timeout: float = 600
) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a process of its own; *env* replaces the environment.

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


@contextmanager
def _environment(wanted: Mapping[str, str] | None) -> Iterator[None]:
    """Have no environment but *wanted*, unless it is None."""
    if wanted is None:
        yield
        return
    before, tempfile.tempdir = dict(os.environ), None  # TMPDIR is read once
    try:
        os.environ.clear()
        os.environ.update(wanted)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        tempfile.tempdir = None
