"""Progress: a bar on a terminal, lines elsewhere, nothing when asked, and never on stdout."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.command import process
from tests.support.disks import BARE_ROOT, Part, make_disk
from unclone.cli.phases import PHASES
from unclone.cli.progress import LineProgress, Progress, SilentProgress, progress_for
from unclone.cli.progress_bar import BarProgress

if TYPE_CHECKING:
    from pathlib import Path

#: What a run says, with a name that would colour the terminal or forge a line.
SCRIPT = """
import sys
from unclone.cli.phases import PHASES
from unclone.cli.progress import progress_for
with progress_for(quiet="-q" in sys.argv) as progress:
    progress.begin("web\\x1b[31m[bold]\\n.qcow2")
    for phase in PHASES:
        progress.phase(phase)
    progress.say("[red]KVM[/red] :smile: \\x1b[2J")
    progress.warn("low space")
    with progress.paused():
        pass
    progress.fail("it broke", "repair /a/very/long/path" + "/x" * 60)
"""


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "term", "quiet", "expected"),
    [
        (_Terminal(), "xterm", False, BarProgress),
        (_Terminal(), "dumb", False, LineProgress),
        (io.StringIO(), "xterm", False, LineProgress),
        (_Terminal(), "xterm", True, SilentProgress),
    ],
)
def test_the_kind_that_fits(
    stream: io.StringIO,
    term: str,
    quiet: bool,
    expected: type[Progress],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", term)
    assert type(progress_for(quiet=quiet, stream=stream)) is expected


def test_lines_elsewhere() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    lines = done.stderr.splitlines()
    assert done.stdout == ""
    prefix = r"unclone: web\x1b[31m[bold]\n.qcow2: "
    assert lines[: len(PHASES)] == [prefix + words for words in PHASES.values()]
    assert lines[len(PHASES) :] == [
        prefix + r"[red]KVM[/red] :smile: \x1b[2J",
        prefix + "warning: low space",
        prefix + "it broke",
        "  repair /a/very/long/path" + "/x" * 60,
    ]


def test_silence_keeps_failures() -> None:
    argv = [sys.executable, "-c", SCRIPT, "-q"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert [line.split(": ")[-1].strip() for line in done.stderr.splitlines()] == [
        "it broke",
        "repair /a/very/long/path" + "/x" * 60,
    ]


@pytest.mark.slow
def test_a_quiet_run_without_a_terminal_writes_nothing_to_stderr(tmp_path: Path) -> None:
    image = make_disk(tmp_path / "a.qcow2", [Part("ext4", tree=BARE_ROOT)], form="qcow2")
    done = process("sanitize", "-q", "--engine", "direct", image)
    assert (done.returncode, done.stderr) == (0, "")


def on_terminal(**env: str) -> str:
    """What the script shows on a real (pseudo) terminal as stderr."""
    primary, secondary = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdout=subprocess.PIPE,
        stderr=secondary,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "70", **env},
    )
    os.close(secondary)
    shown = b""
    while True:
        try:
            chunk = os.read(primary, 65536)
        except OSError:  # Linux says EIO when the other end is closed
            break
        shown += chunk
    os.close(primary)
    out, _ = process.communicate()
    assert (process.returncode, out) == (0, b"")
    return shown.decode()


def test_a_bar_on_a_terminal() -> None:
    shown = on_terminal()
    assert "\x1b[?25l" in shown  # rich hides the cursor while a bar moves
    assert r"web\x1b[31m[bold]\n.qcow2" in shown
    assert r"[red]KVM[/red] :smile: \x1b[2J" in shown
    assert "\x1b[2J" not in shown
    assert "/a/very/long/path" + "/x" * 60 in shown
    assert shown.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in shown


@pytest.mark.slow
def test_no_color_is_honoured() -> None:
    coloured, plain = on_terminal(), on_terminal(NO_COLOR="1")
    assert "\x1b[33m" in coloured
    assert "\x1b[33m" not in plain


def test_more_images_than_expected_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")  # rich draws no bar on a dumb one
    stream = _Terminal()
    with BarProgress(stream, threads=False) as progress:
        progress.expect(2)
        for name in ("one", "two", "three"):
            progress.begin(name)
            progress.finish()
        progress.tick()
    assert "3 of 3" in stream.getvalue()
    assert "3 of 2" not in stream.getvalue()
