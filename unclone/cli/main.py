"""The command people type: finds the command, and turns every failure into words and a status."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import click

from unclone import __version__
from unclone.cli.execute import show_traceback
from unclone.images.errors import ExitStatus
from unclone.runs.failures import describe, hint_of, status_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Each command and the module that holds it, in the order of ``unclone --help``.
COMMANDS = {
    "inspect": "unclone.cli.commands.inspect",
    "sanitize": "unclone.cli.commands.sanitize",
    "define": "unclone.cli.commands.define",
    "ledger": "unclone.cli.commands.ledger",
    "seed": "unclone.cli.commands.seed",
    "recover": "unclone.cli.commands.recover",
    "steps": "unclone.cli.commands.steps",
    "doctor": "unclone.cli.commands.doctor",
    "completion": "unclone.cli.commands.completion",
}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its status."""
    sys.unraisablehook = _again_if_interrupted
    for stream in (sys.stdout, sys.stderr):
        # A locale that cannot spell a character gets an escape of it, not an error.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        cli.main(args=None if arguments is None else list(arguments), prog_name="unclone")
    except SystemExit as ending:
        _leave(ending.code)
        raise
    raise SystemExit(ExitStatus.DONE)  # click has exited already


def _again_if_interrupted(lost: sys.UnraisableHookArgs) -> None:
    """Ctrl-C while Python takes an object apart would be printed and forgotten."""
    if lost.exc_type is KeyboardInterrupt:
        again = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT))
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(lost)


def _leave(status: object) -> None:
    """End at once where nothing is left to do but to free memory, which takes longer than most."""
    if not isinstance(status, int) or threading.active_count() > 1:
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return  # the usual end knows what to make of it
    os._exit(status)


class LazyGroup(click.Group):
    """Loads a command's module when the command is used, and catches what it raises."""

    def __init__(self, *, modules: Mapping[str, str], **settings: Any) -> None:  # noqa: ANN401 (click's)
        super().__init__(**settings)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return [*self._modules, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._modules:
            return super().get_command(ctx, cmd_name)
        command = importlib.import_module(self._modules[cmd_name]).command
        return command if isinstance(command, click.Command) else None

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 (click's signature)
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except KeyboardInterrupt as interrupt:
            return _fail(ctx, interrupt)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # whoever read our output has gone: click ends quietly
            return _fail(ctx, error)
        except Exception as error:  # noqa: BLE001 (the one place that sees every failure)
            return _fail(ctx, error)


@click.group(
    "unclone",
    cls=LazyGroup,
    modules=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, "--version", prog_name="unclone")
def cli() -> None:
    """Turn a copied VM disk image into a machine of its own, offline.

    An image is either untouched or completely done, whatever happens in between.
    `unclone COMMAND --help` has an example for each command.
    """


def _fail(ctx: click.Context, error: BaseException) -> None:
    show_traceback(ctx, error)
    click.echo(f"unclone: {describe(error)}", err=True)
    hint = hint_of(error)
    if hint:
        click.echo(f"  {hint}", err=True)
    ctx.exit(status_of(error))
