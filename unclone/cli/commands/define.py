"""``unclone define``: the definition of a different machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unclone.cli.document import print_document
from unclone.cli.execute import execute
from unclone.cli.identity_options import taken_identity_options
from unclone.cli.lines import plain, print_line
from unclone.cli.output_options import SectionedCommand, output_options
from unclone.cli.progress import progress_for
from unclone.cli.standard_streams import settle_runs
from unclone.sanitize.change import Level
from unclone.sanitize.identities.keys import KEY_HELP, read_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.runs.define import Defined
    from unclone.sanitize.identities.ledger.place import Place

EPILOG = """\b
Examples:
  unclone define golden.xml --name web-01 --disk vda=/var/lib/libvirt/images/web-01.qcow2
  unclone define golden.xml --name web-01 --avoid /etc/libvirt/qemu --ledger ~/fleet.ledger
  unclone define golden.xml --name web-01 --derive-from fleet.key -o - | virsh define /dev/stdin
  unclone define golden.xml --name web-01 --mac net0=52:54:00:12:34:56 --network default.xml
  unclone define golden.vmx --name web-01 --dry-run --verbose

\b
What is not identity survives byte for byte. docs/definitions.md has every format and every field.
"""

_FILE = click.Path(path_type=Path)


SECTIONS = {
    "Options": (
        *("--name", "--output", "--disk", "--mac", "--uuid", "--dry-run", "--overwrite"),
        *("--json", "--verbose", "--quiet"),
    ),
    "Identities that are not given again": ("--avoid", "--ledger", "--derive-from", "--oui"),
    "Further files, and devices": ("--network", "--snapshot", "--virtio", "--unchecked"),
}


@click.command("define", cls=SectionedCommand, sections=SECTIONS, epilog=EPILOG)
@click.argument("source", type=_FILE)
@click.option("--name", required=True, metavar="NAME", help="What the new machine is called.")
@click.option(
    "-o",
    "--output",
    type=_FILE,
    metavar="FILE",
    help="Where the definition goes; - is stdout. Default: NAME with the source's suffix, here.",
)
@click.option(
    "--format",
    "format_id",
    metavar="FORMAT",
    shell_complete=lambda _ctx, _param, begun: _formats(begun),
    help="The format, if not told by the content.",
)
@click.option(
    "--oui",
    metavar="OCTETS",
    help="What new MAC addresses begin with (52:54:00), instead of the hypervisor's own.",
)
@click.option(
    "--mac",
    "macs",
    multiple=True,
    metavar="[CARD=]MAC",
    help="A MAC address of your own for a card (net0, its old address, its number).",
)
@click.option("--uuid", metavar="UUID", help="A UUID of your own for the machine.")
@click.option(
    "--disk",
    "disks",
    multiple=True,
    metavar="OLD=NEW",
    help="Where a disk (its path, or a name such as vda) is on the new machine.",
)
@click.option(
    "--network",
    "networks",
    type=_FILE,
    multiple=True,
    metavar="FILE",
    help="A libvirt network whose DHCP reservations follow the machine.",
)
@click.option(
    "--snapshot",
    "snapshots",
    type=_FILE,
    multiple=True,
    metavar="FILE",
    help="A snapshot, checkpoint or backup of the machine, in libvirt's XML: it follows.",
)
@taken_identity_options()
@click.option("--derive-from", "key_file", metavar="FILE", help=KEY_HELP)
@click.option(
    "--virtio",
    is_flag=True,
    help="Move disks, network and balloon to virtio, if the guest boots from it.",
)
@click.option("--unchecked", is_flag=True, help="With --virtio: do not look into the guest.")
@click.option(
    "--fields",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda ctx, _, value: _show_fields(ctx) if value else None,
    help="List every field of every format, what is done with it and why, and exit.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@click.option("--overwrite", is_flag=True, help="Replace files that are there already.")
@output_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    source: Path,
    as_json: bool,  # noqa: FBT001 (click gives flags by name)
    verbose: bool,  # noqa: FBT001
    quiet: bool,  # noqa: FBT001
    ledger: Place | None,
    avoid: Sequence[Path],
    key_file: str | None,
    **given: Any,  # noqa: ANN401 (the options that make up the request)
) -> None:
    """Write the definition of a different machine from SOURCE.

    Name, UUID, MAC addresses, serial numbers and what else is one machine's own is renewed;
    everything else, down to comments and line endings, stays as it is.
    """
    from unclone.runs import define as defining  # noqa: PLC0415 (all formats and SQLite come with it: not for --help)

    request = defining.request_from(source, given)
    to_stdout = request.output == Path("-")
    if to_stdout and (as_json or request.networks or request.snapshots):
        raise click.UsageError("--output - writes one definition to stdout, and nothing else")
    stream = sys.stdout.buffer if to_stdout else None

    def work(_: object) -> Defined:
        key = read_key(key_file) if key_file else b""
        definition = defining.read(request)
        with defining.pool(request, avoid=avoid, ledger=ledger, key=key) as pool:
            return defining.define(request, definition, pool, stream)

    with progress_for(quiet=True) as progress:  # a definition takes no time
        done = execute(ctx, source, progress, work)
    settle_runs(ctx, [done], changing=not (to_stdout or given["dry_run"]))
    if as_json:
        print_document("unclone.define/1", [done.to_json()])
    elif done.result is not None:
        _show(done.result, verbose=verbose, quiet=quiet, err=to_stdout)
    ctx.exit(done.status)


def _formats(begun: str) -> list[str]:
    from unclone.sanitize.definitions.formats.table import FORMATS  # noqa: PLC0415 (not for --help)

    return [each.id for each in FORMATS if each.id.startswith(begun)]


def _show_fields(ctx: click.Context) -> None:
    from unclone.sanitize.definitions.formats.table import FORMATS  # noqa: PLC0415 (not for --help)

    for each in FORMATS:
        print_line(plain(f"{each.title} ({each.id})", bold=True))
        for rule in each.rules:
            what = plain(f"({rule.treatment}) {rule.where}: {rule.why}")
            print_line(plain(f"  {rule.id} ", bold=True), what)
    ctx.exit()


def _show(defined: Defined, *, verbose: bool, quiet: bool, err: bool) -> None:
    """For a person: every change, then what is left to do. On stderr with *err*."""
    main, request = defined.parts[0], defined.request
    definition = main.plan.definition
    verb = "planned, nothing was written" if request.dry_run else "written"
    where = "stdout" if request.output == Path("-") else str(main.output)
    print_line(
        plain(str(request.source), bold=True),
        plain(f": {definition.format.title}, {definition.name or 'no name'}; "),
        plain(f"{defined.identities.name} {verb}: {where}"),
        err=err,
    )
    width = max((len(each.field.rule.id) for each in defined.changes), default=0) + 2
    for each in () if quiet else defined.changes:
        new = "removed" if each.new is None else each.new
        change = f"{each.field.value} -> {new}" if each.field.value else f"added: {new}"
        rule = f"  {each.field.rule.id:{width}}"
        print_line(plain(rule, bold=True), plain(change), err=err)
        if verbose:
            print_line(plain(f"    {each.field.place}: {each.field.rule.why}", dim=True), err=err)
    files = [each.describe() for each in defined.associated_files]
    files += [f"{part.plan.definition.format.title}: {part.output}" for part in defined.parts[1:]]
    for file in files:
        print_line(plain(f"  + {file}"), err=err)
    for note in defined.notes:
        if quiet and note.level is Level.INFO:
            continue
        warning = note.level is Level.WARNING
        mark = plain("  ! ", fg="yellow") if warning else "  · "
        print_line(mark, plain(note.text), err=err)
