"""Options become the request they say, and nonsense is refused before anything is opened."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from unclone.cli import options
from unclone.cli.commands.sanitize import command
from unclone.cli.main import cli
from unclone.cli.progress import SilentProgress, progress_for
from unclone.runs.request import Request
from unclone.sanitize.identities.derivation import IdentityGenerator
from unclone.sanitize.options import Options, Profile


def parsed(*arguments: str) -> dict[str, Any]:
    return command.make_context("sanitize", list(arguments)).params


def request(*arguments: str) -> Request:
    given = parsed(*arguments)
    (image,) = given["images"]
    chosen = options.options_from(given)
    return options.request_from(image, given, chosen, progress_for(quiet=True))


def test_without_options_the_request_is_the_default_one() -> None:
    assert request("a.qcow2") == Request(Path("a.qcow2"))


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--dry-run"], "dry_run", True),
        (["--if-needed"], "if_needed", True),
        (["--engine", "guestfs"], "engine", "guestfs"),
        (["--format", "raw"], "format", "raw"),
        (["--output", "b.qcow2"], "outputs", (Path("b.qcow2"),)),
        (["-o", "b.qcow2"], "outputs", (Path("b.qcow2"),)),
        (["--output", "b", "--output-format", "vmdk"], "output_format", "vmdk"),
        (["--output", "b", "--overwrite"], "overwrite", True),
        (["--dry-run", "--save-plan", "p"], "save_plan", Path("p")),
        (["--plan", "p"], "plan", Path("p")),
        (["--allow-overlays"], "allow_overlays", True),
        (["--allow-dir", "/", "--allow-dir", "/tmp"], "allow", (Path("/"), Path("/tmp"))),
        (["--add-disk", "b", "--add-disk", "c"], "add_disks", (Path("b"), Path("c"))),
        (["--key-file", __file__], "key_files", (Path(__file__),)),
        (["--profile", "golden"], "options", Options(profile=Profile.GOLDEN)),
        (
            ["--enable", "user-ssh-folders", "--disable", "ssh-host-keys"],
            "options",
            Options(enable=frozenset({"user-ssh-folders"}), disable=frozenset({"ssh-host-keys"})),
        ),
        (["--machine-id", "uninitialized"], "options", Options(machine_id="uninitialized")),
        (["--machine-id", "AB" * 16], "options", Options(machine_id="ab" * 16)),
        (["--ssh-host-keys", "keep"], "options", Options(ssh_host_keys="keep")),
        (["--uuids", "keep"], "options", Options(uuids="keep")),
        (
            ["--delete-snapshots"],
            "options",
            Options(enable=frozenset({"snapshot-identities"})),
        ),
        (["--strict"], "options", Options(strict=True)),
        (["--hostname", "web-01."], "options", Options(hostname="web-01")),
        (["--catalogue", __file__], "options", Options(catalogues=(__file__,))),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_each_option_reaches_the_request(arguments: list[str], field: str, value: object) -> None:
    if "user-ssh-folders" in arguments:
        arguments = [_off_by_default() if a == "user-ssh-folders" else a for a in arguments]
        value = Options(enable=frozenset({arguments[1]}), disable=frozenset({"ssh-host-keys"}))
    assert getattr(request("a.qcow2", *arguments), field) == value


@pytest.mark.parametrize(
    ("arguments", "machine"),
    [
        (["/images/web-01.qcow2"], "web-01"),
        (["golden.qcow2", "--output", "web-02.raw"], "web-02"),
        (["golden.qcow2", "--name", "web-03"], "web-03"),
    ],
    ids=["the image's", "the result's", "given"],
)
def test_values_are_derived_for_the_machine_of_that_name(
    tmp_path: Path, arguments: list[str], machine: str
) -> None:
    key = tmp_path / "key"
    key.write_text("0123456789abcdef\n")
    wanted = request(*arguments, "--derive-from", str(key)).options.identities
    assert wanted == IdentityGenerator(machine, b"0123456789abcdef")


def _off_by_default() -> str:
    from unclone.sanitize.step_selection import all_steps  # noqa: PLC0415 (only this row needs it)

    return next(step.info.id for step in all_steps(Options()) if step.info.off_because)


def test_every_option_of_sanitize_is_exercised_here() -> None:
    text = Path(__file__).read_text()
    names = {o for p in command.params if p.param_type_name == "option" for o in p.opts}
    elsewhere = {"--json", "--verbose", "-v", "--quiet", "-q", "--debug", "--ask-passphrase"}
    elsewhere |= {"--jobs", "--prove", "--definition", "--definition-output", "--avoid", "--ledger"}
    assert sorted(name for name in names - elsewhere if f'"{name}"' not in text) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a", "--enable", "ssh-hostkeys"], "did you mean ssh-host-keys"),
        (["a", "--disable", "machineid"], "did you mean machine-id"),
        (["a", "--disable", "zzz"], "`unclone steps` lists them."),
        (
            ["a", "--enable", "machine-id", "--disable", "machine-id"],
            "enabled and disabled at once",
        ),
        (["a", "--machine-id", "0" * 32], "nor 32 hexadecimal digits"),
        (["a", "--machine-id", "zz\x1b[1m"], r"zz\x1b[1m"),
        (["a", "b", "--output", "c"], "--output is for exactly one image; 2"),
        (["a", "b", "--add-disk", "c"], "--add-disk is for exactly one image"),
        (["a", "--add-disk", "b", "--output", "c"], "each disk needs its own file"),
        (["a", "--name", "web-01"], "--name needs --derive-from"),
        (["a", "b", "--name", "web-01"], "--name is for exactly one image"),
        (["a", "--derive-from", "/nonexistent"], "cannot read the key in /nonexistent"),
        (["a", "--uuids", "burn"], "'burn' is not one of"),
        (["a", "--if-needed", "--output", "b"], "--if-needed does not go with --output"),
        (
            ["a", "--if-needed", "--definition", "b", "--name", "c"],
            "--if-needed does not go with --definition",
        ),
        (["a", "--overwrite"], "--overwrite needs --output"),
        (["a", "--save-plan", "p"], "--save-plan needs --dry-run"),
        (["a", "b", "--dry-run", "--save-plan", "p"], "--save-plan is for exactly one image"),
        (["a", "b", "--plan", "p"], "--plan is for exactly one image"),
        (["a", "--plan", "p", "--uuids", "renew"], "--uuids cannot change a saved plan"),
        (["a", "--plan", "p", "--machine-id", "auto"], "--machine-id cannot change a saved plan"),
        (["a", "--plan", "p", "--disable", "fstab"], "--disable cannot change a saved plan"),
        (["a", "--plan", "p", "--dry-run", "--save-plan", "q"], "--save-plan cannot change"),
        (
            ["--definition", "d", "--name", "n", "--dry-run", "--save-plan", "p"],
            "leave out --definition",
        ),
        (["a", "--output-format", "raw"], "--output-format needs --output"),
        (["a", "--key-file", "/nonexistent"], "does not exist"),
        (["a", "--allow-dir", "/etc/passwd"], "is a file"),
        (["a", "--catalogue", "/"], "is a directory"),
        (["a", "--format", "qed"], "'qed' is not one of"),
        (["a", "--engine", "magic"], "'magic' is not one of"),
        (["a", "--ssh-host-keys", "burn"], "'burn' is not one of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_nonsense_is_a_usage_error(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(cli, ["sanitize", *arguments])
    assert (done.exit_code, done.stdout) == (2, "")
    assert words in done.stderr


def test_a_broken_catalogue_is_a_usage_error(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("- id: [\n")
    done = CliRunner().invoke(cli, ["steps", "--catalogue", str(own)])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "own.yaml" in done.stderr


def test_the_passphrase_is_asked_for_on_stderr_and_never_shown() -> None:
    passphrases: list[bytes] = []

    @click.command()
    def ask() -> None:
        given = parsed("a.qcow2", "--ask-passphrase")
        made = options.request_from(Path("a.qcow2"), given, Options(), SilentProgress(sys.stderr))
        question = made.passphrase
        assert question is not None
        passphrases.append(question("/dev/sda2\x1b[2J"))

    done = CliRunner().invoke(ask, input="correct horse\n")
    assert passphrases == [b"correct horse"]
    assert done.stdout in {"", " \n"}  # the second: the terminal that click 8.1 pretends to have
    assert "Passphrase for /dev/sda2\\x1b[2J" in done.stderr
    assert "horse" not in done.output
