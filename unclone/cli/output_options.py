"""The options of every command: what is shown, and how; and the sections of its help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Decorated = TypeVar("Decorated", bound="Callable[..., Any]")

JSON_LINES = "--json-lines"
#: In ``Context.meta``: whether each document is one line.
ON_ONE_LINE = "unclone.one-line"

#: The heading of the options that no section names.
OTHER = "Other options"


class SectionedCommand(click.Command):
    """A command whose help has its options in *sections*: a heading, and the options under it.

    The first section has what is used most. Options that no section names are listed last.
    """

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 (click's)
        sections: Mapping[str, Sequence[str]],
        **settings: Any,  # noqa: ANN401 (click's)
    ) -> None:
        super().__init__(*arguments, **settings)
        self.sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if isinstance(parameter, click.Option) and record is not None:
                rows[max(parameter.opts, key=len)] = record
        for heading, names in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([rows.pop(name) for name in names])
        with formatter.section(OTHER):
            formatter.write_dl([*rows.values()])


def output_options(function: Decorated) -> Decorated:
    """``--json``, ``--verbose``, ``--quiet`` and ``--debug``."""
    verbose = click.option(
        "-v", "--verbose", is_flag=True, help="Show every change, with its reason."
    )
    return json_option(verbose(quiet_option(debug_option(function))))


def json_option(function: Decorated) -> Decorated:
    """One document for programs instead of text for people."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")(
        function
    )


def json_lines_option(function: Decorated) -> Decorated:
    """A document for each result, while the others are still worked on."""
    return click.option(
        JSON_LINES,
        "as_lines",
        is_flag=True,
        help="A JSON document on one line of stdout for each machine, as it comes.",
    )(function)


def quiet_option(function: Decorated) -> Decorated:
    """Less on the terminal or in a log."""
    return click.option(
        "-q", "--quiet", is_flag=True, help="No progress; only results and failures."
    )(function)


def debug_option(function: Decorated) -> Decorated:
    """Tracebacks, for a bug report."""
    return click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_remember_debug,
        help="Print a traceback when something fails.",
    )(function)


def _remember_debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001, FBT001 (click's signature)
    if value:
        ctx.meta["unclone.debug"] = True  # meta is shared by all contexts of one command line
