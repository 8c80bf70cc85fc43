"""``unclone steps``: every identity that is known, why it matters and where that was learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from unclone.cli import options
from unclone.cli.document import print_document
from unclone.cli.output_options import debug_option, json_option, quiet_option
from unclone.images.errors import ExitStatus
from unclone.runs.options import unknown_step
from unclone.sanitize.options import Options, Profile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.sanitize.step import Step

EPILOG = """\b
Examples:
  unclone steps
  unclone steps --profile golden
  unclone steps ssh-host-keys
  unclone steps --json | jq -r '.results[] | select(.runs | not) | .id'
"""


@click.command("steps", epilog=EPILOG)
@click.argument("step_id", metavar="[STEP]", required=False, shell_complete=options.complete_step)
@click.option(
    "--profile",
    type=click.Choice([str(each) for each in Profile]),
    default=str(Profile.IDENTITY),
    show_default=True,
    help="Show which steps run with this profile.",
)
@options.catalogue_option
@json_option
@quiet_option
@debug_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    step_id: str | None,
    profile: str,
    catalogues: tuple[str, ...],
    as_json: bool,  # noqa: FBT001 (click gives flags by name)
    quiet: bool,  # noqa: FBT001
) -> None:
    """List the steps, built in and your own, and whether they run; or show all about one STEP.

    With --quiet, only the names of those that run.
    """
    from unclone.sanitize.step_selection import all_steps, is_selected  # noqa: PLC0415 (reads the catalogue)

    chosen = Options(profile=Profile(profile), catalogues=catalogues)
    steps = all_steps(chosen)
    if step_id is not None:
        known = [step.info.id for step in steps]
        if step_id not in known:
            raise click.UsageError(unknown_step(step_id, known))
        steps = [step for step in steps if step.info.id == step_id]
    runs = {step.info.id: is_selected(step, chosen) for step in steps}
    if as_json:
        print_document("unclone.steps/1", [_to_json(step, runs[step.info.id]) for step in steps])
    elif quiet:
        for step in steps:
            if runs[step.info.id]:
                click.echo(step.info.id)
    else:
        from unclone.cli.render.steps import show_step, show_steps  # noqa: PLC0415 (slow to load, and of no use to --json)
        from unclone.cli.render.tables import console  # noqa: PLC0415 (slow to load, and of no use to --json)

        if step_id is not None:
            show_step(console(), steps[0], _row_fields(steps[0]))
        else:
            show_steps(console(), [(s.info, runs[s.info.id]) for s in steps])
    ctx.exit(ExitStatus.DONE)


def _to_json(step: Step, runs: bool) -> dict[str, Any]:  # noqa: FBT001 (read at its one call)
    info = step.info
    return {
        "id": info.id,
        "title": info.title,
        "why": info.why,
        "kind": str(info.kind),
        "profile": str(info.profile),
        "runs": runs,
        "off_because": info.off_because,
        "sources": list(info.sources),
        **{name.replace(" ", "_"): list(values) for name, values in _row_fields(step)},
    }


def _row_fields(step: Step) -> Sequence[tuple[str, Sequence[str]]]:
    """What a catalogue row says beyond its description; nothing for a step that is code."""
    from unclone.sanitize.catalogue.row import CatalogueStep  # noqa: PLC0415 (as above)

    if not isinstance(step, CatalogueStep):
        return ()
    row = step.row
    return (
        ("action", (row.action,)),
        ("paths", row.paths),
        ("except", row.excepts),
        ("lines", row.lines),
        ("values", row.values),
        ("remedy", (row.remedy,) if row.remedy else ()),
        ("when exists", row.when.exists),
        ("when missing", row.when.missing),
        ("when distro", row.when.distro),
    )
