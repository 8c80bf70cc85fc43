"""``unclone recover``: finish or discard an interrupted run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from unclone.cli import options
from unclone.cli.document import print_document
from unclone.cli.execute import execute
from unclone.cli.lines import plain, print_line
from unclone.cli.output_options import debug_option, json_option, quiet_option
from unclone.cli.progress import progress_for
from unclone.cli.standard_streams import settle_runs

if TYPE_CHECKING:
    from pathlib import Path


EPILOG = """\b
Example:
  unclone recover web-01.qcow2
"""


@click.command("recover", epilog=EPILOG)
@options.image_argument()
@options.allow_option
@json_option
@quiet_option
@debug_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    image: Path,
    allow: tuple[Path, ...],
    as_json: bool,  # noqa: FBT001 (click gives flags by name)
    quiet: bool,  # noqa: FBT001
) -> None:
    """Finish or discard a run on IMAGE that was interrupted, whichever is safe.

    Every run does this by itself first; the command is for when no further run is wanted.
    """
    from unclone.runs.recover import recover  # noqa: PLC0415 (the formats come with it: not for --help)

    with progress_for(quiet=quiet) as progress:
        done = execute(ctx, image, progress, partial(recover, image, allow=allow))
    settle_runs(ctx, [done])
    if as_json:
        print_document("unclone.recover/1", [done.to_json()])
    elif done.result is not None:
        print_line(plain(str(done.result.recovery)))
    ctx.exit(done.status)
