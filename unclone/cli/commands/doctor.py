"""``unclone doctor``: what this host has, what is missing, how to get it."""

from __future__ import annotations

import click

from unclone.cli.document import print_document
from unclone.cli.lines import plain, print_line
from unclone.cli.output_options import debug_option, json_option, quiet_option
from unclone.images.errors import ExitStatus

EPILOG = """\b
Examples:
  unclone doctor
  unclone doctor --json | jq -r '.results[] | select(.state != "ok") | .fix'
"""


@click.command("doctor", epilog=EPILOG)
@json_option
@quiet_option
@debug_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    as_json: bool,  # noqa: FBT001 (click gives flags by name)
    quiet: bool,  # noqa: FBT001
) -> None:
    """Look at what unclone needs on this host, and say what works now.

    Exit status 1: no image can be sanitised here. With --quiet, only the first line is shown.
    """
    from unclone.runs import doctor as host  # noqa: PLC0415 (an engine comes with it: not for --help)

    found = host.checks()
    if as_json:
        print_document("unclone.doctor/1", [check.to_json() for check in found])
    else:
        print_line(plain(host.verdict(found), bold=True))
        if not quiet:
            from unclone.cli.render.checks import show_checks  # noqa: PLC0415 (slow to load, and of no use to --json)
            from unclone.cli.render.tables import console  # noqa: PLC0415 (likewise)

            show_checks(console(), found)
    ctx.exit(ExitStatus.DONE if host.is_ready(found) else ExitStatus.FAILED)
