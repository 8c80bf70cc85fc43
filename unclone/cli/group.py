"""The group of commands: loads one when it is used, and reports every failure in one way."""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from unclone.cli.output_options import JSON_LINES, ON_ONE_LINE
from unclone.cli.standard_streams import UnwritableError, explain, outcomes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from click.shell_completion import CompletionItem

#: In ``Context.meta``, which all contexts of a command line share.
WANTS_JSON = "unclone.json"


class CommandGroup(click.Group):
    """Commands in modules of *package*: the variable ``command`` of each is the command.

    *summaries* has a line for each command, so that the help need not load them. *aliases* are
    other names of commands.
    """

    def __init__(
        self,
        *,
        package: str,
        summaries: Mapping[str, str],
        aliases: Mapping[str, str],
        **settings: Any,  # noqa: ANN401 (click's)
    ) -> None:
        super().__init__(**settings)
        self._package = package
        self._summaries = summaries
        self._aliases = aliases

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return [*self._summaries, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = self._aliases.get(cmd_name, cmd_name)
        if name not in self._summaries:
            return super().get_command(ctx, name)
        command = importlib.import_module(f"{self._package}.{name}").command
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with the name of the command for an alias, and a suggestion for a mistake."""
        name = args[0]
        known = name in self._aliases or name in self.list_commands(ctx)
        if not known and not name.startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(self._no_such_command(ctx, name), ctx)
        return super().resolve_command(ctx, [self._aliases.get(name, name), *args[1:]])

    def _no_such_command(self, ctx: click.Context, name: str) -> str:
        from difflib import get_close_matches  # noqa: PLC0415 (only for a mistake)

        from unclone.images.text import printable  # noqa: PLC0415 (likewise)

        known = self.list_commands(ctx)
        near = [each for each in known if each.startswith(name)]
        near = near or get_close_matches(name, known, cutoff=0.5)
        guess = f"Did you mean {' or '.join(near)}?" if near else "`unclone -h` lists them."
        return f"No such command '{printable(name, 80)}'. {guess}"

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 (click's signature)
        formatter: click.HelpFormatter,
    ) -> None:
        rows = [*self._summaries.items()]
        rows += [(name, each.get_short_help_str()) for name, each in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem  # noqa: PLC0415 (only for a shell)

        found = [
            CompletionItem(name, help=summary)
            for name, summary in self._summaries.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401 (click's)
    ) -> click.Context:
        wants_json = _wants_json(args)
        try:
            ctx = super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            if wants_json:
                _print_usage_error("", error)
            raise
        ctx.meta[WANTS_JSON] = wants_json
        ctx.meta[ON_ONE_LINE] = JSON_LINES in args
        return ctx

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 (click's signature)
        try:
            done = super().invoke(ctx)
            sys.stdout.flush()
        except UnwritableError as error:
            ctx.exit(explain(error, ctx))
        except click.UsageError as error:
            if ctx.meta.get(WANTS_JSON):
                _print_usage_error(ctx.invoked_subcommand or "", error)
            raise
        except click.exceptions.Exit:
            try:
                sys.stdout.flush()
            except UnwritableError as error:
                ctx.exit(explain(error, ctx))
            raise
        except (click.ClickException, click.Abort):
            raise
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 (the one place that sees every failure)
            return _fail(ctx, error)
        else:
            return done


def _wants_json(args: list[str]) -> bool:
    """Whether ``--json`` is among *args*: what click parses may end at a mistake before it."""
    options = args[: args.index("--")] if "--" in args else args
    return "--json" in options or JSON_LINES in options


def _print_usage_error(command: str, error: click.UsageError) -> None:
    """The document of a command line with a mistake; click writes the message to stderr."""
    from unclone.cli.document import print_error  # noqa: PLC0415 (only for a mistake)
    from unclone.images.errors import UsageError  # noqa: PLC0415 (likewise)

    with suppress(UnwritableError):  # the message and the status say it as well
        print_error(command, UsageError(error.format_message()))


def _fail(ctx: click.Context, error: BaseException) -> None:
    # Only for a failure: a command that works has no need of these.
    from unclone.cli.document import document_was_printed, print_error  # noqa: PLC0415
    from unclone.cli.execute import show_traceback  # noqa: PLC0415
    from unclone.runs.failures import describe, hint_of, status_of  # noqa: PLC0415

    show_traceback(ctx, error)
    settled = outcomes(ctx)
    if settled and isinstance(error, KeyboardInterrupt):
        click.echo("unclone: interrupted after the work was done", err=True)
    else:
        click.echo(f"unclone: {describe(error)}", err=True)
    for line in settled:
        click.echo(f"  {line}", err=True)
    hint = hint_of(error)
    if hint:
        click.echo(f"  {hint}", err=True)
    if ctx.meta.get(WANTS_JSON) and not document_was_printed(ctx):
        with suppress(UnwritableError):
            print_error(ctx.invoked_subcommand or "", error)
    ctx.exit(status_of(error))
