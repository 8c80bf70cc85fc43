"""Failures: the words, the hint, the status, and never a traceback unless asked for."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from unclone.cli.execute import execute
from unclone.cli.group import CommandGroup
from unclone.cli.main import cli
from unclone.cli.output_options import debug_option
from unclone.cli.progress import progress_for
from unclone.images.errors import (
    EngineError,
    ExitStatus,
    InUseError,
    Outcome,
    RefusedError,
    ResidueError,
    ToolError,
    UncloneError,
    UsageError,
)
from unclone.runs import failures
from unclone.runs.failures import InterruptedFleet, InterruptedRun, worst

if TYPE_CHECKING:
    from click.testing import Result

    from unclone.runs.listener import Listener


def raising(error: BaseException, *arguments: str) -> Result:
    @click.command("work")
    @debug_option
    def work() -> None:
        raise error

    group = CommandGroup(name="unclone", package="", summaries={}, aliases={})
    group.add_command(work)
    return CliRunner().invoke(group, ["work", *arguments])


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (UncloneError("a.qcow2: broke", hint="Mend it."), 1, ["a.qcow2: broke", "Mend it."]),
        (UsageError("no such file"), 2, ["no such file"]),
        (InUseError("a.qcow2 is in use"), 3, ["in use"]),
        (RefusedError("two guests"), 4, ["two guests"]),
        (ResidueError("the old id is left"), 5, ["the old id is left"]),
        (ToolError("qemu-img failed"), 1, ["qemu-img failed"]),
        (EngineError("no answer"), 1, ["no answer"]),
        (KeyboardInterrupt(), 1, ["interrupted; the image is as it was"]),
        (InterruptedRun("a", Outcome.UNCHANGED), 1, ["interrupted; the image is as it was"]),
        (InterruptedRun("a", Outcome.COMMITTED), 1, ["the image is complete"]),
        (InterruptedRun("a", Outcome.INCOMPLETE), 1, ["not complete", "`unclone recover a`"]),
        (
            InterruptedFleet(signal.SIGTERM),
            143,
            ["by SIGTERM; each machine is complete or was not made", "The same command makes"],
        ),
        (ZeroDivisionError("by zero"), 1, ["internal error: ZeroDivisionError: by zero", "report"]),
        (OSError(28, "No space left on device"), 1, ["internal error", "No space left"]),
        (RecursionError("deep"), 1, ["internal error"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_every_failure_has_words_and_a_status(
    error: BaseException, status: int, words: list[str]
) -> None:
    done = raising(error)
    assert (done.exit_code, done.stdout) == (status, "")
    assert [word for word in words if word not in done.stderr] == []
    assert "Traceback" not in done.stderr


def test_debug_adds_the_traceback() -> None:
    done = raising(ZeroDivisionError("by zero"), "--debug")
    assert done.exit_code == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert "internal error" in done.stderr


def test_a_message_cannot_forge_lines_or_colours() -> None:
    done = raising(UncloneError("a\nunclone: all is well\x1b[32m", hint="b\r\nc"))
    assert done.stderr.splitlines() == [
        r"unclone: a\nunclone: all is well\x1b[32m",
        r"  b\r\nc",
    ]


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], 0),
        ([0, 0], 0),
        ([0, 3], 3),
        ([3, 2, 0], 2),
        ([2, 4, 3], 4),
        ([4, 1, 3], 1),
        ([1, 5, 4], 5),
    ],
)
def test_the_most_severe_status_counts(statuses: list[int], expected: int) -> None:
    assert worst(map(ExitStatus, statuses)) == expected


def test_every_status_has_a_severity_and_a_name() -> None:
    assert set(failures.SEVERITY) == set(ExitStatus)
    assert set(failures.STATUS_NAMES) == set(ExitStatus) - {ExitStatus.DONE}


class _Never:
    def to_json(self) -> dict[str, object]:
        raise AssertionError


@pytest.mark.parametrize(
    ("phase", "words"),
    [("apply", "the image is as it was"), ("commit", "unclone recover")],
)
def test_ctrl_c_tells_before_the_commit_from_after(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], phase: str, words: str
) -> None:
    def work(listener: Listener) -> _Never:
        listener.phase(phase)
        raise KeyboardInterrupt

    ctx = click.Context(cli)
    with progress_for(quiet=True) as progress:
        done = execute(ctx, tmp_path / "a.qcow2", progress, work)
    assert (done.interrupted, done.status) == (True, ExitStatus.FAILED)
    assert words in capsys.readouterr().err
    assert isinstance(done.error, InterruptedRun) is (phase == "commit")
    assert done.to_json()["status"] == "failed"


# -- real images -----------------------------------------------------------------------------


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    (tmp_path / "empty.qcow2").touch()
    (tmp_path / "folder.qcow2").mkdir()
    (tmp_path / "text.qcow2").write_text("not an image\n" * 100)
    good = tmp_path / "cut.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(good), "64M"], check=True)
    good.write_bytes(good.read_bytes()[:60])
    return tmp_path


@pytest.mark.parametrize("command", ["sanitize", "inspect"])
@pytest.mark.parametrize("name", ["missing", "empty", "folder", "cut"])
def test_what_is_no_image_is_named_and_left_alone(bad: Path, name: str, command: str) -> None:
    image = bad / f"{name}.qcow2"
    before = image.read_bytes() if image.is_file() else None
    listing = sorted(os.listdir(bad))
    done = CliRunner().invoke(cli, [command, str(image)])
    assert done.exit_code in {2, 4}
    assert done.stdout == ""
    assert str(image) in done.stderr
    assert "internal error" not in done.stderr
    assert (image.read_bytes() if image.is_file() else None) == before
    assert sorted(os.listdir(bad)) == listing


@pytest.mark.slow
def test_json_of_failures_is_one_document(bad: Path) -> None:
    names = [str(bad / "missing.qcow2"), str(bad / "empty.qcow2")]
    done = CliRunner().invoke(cli, ["sanitize", "--json", *names])
    document = json.loads(done.stdout)
    assert document["schema"] == "unclone.sanitize/1"
    assert [entry["image"] for entry in document["results"]] == names
    for entry in document["results"]:
        assert set(entry) == {"image", "status", "error"}
        assert set(entry["error"]) == {"message", "hint", "exit_status"}
        assert entry["status"] == failures.STATUS_NAMES[entry["error"]["exit_status"]]
    severity = [ExitStatus(entry["error"]["exit_status"]) for entry in document["results"]]
    assert done.exit_code == worst(severity)


@pytest.mark.parametrize("command", ["inspect", "recover"])
def test_json_of_a_single_failure(bad: Path, command: str) -> None:
    done = CliRunner().invoke(cli, [command, "--json", "-q", str(bad / "missing.qcow2")])
    (entry,) = json.loads(done.stdout)["results"]
    assert done.exit_code == entry["error"]["exit_status"] != 0
    assert "missing.qcow2" in entry["error"]["message"]


def test_an_image_in_use_is_status_3(tmp_path: Path) -> None:
    image = tmp_path / "busy.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(image), "1M"], check=True)
    holder = subprocess.Popen(
        ["qemu-io", "-f", "qcow2", str(image)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write(b"read 0 512\n")
        holder.stdin.flush()
        holder.stdout.readline()
        done = CliRunner().invoke(cli, ["sanitize", "--json", str(image)])
    finally:
        holder.communicate(b"quit\n")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["results"][0]["status"] == "in-use"


def test_nothing_to_recover_is_fine(tmp_path: Path) -> None:
    image = tmp_path / "a.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(image), "1M"], check=True)
    done = CliRunner().invoke(cli, ["recover", "--json", str(image)])
    assert done.exit_code == 0
    (entry,) = json.loads(done.stdout)["results"]
    assert entry == {
        "image": str(image),
        "status": "done",
        "action": "nothing",
        "images": [str(image.resolve())],
    }
    assert "nothing to recover" in CliRunner().invoke(cli, ["recover", str(image)]).stdout


@pytest.mark.slow
def test_a_hostile_file_name_is_escaped(tmp_path: Path) -> None:
    name = str(tmp_path / "a\x1b[31m\nb\udcff.qcow2")
    argv = [sys.executable, "-m", "unclone", "inspect", name]
    done = subprocess.run(argv, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"\x1b" not in done.stderr
    assert rb"a\x1b[31m\nb\xff.qcow2" in done.stderr


ROOT = Path(__file__).resolve().parents[3]
#: Options of other programs that hints speak of.
FOREIGN = {
    *("--system-site-packages", "--config-file", "--inactive", "--shrink"),
    *("--sparse", "--test"),  # of tar and of the programs that compress
    *("--nthreads", "--nworkers"),  # of Dask's worker
}
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def hinted_options() -> list[tuple[str, str]]:
    """Every long option that a hint in the program tells people to use."""
    found = []
    for path in sorted(
        p for room in ("images", "sanitize", "unclone") for p in (ROOT / room).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "hint":
                parts = [n.value for n in ast.walk(node.value) if isinstance(n, ast.Constant)]
                text = " ".join(part for part in parts if isinstance(part, str))
                found += [(path.name, option) for option in OPTION.findall(text)]
    return found


@pytest.mark.slow
def test_hints_name_options_that_exist() -> None:
    ctx = cli.make_context("unclone", [], resilient_parsing=True)
    commands = [cli.get_command(ctx, name) for name in cli.list_commands(ctx)]
    known = {o for c in commands if c is not None for p in c.params for o in p.opts} | FOREIGN
    hinted = hinted_options()
    assert ("planning.py", "--strict") in hinted
    assert [(name, option) for name, option in hinted if option not in known] == []
