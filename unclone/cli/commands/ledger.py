"""``unclone ledger``: which identities were given to which machine, and forgetting machines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from unclone.cli.document import print_document
from unclone.cli.identity_options import LedgerPlace
from unclone.cli.lines import plain, print_line
from unclone.cli.output_options import debug_option, json_option, quiet_option
from unclone.cli.standard_streams import settle
from unclone.images.errors import ExitStatus, UncloneError, UsageError
from unclone.images.text import printable
from unclone.runs import failures, ledger_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.sanitize.identities.ledger import Ledger
    from unclone.sanitize.identities.ledger.place import Place
    from unclone.sanitize.identities.records import MachineRecord

EPILOG = """\b
Examples:
  unclone ledger ~/fleet.ledger
  unclone ledger ~/fleet.ledger web-01 web-02
  unclone ledger ~/fleet.ledger --find 52:54:00:12:34:56
  unclone ledger ~/fleet.ledger --release web-01
  unclone ledger postgresql://db.example/fleet --import fleet.json
  unclone ledger ~/fleet.ledger --json | jq -r '.results[].name'
"""


@click.command("ledger", epilog=EPILOG)
@click.argument("place", metavar="LEDGER", type=LedgerPlace(path_type=Path))
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--find",
    metavar="VALUE",
    help="Show the machine with this MAC address, UUID or other value.",
)
@click.option(
    "--release",
    metavar="NAME",
    multiple=True,
    help="Forget a machine that is gone, so that its identities may be given again; repeatable.",
)
@click.option(
    "--import",
    "imported",
    type=click.File(encoding="utf-8"),
    metavar="FILE",
    help="Record the machines that another ledger printed with --json; all of them or none.",
)
@json_option
@quiet_option
@debug_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    place: Place,
    names: Sequence[str],
    find: str | None,
    release: Sequence[str],
    imported: TextIO | None,
    as_json: bool,  # noqa: FBT001 (click gives flags by name)
    quiet: bool,  # noqa: FBT001
) -> None:
    """Show the machines in LEDGER, or those called NAME, and what each was given.

    LEDGER is a file, or the address of a PostgreSQL database. With --quiet, only their names.
    """
    from unclone.sanitize.identities.ledger import Ledger  # noqa: PLC0415 (only needed here)

    if sum(map(bool, (names, find, release, imported))) > 1:
        raise click.UsageError("give names, --find, --release or --import, not several of them")
    try:
        if not imported and not Ledger.exists(place):
            raise UsageError(
                f"there is no ledger {printable(str(place))}",
                hint="`unclone define --ledger FILE` makes one.",
            )
        with Ledger.open(place) as ledger:
            if ledger.warning:
                click.echo(f"unclone: {ledger.warning}", err=True)
            if imported:
                found = _imported(ledger, imported)
            elif release:
                found = _released(ledger, release)
            else:
                found = _chosen(ledger, names, find or "")
    except UncloneError as error:
        settle(ctx, error.status)
        if as_json:
            print_document(ledger_document.SCHEMA, [failures.to_json(str(place), error)])
        raise
    done = "released" if release else "imported" if imported else ""
    if done:
        settle(ctx, ExitStatus.DONE, [f"{machine.name}: {done}" for machine in found])
    if as_json:
        print_document(
            ledger_document.SCHEMA, [ledger_document.to_json(machine) for machine in found]
        )
    else:
        for machine in found:
            _show(machine, released=bool(release), quiet=quiet)
    ctx.exit(ExitStatus.DONE)


def _released(ledger: Ledger, names: Sequence[str]) -> list[MachineRecord]:
    """All of them or none."""
    with ledger.transaction():
        found = _chosen(ledger, names, "")
        for machine in found:
            ledger.forget(machine.name)
    return found


def _imported(ledger: Ledger, file: TextIO) -> list[MachineRecord]:
    """All of them or none."""
    machines = ledger_document.read(file)
    with ledger.transaction():
        ledger.record_all(machines)
    return machines


def _chosen(ledger: Ledger, names: Sequence[str], value: str) -> list[MachineRecord]:
    if value:
        return list(ledger.find(value))
    if not names:
        return list(ledger.machines())
    found = []
    for name in dict.fromkeys(names):
        machine = ledger.machine(name)
        if machine is None:
            raise ledger.unknown(name)
        found.append(machine)
    return found


def _show(machine: MachineRecord, *, released: bool, quiet: bool) -> None:
    if quiet:
        print_line(plain(machine.name))
        return
    verb = "released; was made" if released else "made"
    print_line(
        plain(machine.name, bold=True),
        plain(f" {verb} {machine.allocated} from {machine.source}"),
    )
    for one in machine.identities:
        print_line(plain(f"  {one.kind:12} {one.value}  {one.field}".rstrip()))
