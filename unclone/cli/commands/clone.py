"""``unclone clone``: machines from a golden image."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unclone.cli import options
from unclone.cli.document import print_document
from unclone.cli.execute import show_traceback
from unclone.cli.executor_options import check_executor, executor_of, executor_options
from unclone.cli.identity_options import taken_identity_options
from unclone.cli.lines import plain, print_line
from unclone.cli.output_options import SectionedCommand, json_lines_option, output_options
from unclone.cli.progress import progress_for
from unclone.cli.proving import (
    proof_statuses,
    prove_machines,
    prove_option,
    show_proofs,
    with_proof,
)
from unclone.cli.render.clone import show
from unclone.cli.seed_options import seed_options
from unclone.cli.standard_streams import UnwritableError, settle, settle_runs
from unclone.images.errors import ExitStatus
from unclone.runs import failures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unclone.cli.progress import Progress
    from unclone.runs.clone.making import Machine
    from unclone.runs.clone.metrics import Metrics
    from unclone.runs.clone.order import Order
    from unclone.runs.completed import CompletedRun
    from unclone.seeds.blueprint import Blueprint

EPILOG = """\b
Examples:
  unclone clone golden.qcow2 --name web-01
  unclone clone golden.qcow2 --name 'web-{:03}' --count 20 -o vms/
  unclone clone golden.qcow2 --name web-01 --definition golden.xml --user ops --ssh-key id.pub
  unclone clone golden.qcow2 --name web-01 --mode copy --dry-run
  unclone clone fleet.yaml                      many machines, described in a file
  unclone clone fleet.yaml --dry-run
  unclone clone --remove web-01 -o vms/ --ledger fleet.ledger

\b
docs/clone.md has what lies in a machine's folder, what a fleet file says, and what happens after an
interruption.
"""

SECTIONS = {
    "Options": (
        *("--name", "--count", "--output-dir", "--mode", "--definition", "--nvram", "--hostname"),
        *("--register", "--prove", "--replace", "--remove", "--unregister", "--dry-run", "--jobs"),
        *("--cache", "--executor", "--scheduler", "--prometheus"),
    ),
    "The seed": (
        *("--seed", "--user", "--ssh-key", "--password-file", "--user-data", "--template", "--set"),
        *("--vendor-data", "--network-config", "--package", "--run", "--timezone", "--disk-grow"),
        *("--generate-password", "--user-key", "--write-file", "--dsmode"),
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
SCHEMA = "unclone.clone/1"
#: What is said of a run, also where a fleet file says the rest.
_OF_A_RUN = {
    *("folder", "replace", "register", "prove", "dry_run", "jobs", "ask_passphrase"),
    *("as_json", "as_lines", "verbose", "quiet", "executor", "scheduler", "prometheus"),
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
@click.argument(
    "golden", metavar="[GOLDEN|FLEET.yaml]", required=False, type=click.Path(path_type=Path)
)
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
    metavar="FOLDER",
    help="Where the machines' folders go, made if it is not there; default: the current one, or "
    "what FLEET.yaml says.",
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
    "--nvram",
    type=_FILE,
    metavar="FILE",
    help="UEFI variables that each machine gets a copy of, instead of GOLDEN's.",
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
@taken_identity_options()
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="FOLDER",
    help="Where the prepared golden image goes; default: beside GOLDEN.",
)
@click.option(
    "--replace",
    is_flag=True,
    help="Make machines anew that are there, with new identities; of FLEET.yaml those that have "
    "changed.",
)
@click.option(
    "--remove",
    multiple=True,
    metavar="NAME",
    help="Remove a machine with its files, and from --ledger if that is given; may be repeated.",
)
@click.option(
    "--register",
    is_flag=True,
    help="Define each machine in libvirt (virsh define), also those that are there already.",
)
@click.option(
    "--unregister", is_flag=True, help="With --remove: undefine the machine in libvirt first."
)
@prove_option
@click.option("--dry-run", is_flag=True, help="Say what would be made, and make nothing.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many machines to make at once; default: as many as there are processors.",
)
@executor_options
@seed_options
@options.unnamed_step_options
@options.opening_options
@output_options
@json_lines_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    golden: Path | None,
    as_json: bool,  # noqa: FBT001 (click gives flags by name)
    as_lines: bool,  # noqa: FBT001
    verbose: bool,  # noqa: FBT001
    quiet: bool,  # noqa: FBT001
    jobs: int | None,
    **given: Any,  # noqa: ANN401 (the options, as _order takes them)
) -> None:
    """Make machines from the golden image GOLDEN: disk, definition, seed, one identity in all.

    Each machine is a folder of its own: complete, or absent. Run again, only what is missing is
    made. GOLDEN is only read. With --mode overlay the machines have it, or an image prepared
    from it, as backing file: that must not change any more, and loses its permission to write.

    FLEET.yaml describes many machines, and their golden images, in a file.
    """
    if given["remove"]:
        _remove(ctx, golden, given, as_json=as_json or as_lines)
        return
    if given["unregister"]:
        raise click.UsageError("--unregister is for --remove")
    if golden is None:
        raise click.UsageError("GOLDEN is missing: unclone clone GOLDEN --name NAME")
    make = _fleet if golden.suffix.lower() in (".yaml", ".yml") else _one
    if make is _fleet:
        _require_run_options(ctx)
    elif not given["name"]:
        raise click.UsageError("--name is missing: unclone clone GOLDEN --name NAME")
    elif given["generate_password"] and given["seed"] == "never":
        raise click.UsageError("--generate-password needs a seed, and --seed never makes none")
    elif given["register"] and not given["definition"]:
        raise click.UsageError("--register needs --definition FILE, of a libvirt domain")
    check_executor(given)
    lost: list[UnwritableError] = []
    from unclone.runs.clone.metrics import Metrics  # noqa: PLC0415 (not for --help)

    metrics = Metrics()

    def tell(done: CompletedRun[Machine]) -> None:
        metrics.count(done)
        password = done.result.password if done.result else ""
        if lost or not (as_lines or (password and not as_json)):
            return
        try:
            with progress.paused():
                if as_lines:
                    print_document(SCHEMA, [done.to_json()])
                else:  # at once: nobody else has it
                    print_line(plain(f"{done.image}: password {password}"))
        except UnwritableError as error:  # the machines are still made
            lost.append(error)

    with progress_for(quiet=quiet, threads=False) as progress:
        runs = make(
            golden,
            given,
            progress,
            metrics,
            jobs=1 if given["ask_passphrase"] else jobs,
            on_error=partial(show_traceback, ctx),
            on_done=tell,
            register=_registering() if given["register"] else None,
        )
        proofs = prove_machines(ctx, runs, given, progress)
    settle_runs(ctx, runs, changing=not given["dry_run"])
    metrics.write(given["prometheus"])
    if lost:
        raise lost[0]
    if as_lines and not as_json and len(runs) > 1:
        print_document(SCHEMA, [metrics.to_json()])
    if as_json and not as_lines:
        results = [with_proof(each.to_json(), proofs.get(n)) for n, each in enumerate(runs)]
        print_document(SCHEMA, results)
    elif not as_lines:
        show(runs, verbose=verbose, quiet=quiet)
        show_proofs(proofs, verbose=verbose)
    registrations = [each.result.registration for each in runs if each.result]
    unregistered = any(each and each.status == "failed" for each in registrations)
    statuses = [each.status for each in runs]
    ctx.exit(
        failures.worst(
            [*statuses, *proof_statuses(proofs), *([ExitStatus.FAILED] if unregistered else [])]
        )
    )


def _registering() -> Callable[[Machine], Machine]:
    from unclone.runs.clone.libvirt import register, require_virsh  # noqa: PLC0415 (not for --help)

    require_virsh()
    return register


def _remove(
    ctx: click.Context, golden: Path | None, given: dict[str, Any], *, as_json: bool
) -> None:
    from unclone.runs.clone.removing import remove  # noqa: PLC0415 (not for --help)

    if golden or given["name"]:
        raise click.UsageError("--remove takes no GOLDEN and no --name")
    removed = remove(
        given["folder"] or Path(),
        given["remove"],
        given["ledger"],
        unregister=given["unregister"],
    )
    settle(ctx, ExitStatus.DONE, [f"{path}: removed" for path in removed])
    if as_json:
        done = [{"path": str(path), "status": "removed"} for path in removed]
        print_document(SCHEMA, done)
    else:
        for path in removed:
            print_line(plain(f"{path}: removed"))


def _require_run_options(ctx: click.Context) -> None:
    """Raise UsageError for an option that a fleet file says."""
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if name == "golden" or name in _OF_A_RUN:
            continue
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option = max(parameter.opts, key=len)
            raise click.UsageError(
                f"{option} is for one golden image; a fleet file says it itself (docs/clone.md)"
            )


def _fleet(
    path: Path,
    given: dict[str, Any],
    progress: Progress,
    metrics: Metrics,
    **how: Any,  # noqa: ANN401 (those of Run)
) -> Sequence[CompletedRun[Machine]]:
    from unclone.runs.clone import fleet_file  # noqa: PLC0415 (engines and formats come with it: not for --help)
    from unclone.runs.clone.fleet import How, orders_of  # noqa: PLC0415 (likewise)
    from unclone.runs.clone.run import Run  # noqa: PLC0415 (likewise)

    fleet = fleet_file.read(path)
    asking = options.asking(progress) if given["ask_passphrase"] else None
    orders = orders_of(fleet, How(given["folder"], given["replace"], given["dry_run"], asking))
    metrics.ledger = orders[0].ledger
    with executor_of(given, orders) as executor:
        return Run(progress, executor=executor, **how).clone_fleet(orders, fleet.names)


def _one(
    golden: Path,
    given: dict[str, Any],
    progress: Progress,
    metrics: Metrics,
    **how: Any,  # noqa: ANN401 (those of Run)
) -> Sequence[CompletedRun[Machine]]:
    from unclone.runs.clone.run import Run  # noqa: PLC0415 (engines and formats come with it: not for --help)

    order = _order(golden, given, progress)
    metrics.ledger = order.ledger
    with executor_of(given, [order]) as executor:
        return Run(progress, executor=executor, **how).clone(order)


def _order(golden: Path, given: dict[str, Any], progress: Progress) -> Order:
    from unclone.runs.clone.names import expand  # noqa: PLC0415 (not for --help)
    from unclone.runs.clone.order import Mode, Order, SeedPolicy  # noqa: PLC0415 (likewise)
    from unclone.sanitize.identities import mac as addresses  # noqa: PLC0415 (likewise)

    steps = options.options_from(given)
    return Order(
        request=options.request_from(golden, {**given, "dry_run": False}, steps, progress),
        names=expand(given["name"], given["count"], given["start"]),
        folder=given["folder"] or Path(),
        mode=Mode(given["mode"]),
        definition=given["definition"],
        blueprint=_blueprint(given),
        seed=SeedPolicy(given["seed"]),
        generate_password=given["generate_password"],
        hostname=given["hostname"],
        oui=addresses.parse_prefix(given["oui"]) if given["oui"] else b"",
        avoid=given["avoid"],
        ledger=given["ledger"],
        replace=given["replace"],
        nvram=given["nvram"],
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
