"""The command line: finds the command, and turns every failure into a message and a status."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

import click

from unclone import __version__
from unclone.cli import standard_streams
from unclone.cli.group import CommandGroup
from unclone.images import interrupts

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Each command and its line in ``unclone --help``, in that order. Its module has the same name, in
#: ``unclone.cli.commands``.
COMMANDS = {
    "inspect": "Show what identity is in an image.",
    "sanitize": "Make an image a machine of its own.",
    "clone": "Make machines from a golden image.",
    "define": "Write the definition of a different machine.",
    "audit": "Show what machines have in common.",
    "prove": "Boot a machine, and show whether it is who it should be.",
    "ledger": "Show which identities were given to which machine.",
    "seed": "Write a cloud-init NoCloud seed.",
    "recover": "Finish or discard an interrupted run.",
    "steps": "List the steps, and whether they run.",
    "doctor": "Show what this host has, and what is missing.",
    "completion": "Print the completion script for a shell.",
}

#: Other spellings of commands, which the help does not list.
ALIASES = {"sanitise": "sanitize"}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its status."""
    sys.unraisablehook = _again_if_interrupted
    interrupts.raise_terminated()
    standard_streams.prepare()
    try:
        cli.main(args=None if arguments is None else list(arguments), prog_name="unclone")
    except standard_streams.UnwritableError as error:  # of --help, for which no command runs
        unwritten = standard_streams.explain(error)
        _exit_at_once(unwritten)
        raise SystemExit(unwritten) from error
    except SystemExit as ending:
        _exit_at_once(ending.code)
        raise
    raise SystemExit(0)  # click has exited already


def _again_if_interrupted(lost: sys.UnraisableHookArgs) -> None:
    """Raise Ctrl-C again: one that comes in a finalizer is printed by Python, and then ignored."""
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    number = interrupts.interrupt_number(lost.exc_value)
    while True:
        try:
            interrupts.expect_again(number)
            again = threading.Timer(0.05, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
        except KeyboardInterrupt:  # on a busy host it can come before the end, to be lost again
            continue
        return


def _exit_at_once(status: object) -> None:
    """Exit without freeing memory, which takes longer than most commands."""
    if not isinstance(status, int) or threading.active_count() > 1:
        return
    try:
        sys.stdout.flush()
    except standard_streams.UnwritableError as error:
        status = status or standard_streams.explain(error)
    sys.stderr.flush()
    os._exit(status)


@click.group(
    "unclone",
    cls=CommandGroup,
    package="unclone.cli.commands",
    summaries=COMMANDS,
    aliases=ALIASES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, "-V", "--version", prog_name="unclone")
def cli() -> None:
    """Turn a copied VM disk image into a machine of its own, offline.

    An image is either untouched or completely done, whatever happens in between.
    `unclone COMMAND --help` has an example for each command.
    """
