"""The JSON that commands print: one ASCII document on stdout, nothing else (docs/json.md)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from unclone.cli.output_options import ON_ONE_LINE

if TYPE_CHECKING:
    from collections.abc import Sequence

_PRINTED = "unclone.document"


def print_document(schema: str, results: Sequence[dict[str, Any]]) -> None:
    """Print the document. It is ASCII: a guest's file names cannot send anything to a terminal."""
    context = click.get_current_context(silent=True)
    indent: int | None = 2
    if context is not None:
        context.meta[_PRINTED] = True
        indent = None if context.meta.get(ON_ONE_LINE) else 2
    click.echo(
        json.dumps({"schema": schema, "results": list(results)}, indent=indent, ensure_ascii=True)
    )


def print_error(command: str, error: BaseException) -> None:
    """The document of a *command* that failed as a whole; "" when there is no such command."""
    from unclone.runs import failures  # noqa: PLC0415 (only for a failure)

    print_document(f"unclone.{command or 'error'}/1", [failures.to_json("", error)])


def document_was_printed(ctx: click.Context) -> bool:
    """Whether the command has printed its document."""
    return _PRINTED in ctx.meta
