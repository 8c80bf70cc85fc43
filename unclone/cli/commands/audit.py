"""``unclone audit``: what machines have in common."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unclone.cli import options
from unclone.cli.document import print_document
from unclone.cli.execute import show_traceback
from unclone.cli.output_options import (
    SectionedCommand,
    debug_option,
    json_option,
    quiet_option,
)
from unclone.cli.progress import progress_for
from unclone.cli.standard_streams import settle
from unclone.images.errors import ExitStatus
from unclone.runs.options import make_options

if TYPE_CHECKING:
    from unclone.cli.progress import Progress
    from unclone.runs.audit.run import Audit

EPILOG = """\b
Examples:
  unclone audit web-01.qcow2 web-02.qcow2
  unclone audit /etc/libvirt/qemu
  unclone audit vms --html audit.html
  unclone audit vms --strict --suggest rows.yaml
  unclone audit vms --json | jq -r '.results[0].shared[].kind'
"""

SECTIONS = {
    "Options": ("--strict", "--jobs", "--no-cache", "--json", "--verbose", "--quiet"),
    "Results as files": ("--html", "--prometheus", "--suggest"),
    "Opening images": ("--engine", "--allow-dir", "--key-file", "--catalogue"),
}


@click.command("audit", cls=SectionedCommand, sections=SECTIONS, epilog=EPILOG)
@click.argument(
    "sources", metavar="SOURCE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--strict", is_flag=True, help="Status 5 also for values that no rule knows.")
@click.option(
    "--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a page for a browser."
)
@click.option(
    "--prometheus",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write numbers for Prometheus' textfile collector.",
)
@click.option(
    "--suggest",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write catalogue rows for values that no rule knows, to be reviewed.",
)
@options.catalogue_option
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), help="How many machines are read at a time."
)
@click.option("--no-cache", is_flag=True, help="Read every image, also those read before.")
@options.engine_option
@options.allow_option
@options.key_file_option
@json_option
@click.option(
    "-v", "--verbose", is_flag=True, help="Name every machine, every place, and what is harmless."
)
@quiet_option
@debug_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    sources: tuple[Path, ...],
    strict: bool,  # noqa: FBT001 (click gives flags by name)
    jobs: int | None,
    no_cache: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    verbose: bool,  # noqa: FBT001
    quiet: bool,  # noqa: FBT001
    **given: Any,  # noqa: ANN401 (how images are opened, what is written)
) -> None:
    """Show what the machines in SOURCE... have in common: identities, and where each is.

    A SOURCE is an image, a definition, a seed, or a folder of them. A definition and the disks and
    seed that it names are one machine, and so is a folder that `unclone clone` made. Nothing is
    changed. The exit status is 5 when an identity is shared, 0 when none is.
    """
    with progress_for(quiet=quiet, threads=False) as progress:
        found = _audit(ctx, sources, given, progress, jobs=jobs, cached=not no_cache)
        _write(found, given, progress)
    status = found.status(strict=strict)
    settle(ctx, status or ExitStatus.FAILED)
    if as_json:
        failed = [each.error for each in found.failures]
        print_document("unclone.audit/1", [found.to_json(), *failed])
    else:
        from unclone.cli.render.audit import show_audit  # noqa: PLC0415 (of no use to --json)
        from unclone.cli.render.page import Page  # noqa: PLC0415 (likewise)

        show_audit(Page(), found, verbose=verbose)
    ctx.exit(status)


def _write(found: Audit, given: dict[str, Any], progress: Progress) -> None:
    """The files that were asked for."""
    from unclone.runs.audit import exports, suggesting  # noqa: PLC0415 (not for --help)

    if given["html"] is not None:
        exports.write_page(found, given["html"])
    if given["prometheus"] is not None:
        exports.write_metrics(found, given["prometheus"])
    if given["suggest"] is not None:
        rows = suggesting.write_rows(found, given["suggest"])
        progress.say(f"{given['suggest']}: {rows} rows to review")


def _audit(
    ctx: click.Context,
    sources: tuple[Path, ...],
    given: dict[str, Any],
    progress: Progress,
    *,
    jobs: int | None,
    cached: bool,
) -> Audit:
    # The engines and all formats come with them: not for --help.
    from unclone.runs.audit.cache import cache_folder  # noqa: PLC0415
    from unclone.runs.audit.run import Order, audit  # noqa: PLC0415
    from unclone.runs.request import Request  # noqa: PLC0415

    request = Request(
        sources[0],
        engine=given["engine"],
        allow=given["allow"],
        key_files=given["key_files"],
        options=make_options(catalogues=given["catalogues"]),
    )
    order = Order(sources, request, jobs=jobs, cache=cache_folder() if cached else None)
    return audit(order, progress, on_error=partial(show_traceback, ctx))
