"""The command as people type it: help, version, loading, shell completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from unclone import __version__
from unclone.cli import commands
from unclone.cli.main import COMMANDS, cli
from unclone.cli.output_options import OTHER, SectionedCommand

DOMAIN = """<domain type='kvm'>
  <name>golden</name>
  <uuid>0aabbccd-1122-4333-8444-555566667777</uuid>
  <devices>
    <interface type='network'><mac address='52:54:00:12:34:56'/></interface>
  </devices>
</domain>
"""


def unclone(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "unclone", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        check=False,
    )


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(option: str) -> None:
    done = unclone(option)
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


def command_called(name: str) -> click.Command:
    found = cli.get_command(cli.make_context("unclone", [], resilient_parsing=True), name)
    assert found is not None
    return found


def test_the_british_spelling_is_an_alias_that_the_help_does_not_list() -> None:
    done = CliRunner().invoke(cli, ["sanitise", "--help"])
    assert (done.exit_code, done.stdout.split("\n")[0]) == (
        0,
        "Usage: unclone sanitize [OPTIONS] IMAGE...",
    )
    assert "sanitise" not in CliRunner().invoke(cli, ["--help"]).stdout


def test_every_module_of_a_command_is_in_the_table() -> None:
    modules = Path(commands.__file__).parent.glob("[!_]*.py")
    assert {path.stem for path in modules} == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_can_be_quiet(command: str) -> None:
    options = {name for param in command_called(command).params for name in param.opts}
    assert {"-q", "--quiet"} <= options


@pytest.mark.parametrize("command", ["inspect", "sanitize", "define", "seed"])
def test_a_long_help_begins_with_ten_options_or_fewer(command: str) -> None:
    found = command_called(command)
    assert isinstance(found, SectionedCommand)
    first, *others = found.sections.values()
    assert 1 <= len(first) <= 10
    named = [name for names in (first, *others) for name in names]
    assert len(named) == len(set(named))
    text = CliRunner().invoke(cli, [command, "--help"]).stdout
    headings = [line[:-1] for line in text.splitlines() if line.endswith(":") and line[0] != " "]
    assert headings[: len(found.sections) + 1] == [*found.sections, OTHER]
    own = {name for p in found.params if isinstance(p, click.Option) for name in p.opts}
    assert [name for name in own if f"{name} " not in text and f"{name}," not in text] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_a_help_text(command: str) -> None:
    options = [p for p in command_called(command).params if p.param_type_name == "option"]
    assert [o.name for o in options if not getattr(o, "help", None)] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nonsense"], "No such option"),
        (["sanitize", "x", "--profil", "golden"], "--profile"),
        (["sanatize", "x"], "No such command 'sanatize'. Did you mean sanitize?"),
        (["rec", "x"], "No such command 'rec'. Did you mean recover?"),
        (["zzz"], "No such command 'zzz'. `unclone -h` lists them."),
        (["\x1b[31m"], r"\x1b[31m"),
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


@pytest.mark.parametrize(
    ("arguments", "schema", "message"),
    [
        (["sanitize", "--json"], "unclone.sanitize/1", "Missing argument 'IMAGE...'"),
        (["sanitise", "--json", "x", "--zzz"], "unclone.sanitize/1", "--zzz"),
        (["inspect", "x", "--profile", "gold", "--json"], "unclone.inspect/1", "'gold' is not"),
        (["steps", "--json", "ssh-hostkeys"], "unclone.steps/1", "did you mean ssh-host-keys"),
        (["steps", "--json", "--catalogue", "/dev/null", "x"], "unclone.steps/1", "/dev/null"),
        (
            ["define", "x.xml", "--name", "a", "--oui", "x", "--json"],
            "unclone.define/1",
            "'x' is not",
        ),
        (["ledger", "--json", "/nonexistent"], "unclone.ledger/1", "no ledger /nonexistent"),
        (["nonsense", "--json"], "unclone.error/1", "No such command 'nonsense'"),
        (["--nonsense", "--json"], "unclone.error/1", "--nonsense"),
    ],
)
def test_with_json_a_mistake_is_a_document_too(
    arguments: list[str], schema: str, message: str
) -> None:
    done = CliRunner().invoke(cli, arguments)
    document = json.loads(done.stdout)
    (entry,) = document["results"]
    assert (done.exit_code, document["schema"]) == (2, schema)
    assert set(entry) == {"image", "status", "error"}
    assert (entry["status"], entry["error"]["exit_status"]) == ("usage", 2)
    assert set(entry["error"]) == {"message", "hint", "exit_status"}
    assert message in entry["error"]["message"]
    assert entry["error"]["message"] in done.stderr


def test_an_operand_is_no_option() -> None:
    assert CliRunner().invoke(cli, ["steps", "--", "--json"]).stdout == ""


def test_quiet_lists_have_one_name_per_line() -> None:
    names = CliRunner().invoke(cli, ["steps", "-q"]).stdout.splitlines()
    listed = json.loads(CliRunner().invoke(cli, ["steps", "--json"]).stdout)["results"]
    assert names == [step["id"] for step in listed if step["runs"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "not_loaded"),
    [
        (["--version"], ("rich", "json", "unclone.sanitize", "unclone.seeds", "unclone.runs")),
        (["--help"], ("rich", "json", "unclone.sanitize", "unclone.seeds", "unclone.runs")),
        (["completion", "bash"], ("rich", "unclone.sanitize", "unclone.seeds", "unclone.runs")),
        (
            ["seed", "--hostname", "a", "--dry-run"],
            ("rich", "jsonschema", "guestfs", "unclone.sanitize", "unclone.images.engines"),
        ),
        (
            ["define", "golden.xml", "--name", "a", "--dry-run"],
            ("rich", "jsonschema", "guestfs", "yaml", "unclone.images.engines"),
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_short_command_loads_only_what_it_needs(
    tmp_path: Path, arguments: list[str], not_loaded: tuple[str, ...]
) -> None:
    (tmp_path / "golden.xml").write_text(DOMAIN)
    program = (
        "import sys; from click.testing import CliRunner; from unclone.cli.main import cli\n"
        f"done = CliRunner().invoke(cli, {arguments!r})\n"
        "assert done.exit_code == 0, done.output\n"
        "print(*sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    loaded = {*done.stdout.split()} - {"unclone.sanitize"}  # the package, which is empty
    assert [n for n in loaded if any(f"{n}.".startswith(f"{m}.") for m in not_loaded)] == []


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("unclone ", "sanitize"),
        ("unclone san", "sanitize"),
        ("unclone sanitize --prof", "--profile"),
        ("unclone sanitize --enable ssh-h", "ssh-host-keys"),
        ("unclone sanitize --disable machine", "machine-id"),
        ("unclone steps ssh-h", "ssh-host-keys"),
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


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_failure_of_ours() -> None:
    pipe = f"{sys.executable} -m unclone steps --json | head -c 1"
    done = subprocess.run(["bash", "-c", pipe], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("{", "")


@pytest.mark.slow
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
