"""``unclone inspect``: what identity is in an image."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from unclone.cli import options
from unclone.cli.document import print_document
from unclone.cli.execute import execute
from unclone.cli.output_options import SectionedCommand, output_options
from unclone.cli.progress import progress_for
from unclone.cli.standard_streams import settle_runs

if TYPE_CHECKING:
    from pathlib import Path

EPILOG = """\b
Examples:
  unclone inspect web-01.qcow2
  unclone inspect --plan --profile golden template.qcow2
  unclone inspect --json disk.raw --format raw | jq '.results[0].guest'
"""


SECTIONS = {
    "Options": (
        *("--profile", "--enable", "--disable", "--engine", "--format", "--add-disk"),
        *("--json", "--verbose", "--quiet"),
    ),
    "Identities": (
        *("--machine-id", "--ssh-host-keys", "--uuids", "--delete-snapshots", "--derive-from"),
        *("--name", "--strict", "--catalogue"),
    ),
    "Opening the image": ("--allow-dir", "--key-file", "--ask-passphrase"),
}


@click.command("inspect", cls=SectionedCommand, sections=SECTIONS, epilog=EPILOG)
@options.image_argument()
@click.option("--plan", is_flag=True, help="Also show what `unclone sanitize` would do.")
@options.step_options
@options.opening_options
@output_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    image: Path,
    plan: bool,  # noqa: FBT001 (click gives flags by name)
    as_json: bool,  # noqa: FBT001
    verbose: bool,  # noqa: FBT001
    quiet: bool,  # noqa: FBT001
    **given: Any,  # noqa: ANN401 (the options, as options.request_from takes them)
) -> None:
    """Show what identity is in IMAGE. Changes nothing.

    With --plan, also what `unclone sanitize` would do with the same options.
    """
    from unclone.runs.inspect import inspect  # noqa: PLC0415 (the engines come with it: not for --help)

    steps = options.options_from(given)
    with progress_for(quiet=quiet) as progress:
        request = options.request_from(image, given, steps, progress)
        found = execute(ctx, image, progress, partial(inspect, request))
    settle_runs(ctx, [found], changing=False)
    if as_json:
        print_document("unclone.inspect/1", [found.to_json()])
    elif found.result is not None:
        from unclone.cli.render.inspection import show_inspection  # noqa: PLC0415 (of no use to --json)
        from unclone.cli.render.page import Page  # noqa: PLC0415 (likewise)

        show_inspection(Page(), found.result, verbose=verbose, plan=plan)
    ctx.exit(found.status)
