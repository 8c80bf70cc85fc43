"""The command as people type it: help, version, loading, shell completion."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from unclone import __version__
from unclone.cli.main import COMMANDS, cli


def unclone(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "unclone", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        check=False,
    )


def test_version() -> None:
    done = unclone("--version")
    assert (done.returncode, done.stdout.split()[-1]) == (0, __version__)


def test_help_lists_every_command_in_order() -> None:
    text = CliRunner().invoke(cli, ["--help"]).stdout
    listed = [line.split()[0] for line in text.split("Commands:\n")[1].splitlines() if line]
    assert listed == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    done = CliRunner().invoke(cli, [command, "--help"])
    assert done.exit_code == 0
    assert f"  unclone {command}" in done.stdout.split("Example")[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_a_help_text(command: str) -> None:
    found = cli.get_command(cli.make_context("unclone", [], resilient_parsing=True), command)
    assert found is not None
    options = [p for p in found.params if p.param_type_name == "option"]
    assert [o.name for o in options if not getattr(o, "help", None)] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nonsense"], "No such option"),
        (["sanitise", "x"], "No such command"),
        (["sanitize"], "Missing argument"),
        (["sanitize", "x", "--profile", "gold"], "'gold' is not one of"),
        (["inspect", "a", "b"], "unexpected extra argument"),
        (["completion", "tcsh"], "'tcsh' is not one of"),
        (["steps", "ssh-hostkeys"], "did you mean ssh-host-keys"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_status_2(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(cli, arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert words in done.stderr


def test_help_loads_no_engine() -> None:
    program = (
        "import sys; from click.testing import CliRunner; from unclone.cli.main import cli\n"
        "assert CliRunner().invoke(cli, ['sanitize', '--help']).exit_code == 0\n"
        "loaded = [m for m in sys.modules if m.startswith(('guestfs', 'unclone.images.engines'))]\n"
        "print(loaded)"
    )
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_command(shell: str) -> None:
    done = CliRunner().invoke(cli, ["completion", shell])
    assert done.exit_code == 0
    assert "_UNCLONE_COMPLETE" in done.stdout
    assert "unclone" in done.stdout


def test_bash_accepts_its_completion_script() -> None:
    script = CliRunner().invoke(cli, ["completion", "bash"]).stdout
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("unclone ", "sanitize"),
        ("unclone san", "sanitize"),
        ("unclone sanitize --prof", "--profile"),
    ],
)
def test_bash_completion_offers(words: str, offered: str) -> None:
    count = len(words.split()) - (0 if words.endswith(" ") else 1)
    program = "from unclone.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "_UNCLONE_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(count),
        },
        check=False,
    )
    assert f"plain,{offered}" in done.stdout.splitlines()


def test_a_reader_that_goes_away_is_no_failure_of_ours() -> None:
    pipe = f"{sys.executable} -m unclone steps --json | head -c 1"
    done = subprocess.run(["bash", "-c", pipe], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("{", "")


def test_a_poor_locale_is_no_error() -> None:
    done = unclone("steps", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (done.returncode, done.stderr) == (0, "")


LOST = """
import time
from unclone.cli import main as cli
class Object:
    def __del__(self):
        raise KeyboardInterrupt  # as Python does when Ctrl-C comes in here
def work(**_):
    Object()
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        print("interrupted")
cli.cli.main = work
cli.main()
"""


def test_ctrl_c_while_an_object_goes_away_is_not_lost() -> None:
    done = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
