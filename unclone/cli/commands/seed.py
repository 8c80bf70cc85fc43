"""``unclone seed``: NoCloud seeds, for one machine or for a thousand."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unclone.cli.document import print_document
from unclone.cli.output_options import SectionedCommand, output_options
from unclone.cli.seed_options import seed_options
from unclone.cli.standard_streams import settle
from unclone.images.errors import ExitStatus
from unclone.images.formats.header import Format as ImageFormat
from unclone.images.text import printable
from unclone.runs import seed as seeding
from unclone.seeds.blueprint import Blueprint
from unclone.seeds.errors import SeedError
from unclone.seeds.findings import blocking
from unclone.seeds.fleet import Result, findings_of, rules_for, write_fleet
from unclone.seeds.output import Format
from unclone.seeds.output import timestamp as seed_timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.seeds.blueprint import Row
    from unclone.seeds.findings import Finding
    from unclone.seeds.seed import Seed

EPILOG = """\b
Examples:
  unclone seed --hostname web-01 --user admin --ssh-key ~/.ssh/id_ed25519.pub
  unclone seed --fqdn db-01.example.org --user-data base.yaml --user-data setup.sh -o db-01.iso
  unclone seed --hostname web-01 \\
      --nic mac=52:54:00:12:34:56,address=192.0.2.10/24,gateway=192.0.2.1,dns=192.0.2.53
  unclone seed --machines fleet.csv --template base.yaml --output-dir seeds/
  unclone seed --hostname web-01 --dry-run --strict --user-data -  < user-data
  unclone seed --check golden.qcow2 --hostname web-01 --user admin

\b
docs/seeds.md has every option, and every mistake that is found before a seed is written.
"""


SECTIONS = {
    "Options": (
        *("--hostname", "--user", "--ssh-key", "--nic", "--user-data", "--machines"),
        *("--output", "--overwrite", "--dry-run", "--check"),
    ),
    "The machine": (
        *("--fqdn", "--instance-id", "--generation", "--user-key", "--password-file"),
        *("--generate-password", "--timezone", "--package", "--run", "--disk-grow"),
        *("--write-file", "--dsmode"),
    ),
    "Its network": ("--bond", "--vlan", "--definition", "--network-config", "--network-version"),
    "Files of your own": ("--template", "--set", "--meta-data", "--vendor-data"),
    "The seed": ("--output-dir", "--format", "--image-format", "--strict", "--no-schema"),
}


@click.command("seed", cls=SectionedCommand, sections=SECTIONS, epilog=EPILOG)
@click.option("--hostname", metavar="NAME", help="The host name; the instance-id follows from it.")
@click.option("--fqdn", metavar="NAME", help="The name with its domain; includes the host name.")
@click.option("--instance-id", metavar="ID", help="An instance-id of your own.")
@click.option(
    "--generation",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Raise it, and cloud-init takes the machine for a new one.",
)
@seed_options
@click.option(
    "--nic",
    "nics",
    multiple=True,
    metavar="KEYS",
    help="A card: mac=, name=, address=, gateway=, dns=, search=, route=, dhcp=, mtu=.",
)
@click.option(
    "--definition",
    metavar="FILE",
    help="A VM definition in any format of `define`: DHCP on each card that no --nic describes.",
)
@click.option(
    "--bond", "bonds", multiple=True, metavar="KEYS", help="As --nic, and links=A+B, mode=."
)
@click.option("--vlan", "vlans", multiple=True, metavar="KEYS", help="As --nic, and link=, id=.")
@click.option(
    "--network-version",
    type=click.Choice(["1", "2"]),
    default="1",
    show_default=True,
    help="The version in which --nic, --bond and --vlan are written.",
)
@click.option("--meta-data", metavar="FILE", help="Completed with instance-id and host name.")
@click.option(
    "--machines",
    metavar="FILE",
    help="A seed for each machine of a YAML list or CSV table.",
)
@click.option("-o", "--output", metavar="FILE", help="Where the seed goes; - is stdout.")
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="The folder for NAME.iso, made if it is not there; default: the current one.",
)
@click.option("--overwrite", is_flag=True, help="Replace seeds that are there already.")
@click.option(
    "--format",
    "kind",
    type=click.Choice([str(each) for each in Format]),
    default=str(Format.ISO),
    show_default=True,
    help="What the seed is written as.",
)
@click.option("--strict", is_flag=True, help="Refuse on every warning but no-login.")
@click.option("--no-schema", is_flag=True, help="Leave cloud-init's own schemas out.")
@click.option("--dry-run", is_flag=True, help="Check everything, write nothing.")
@click.option(
    "--check",
    "image",
    type=click.Path(path_type=Path),
    metavar="IMAGE",
    help="Will IMAGE take this seed? Looks into the image, and writes nothing.",
)
@click.option(
    "--image-format",
    type=click.Choice([str(each) for each in ImageFormat]),
    help="IMAGE's format, where it cannot be told from the file (raw).",
)
@output_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    as_json: bool,  # noqa: FBT001 (click gives flags by name)
    verbose: bool,  # noqa: FBT001
    quiet: bool,  # noqa: FBT001
    image: Path | None,
    **given: Any,  # noqa: ANN401 (the options, as unclone.runs.seed takes them)
) -> None:
    """Write a cloud-init NoCloud seed, after checking that cloud-init will use it.

    An option that takes a FILE takes - for stdin. A seed is replaced only with --overwrite, and
    anything else never. A fleet is written as a whole or not at all.
    """
    kind = Format(given["kind"])
    source = seeding.Source()
    try:
        blueprint = seeding.blueprint_from(given, source)
        rows = seeding.rows_from(given, source)
        if image is not None:
            seed = _first_seed(blueprint, rows)
            ctx.exit(_check(ctx, image, seed, kind, given, as_json=as_json, quiet=quiet))
        if given["output"] == "-":
            ctx.exit(_to_stdout(blueprint, rows, kind, given, quiet=quiet, as_json=as_json))
        with seeding.output_folder(given):
            results = write_fleet(
                blueprint,
                rows,
                seeding.naming(given, kind),
                kind,
                strict=given["strict"],
                schema=not given["no_schema"],
                dry_run=given["dry_run"],
                overwrite=given["overwrite"],
            )
    except SeedError as error:
        raise seeding.as_unclone_error(error) from error
    refused = any(result.refused for result in results)
    if not (refused or given["dry_run"]):
        settle(ctx, ExitStatus.DONE, [f"{result.path}: written" for result in results])
    made = given["generate_password"] and not (refused or given["dry_run"])
    passwords = [row.password if made else "" for row in rows]
    if as_json:
        print_document(
            "unclone.seed/1",
            [
                _to_json(result, kind, refused=refused)
                | ({"generated_password": password} if password else {})
                for result, password in zip(results, passwords, strict=True)
            ],
        )
    else:
        if not quiet or refused:
            _show_findings([(r.path, f) for r in results for f in r.findings])
        _show(results, kind, refused=refused, verbose=verbose)
        for result, password in zip(results, passwords, strict=True):
            if password:
                click.echo(printable(f"{result.path}: password {password}"))
    ctx.exit(ExitStatus.REFUSED if refused else ExitStatus.DONE)


def _to_stdout(
    blueprint: Blueprint,
    rows: Sequence[Row],
    kind: Format,
    given: dict[str, Any],
    *,
    quiet: bool,
    as_json: bool,
) -> ExitStatus:
    if as_json or len(rows) != 1 or given["machines"]:
        raise click.UsageError("--output - writes one seed to stdout, and nothing else")
    if given["generate_password"]:
        raise click.UsageError("--output - leaves no place for the --generate-password")
    if sys.stdout.isatty():
        raise click.UsageError("--output - writes an image: send it to a file or a pipe")
    _, seed = blueprint.seed(rows[0])
    findings = findings_of(seed, rules_for(blueprint, schema=not given["no_schema"]))
    refused = blocking(findings, strict=given["strict"])
    if not quiet or refused:
        _show_findings([(Path("-"), finding) for finding in findings])
    if refused:
        click.echo("unclone: the seed is refused; nothing was written", err=True)
        return ExitStatus.REFUSED
    content = seed.to_bytes(kind, timestamp=seed_timestamp())
    if not given["dry_run"]:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    return ExitStatus.DONE


def _first_seed(blueprint: Blueprint, rows: Sequence[Row]) -> Seed | None:
    """The seed that the options describe; None when they describe none."""
    first = rows[0]
    if not (first.hostname or first.fqdn or first.instance_id or blueprint.meta_data):
        first = replace(first, hostname="unnamed")  # any name will do to see what a seed needs
        if blueprint == Blueprint():
            return None
    return blueprint.seed(first)[1]


def _check(
    ctx: click.Context,
    image: Path,
    seed: Seed | None,
    kind: Format,
    given: dict[str, Any],
    *,
    as_json: bool,
    quiet: bool,
) -> ExitStatus:
    from unclone.cli.execute import execute  # noqa: PLC0415
    from unclone.cli.progress import progress_for  # noqa: PLC0415 (as above)
    from unclone.cli.render.readiness import show_readiness  # noqa: PLC0415
    from unclone.cli.render.tables import console  # noqa: PLC0415
    from unclone.runs import seed_check as readiness  # noqa: PLC0415
    from unclone.runs.request import Request  # noqa: PLC0415 (the engines come with it: not for --help)

    with progress_for(quiet=quiet) as progress:
        request = Request(image, format=given["image_format"] or "")
        done = execute(ctx, image, progress, lambda seen: readiness.look(request, seen, seed, kind))
    if as_json:
        print_document("unclone.seed-check/1", [done.to_json()])
    elif done.result is not None:
        show_readiness(console(), done.result)
    return done.result.status if done.result is not None else done.status


def _show(results: Sequence[Result], kind: Format, *, refused: bool, verbose: bool) -> None:
    for result in results:
        click.echo(printable(f"{result.path}: {_outcome(result, kind, refused=refused)}"))
        if verbose:
            for name, size in result.sizes.items():
                click.echo(f"  {name}: {size} bytes")
            if result.written and result.written.sha256 and not refused:
                click.echo(f"  sha256 {result.written.sha256}")
    if refused:
        stopped = sum(result.refused for result in results)
        click.echo(
            f"unclone: {stopped} of {len(results)} seeds refused; nothing was written", err=True
        )


def _outcome(result: Result, kind: Format, *, refused: bool) -> str:
    machine = result.machine
    if refused:
        return "refused" if result.refused else "not written"
    written = f"{result.written.size} bytes" if result.written else "not written (--dry-run)"
    return f"{kind}, {written}, {machine.name or 'no name'}, instance-id {machine.identity}"


def _show_findings(findings: Sequence[tuple[Path, Finding]]) -> None:
    """On stderr, each as compilers write it, so that editors can jump there."""
    several = len({path for path, _ in findings}) > 1
    for path, finding in findings:
        start = f"{path}: " if several else ""
        click.echo(printable(f"{start}{finding}"), err=True)
        if finding.hint:
            click.echo(f"  {printable(finding.hint)}", err=True)


def _to_json(result: Result, kind: Format, *, refused: bool) -> dict[str, Any]:
    """As documented in docs/json.md."""
    written = None if refused else result.written
    if refused:
        status = "refused" if result.refused else "not-written"
    else:
        status = "done" if written else "planned"
    return {
        "output": str(result.path),
        "status": status,
        "format": str(kind),
        "size": written.size if written else 0,
        "sha256": written.sha256 if written else "",
        "hostname": result.machine.name,
        "instance_id": result.machine.identity,
        "files": dict(result.sizes),
        "findings": [finding.to_json() for finding in result.findings],
    }
