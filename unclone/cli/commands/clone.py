"""``unclone clone``: machines from a golden image."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unclone.cli import options
from unclone.cli.document import print_document
from unclone.cli.execute import show_traceback
from unclone.cli.lines import plain, print_line
from unclone.cli.output_options import SectionedCommand, output_options
from unclone.cli.progress import progress_for
from unclone.cli.seed_options import seed_options
from unclone.cli.standard_streams import settle, settle_runs
from unclone.images.errors import ExitStatus
from unclone.runs import failures
from unclone.sanitize.change import Level

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.runs.clone.making import Machine
    from unclone.runs.clone.order import Order
    from unclone.runs.completed import CompletedRun
    from unclone.seeds.blueprint import Blueprint

EPILOG = """\b
Examples:
  unclone clone golden.qcow2 --name web-01
  unclone clone golden.qcow2 --name 'web-{:03}' --count 20 -o vms/
  unclone clone golden.qcow2 --name web-01 --definition golden.xml --user ops --ssh-key id.pub
  unclone clone golden.qcow2 --name web-01 --mode copy --dry-run
  unclone clone --remove web-01 -o vms/ --ledger fleet.ledger

\b
docs/clone.md has what lies in a machine's folder, and what happens after an interruption.
"""

SECTIONS = {
    "Options": (
        *("--name", "--count", "--output-dir", "--mode", "--definition", "--hostname"),
        *("--replace", "--remove", "--dry-run", "--jobs", "--cache"),
    ),
    "The seed": (
        *("--seed", "--user", "--ssh-key", "--password-file", "--user-data", "--template", "--set"),
        *("--vendor-data", "--network-config", "--package", "--run", "--timezone", "--disk-grow"),
    ),
    "Identities": (
        *("--ledger", "--avoid", "--derive-from", "--oui", "--machine-id", "--ssh-host-keys"),
        *("--uuids", "--delete-snapshots", "--profile", "--enable", "--disable", "--strict"),
        *("--catalogue", "--start"),
    ),
    "Opening the golden image": (
        *("--engine", "--format", "--add-disk", "--allow-dir", "--key-file", "--ask-passphrase"),
    ),
}
_FILE = click.Path(path_type=Path, dir_okay=False)
#: What `unclone seed` has, and a machine gets from its definition instead.
_NOT_HERE: dict[str, Any] = {
    "nics": (),
    "bonds": (),
    "vlans": (),
    "network_version": "1",
    "meta_data": None,
}


@click.command("clone", cls=SectionedCommand, sections=SECTIONS, epilog=EPILOG)
@click.argument("golden", required=False, type=click.Path(path_type=Path))
@click.option(
    "--name",
    metavar="NAME",
    help="What the machine is called; with --count, {} or {:03} in it is the number.",
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="How many machines.")
@click.option(
    "--start",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    metavar="N",
    help="The number of the first machine.",
)
@click.option(
    "-o",
    "--output-dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="FOLDER",
    help="Where the machines' folders go, made if it is not there; default: the current one.",
)
@click.option(
    "--mode",
    type=click.Choice(["overlay", "reflink", "copy"]),
    default="overlay",
    show_default=True,
    help="overlay: a small qcow2 on top of GOLDEN, which must not change any more. reflink: a copy "
    "that shares its blocks. copy: a copy of its own.",
)
@click.option(
    "--definition",
    type=_FILE,
    metavar="FILE",
    help="GOLDEN's VM definition, in any format of `define`: each machine gets its own.",
)
@click.option(
    "--hostname",
    default="{name}",
    show_default=True,
    metavar="TEXT",
    help="The host name in the seed; {name} in it stands for the machine's name.",
)
@click.option(
    "--seed",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="auto: a seed where the guest has cloud-init, or an option describes one.",
)
@click.option("--oui", metavar="OCTETS", help="What new MAC addresses begin with (52:54:00).")
@click.option(
    "--avoid",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FOLDER",
    help="Definitions whose identities are not given again; may be repeated.",
)
@click.option(
    "--ledger",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A database of every identity ever given: none is given twice. Made if it is not there.",
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="FOLDER",
    help="Where the prepared golden image goes; default: beside GOLDEN.",
)
@click.option(
    "--replace", is_flag=True, help="Make machines anew that are there, with new identities."
)
@click.option(
    "--remove",
    multiple=True,
    metavar="NAME",
    help="Remove a machine with its files, and from --ledger if that is given; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be made, and make nothing.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many machines to make at once; default: as many as there are processors.",
)
@seed_options
@options.unnamed_step_options
@options.opening_options
@output_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    golden: Path | None,
    as_json: bool,  # noqa: FBT001 (click gives flags by name)
    verbose: bool,  # noqa: FBT001
    quiet: bool,  # noqa: FBT001
    jobs: int | None,
    **given: Any,  # noqa: ANN401 (the options, as _order takes them)
) -> None:
    """Make machines from the golden image GOLDEN: disk, definition, seed, one identity in all.

    Each machine is a folder of its own: complete, or absent. Run again, only what is missing is
    made. GOLDEN is only read. With --mode overlay the machines have it, or an image prepared
    from it, as backing file: that must not change any more, and loses its permission to write.
    """
    from unclone.runs.clone.removing import remove  # noqa: PLC0415 (not for --help)
    from unclone.runs.clone.run import clone  # noqa: PLC0415 (engines and formats come with it: not for --help)

    if given["remove"]:
        if golden or given["name"]:
            raise click.UsageError("--remove takes no GOLDEN and no --name")
        removed = remove(given["folder"], given["remove"], given["ledger"])
        settle(ctx, ExitStatus.DONE, [f"{path}: removed" for path in removed])
        if as_json:
            done = [{"path": str(path), "status": "removed"} for path in removed]
            print_document("unclone.clone/1", done)
        else:
            for path in removed:
                print_line(plain(f"{path}: removed"))
        return
    if golden is None or not given["name"]:
        missing = "--name" if golden else "GOLDEN"
        raise click.UsageError(f"{missing} is missing: unclone clone GOLDEN --name NAME")
    workers = 1 if given["ask_passphrase"] else jobs
    with progress_for(quiet=quiet, threads=False) as progress:
        order = _order(ctx, golden, given, progress)
        runs = clone(order, progress, jobs=workers, on_error=partial(show_traceback, ctx))
    settle_runs(ctx, runs, changing=not given["dry_run"])
    if as_json:
        print_document("unclone.clone/1", [each.to_json() for each in runs])
    else:
        _show(runs, verbose=verbose, quiet=quiet)
    ctx.exit(failures.worst(each.status for each in runs))


def _order(ctx: click.Context, golden: Path, given: dict[str, Any], progress: Any) -> Order:  # noqa: ANN401 (a Progress)
    from unclone.runs.clone.names import expand  # noqa: PLC0415 (not for --help)
    from unclone.runs.clone.order import Mode, Order, SeedPolicy  # noqa: PLC0415 (likewise)
    from unclone.sanitize.identities import mac as addresses  # noqa: PLC0415 (likewise)

    del ctx
    steps = options.options_from(given)
    return Order(
        request=options.request_from(golden, {**given, "dry_run": False}, steps, progress),
        names=expand(given["name"], given["count"], given["start"]),
        folder=given["folder"],
        mode=Mode(given["mode"]),
        definition=given["definition"],
        blueprint=_blueprint(given),
        seed=SeedPolicy(given["seed"]),
        hostname=given["hostname"],
        oui=addresses.parse_prefix(given["oui"]) if given["oui"] else b"",
        avoid=given["avoid"],
        ledger=given["ledger"],
        replace=given["replace"],
        cache=given["cache"],
        dry_run=given["dry_run"],
    )


def _blueprint(given: dict[str, Any]) -> Blueprint | None:
    """What the options say about the seeds; None when they say nothing."""
    from unclone.runs import seed as seeding  # noqa: PLC0415 (not for --help)
    from unclone.seeds.blueprint import Blueprint  # noqa: PLC0415 (likewise)
    from unclone.seeds.errors import SeedError  # noqa: PLC0415 (likewise)

    said = {**given, **_NOT_HERE, "definition": None}
    try:
        blueprint = seeding.blueprint_from(said, seeding.Source())
    except SeedError as error:
        raise seeding.as_unclone_error(error) from error
    return None if blueprint == Blueprint() else blueprint


def _show(runs: Sequence[CompletedRun[Machine]], *, verbose: bool, quiet: bool) -> None:
    several = len(runs) > 1
    for each in runs:
        if each.result is None:
            print_line(plain(f"{each.image}: {failures.STATUS_NAMES[each.status]}"))
        elif not quiet or not several:
            _show_machine(each.result, verbose=verbose, detailed=not several)
    if several:
        counts: dict[str, int] = {}
        for each in runs:
            status = each.result.status if each.result else "failed"
            counts[status] = counts.get(status, 0) + 1
        total = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
        print_line(plain(f"{len(runs)} machines: {total}", bold=True))
    backing = dict.fromkeys(path for each in runs if each.result for path in each.result.backing)
    for path in () if quiet else backing:
        print_line(plain(f"  · their backing file, which must not change any more: {path}"))


_WORDS = {"done": "made", "planned": "would be made (--dry-run)", "present": "is there already"}


def _show_machine(machine: Machine, *, verbose: bool, detailed: bool) -> None:
    files = f": {', '.join(machine.files)}" if machine.files else ""
    print_line(plain(str(machine.path), bold=True), plain(f" {_WORDS[machine.status]}{files}"))
    identity = machine.identity
    if detailed or verbose:
        print_line(plain(f"  host name    {identity.hostname}"))
        print_line(plain(f"  instance-id  {identity.instance_id}"))
        for old, new in identity.macs.items():
            print_line(plain(f"  MAC          {old} -> {new}"))
    if verbose:
        for field, value in identity.identifiers.items():
            print_line(plain(f"  {field}  {value}"))
    for note in machine.notes:
        if note.level is Level.WARNING:
            print_line(plain("  ! ", fg="yellow"), plain(note.text))
