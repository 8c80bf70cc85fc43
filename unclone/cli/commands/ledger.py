"""``unclone ledger``: which identities were given to which machine, and forgetting machines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unclone.cli.document import print_document
from unclone.cli.lines import plain, print_line
from unclone.cli.output_options import debug_option, json_option, quiet_option
from unclone.cli.standard_streams import settle
from unclone.images.errors import ExitStatus, UncloneError, UsageError
from unclone.images.text import printable
from unclone.runs import failures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.sanitize.identities.ledger import Ledger
    from unclone.sanitize.identities.records import MachineRecord

EPILOG = """\b
Examples:
  unclone ledger ~/fleet.ledger
  unclone ledger ~/fleet.ledger web-01 web-02
  unclone ledger ~/fleet.ledger --find 52:54:00:12:34:56
  unclone ledger ~/fleet.ledger --release web-01
  unclone ledger ~/fleet.ledger --json | jq -r '.results[].name'
"""


@click.command("ledger", epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
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
@json_option
@quiet_option
@debug_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    file: Path,
    names: Sequence[str],
    find: str | None,
    release: Sequence[str],
    as_json: bool,  # noqa: FBT001 (click gives flags by name)
    quiet: bool,  # noqa: FBT001
) -> None:
    """Show the machines in the ledger FILE, or those called NAME, and what each was given.

    With --quiet, only their names.
    """
    from unclone.sanitize.identities.ledger import Ledger  # noqa: PLC0415 (SQLite comes with it)

    if sum(map(bool, (names, find, release))) > 1:
        raise click.UsageError("give names, --find or --release, not several of them")
    try:
        if not file.exists():
            raise UsageError(
                f"there is no ledger {printable(str(file))}",
                hint="`unclone define --ledger FILE` makes one.",
            )
        with Ledger.open(file) as ledger:
            if ledger.warning:
                click.echo(f"unclone: {ledger.warning}", err=True)
            found = _released(ledger, release) if release else _chosen(ledger, names, find or "")
    except UncloneError as error:
        settle(ctx, error.status)
        if as_json:
            print_document("unclone.ledger/1", [failures.to_json(os.fspath(file), error)])
        raise
    if release:
        settle(ctx, ExitStatus.DONE, [f"{machine.name}: released" for machine in found])
    if as_json:
        print_document("unclone.ledger/1", [_to_json(machine) for machine in found])
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


def _to_json(machine: MachineRecord) -> dict[str, Any]:
    return {
        "name": machine.name,
        "allocated": machine.allocated,
        "source": machine.source,
        "identities": [
            {"kind": one.kind, "value": one.value, "field": one.field} for one in machine.identities
        ],
    }
