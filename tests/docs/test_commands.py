"""Commands in documents and help that take too long, or change too much, to be run by a test."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import click
import pytest

from tests.docs.test_names import DOCUMENTS, text
from tests.packaging.conftest import ROOT
from unclone.cli.main import cli

EVERYTHING = "\n".join(text(document) for document in DOCUMENTS)
CONTEXT = click.Context(cli)


@pytest.mark.slow  # a fast test would need make in every environment that runs them
@pytest.mark.parametrize(
    "target", sorted(set(re.findall(r"(?:^|`)make ([a-z-]+)", EVERYTHING, re.MULTILINE)))
)
def test_make_knows_the_target(target: str) -> None:
    """What it would run is printed; nothing is run."""
    make = ["make", "--dry-run", "SYSTEM_PACKAGES=no", target]
    done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_hooks_before_a_commit_are_valid() -> None:
    assert ".venv/bin/pre-commit install" in EVERYTHING
    command = [sys.executable, "-m", "pre_commit", "validate-config"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "shown", sorted(set(re.findall(r"`python -m (benchmarks\.[^`]+)`", EVERYTHING)))
)
def test_a_benchmark_takes_the_options(shown: str) -> None:
    module, *options = shown.split()
    known = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert {option for option in options if option.startswith("-")} <= set(
        re.findall(r"--[a-z-]+", known)
    )


@pytest.mark.parametrize("name", cli.list_commands(CONTEXT))
def test_the_examples_in_the_help_are_commands(name: str) -> None:
    command = cli.get_command(CONTEXT, name)
    assert command is not None
    lines = (command.epilog or "").replace("\\\n", "").splitlines()
    examples = [line.strip() for line in lines if line.strip().startswith("unclone ")]
    assert examples, "the help ends with examples"
    for example in examples:
        words = shlex.split(re.split(r" [|<>] ", example)[0])
        assert words[:2] == ["unclone", name]
        context = click.Context(command)
        command.make_parser(context).parse_args(words[2:])  # raises for what does not exist
