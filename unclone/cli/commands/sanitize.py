"""``unclone sanitize``: take the old identity out of images."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from unclone.cli import options
from unclone.cli.document import print_document
from unclone.cli.execute import execute, show_traceback
from unclone.cli.identity_options import taken_identity_options
from unclone.cli.output_options import SectionedCommand, output_options
from unclone.cli.progress import progress_for
from unclone.cli.proving import proof_statuses, prove_each, show_proofs, with_proof
from unclone.cli.standard_streams import settle_runs
from unclone.images.errors import UncloneError, UsageError
from unclone.images.text import shown
from unclone.runs import failures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from unclone.cli.progress import Progress
    from unclone.cli.proving import Proofs
    from unclone.runs.completed import CompletedRun
    from unclone.runs.listener import Listener
    from unclone.runs.request import Request
    from unclone.runs.sanitize_machine import MachineReport
    from unclone.sanitize.options import Options
    from unclone.sanitize.report import Report

EPILOG = """\b
Examples:
  unclone sanitize --dry-run web-01.qcow2
  unclone sanitize web-01.qcow2 web-02.qcow2
  unclone sanitize golden.qcow2 --output web-03.qcow2
  unclone sanitize --profile golden --json template.qcow2 > report.json
  unclone sanitize web-01.qcow2 --definition golden.xml --name web-01
  unclone sanitize web-01.qcow2 --hostname web-01.example.org --prove
  unclone sanitize web-01.qcow2 --dry-run --save-plan web-01.plan
  unclone sanitize web-01.qcow2 --plan web-01.plan
"""


SECTIONS = {
    "Options": (
        *("--output", "--dry-run", "--profile", "--enable", "--disable"),
        *("--definition", "--name", "--json", "--verbose", "--quiet"),
    ),
    "Identities": (
        *("--hostname", "--machine-id", "--ssh-host-keys", "--uuids", "--delete-snapshots"),
        *("--derive-from", "--strict", "--catalogue"),
    ),
    "The result": (
        *("--prove", "--if-needed", "--overwrite", "--output-format", "--allow-overlays"),
    ),
    "The new definition": ("--definition-output", "--avoid", "--ledger"),
    "Opening the image": (
        *("--engine", "--format", "--add-disk", "--allow-dir", "--key-file", "--ask-passphrase"),
    ),
}


@click.command("sanitize", cls=SectionedCommand, sections=SECTIONS, epilog=EPILOG)
@options.image_argument(several=True)
@click.option("--dry-run", is_flag=True, help="Print the plan, change nothing.")
@click.option(
    "--save-plan",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="With --dry-run: write the plan, with its new values, for --plan.",
)
@click.option(
    "--plan",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Carry out exactly the plan that was saved, and refuse when IMAGE has changed since.",
)
@click.option(
    "--prove",
    is_flag=True,
    help="Then boot the result, as `unclone prove` does; status 5 when it is not proven.",
)
@click.option(
    "--if-needed",
    is_flag=True,
    help="Leave IMAGE as it is when a run would only renew device identifiers and host keys again. "
    "Not for a new copy of a sanitised image: the copy has the same ones.",
)
@click.option(
    "-o",
    "--output",
    "outputs",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    metavar="FILE",
    help="Leave IMAGE untouched; the result appears as FILE. With --add-disk: once for each disk.",
)
@click.option(
    "--output-format", type=click.Choice(options.FORMATS), help="FILE's format; default: IMAGE's."
)
@click.option(
    "--overwrite", is_flag=True, help="Let --output or --save-plan replace an existing FILE."
)
@click.option(
    "--allow-overlays",
    is_flag=True,
    help="Change IMAGE although other images have it as backing file, and break them.",
)
@click.option(
    "--definition",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The machine's definition: written anew as NAME, and its new MAC addresses go into the "
    "guest. Without IMAGE, its disks are the guest's.",
)
@click.option(
    "--definition-output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where the new definition goes; default: NAME with the suffix of the old, here.",
)
@taken_identity_options(needs="--definition")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many images to work on at once; default: as many as there are processors.",
)
@options.step_options
@options.opening_options
@output_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    images: tuple[Path, ...],
    as_json: bool,  # noqa: FBT001 (click gives flags by name)
    verbose: bool,  # noqa: FBT001
    quiet: bool,  # noqa: FBT001
    jobs: int | None,
    **given: Any,  # noqa: ANN401 (the options, as options.request_from takes them)
) -> None:
    """Make IMAGE a machine of its own, in place or as a new file.

    With --definition, the disks and the definition of one machine become those of another, with
    one map of MAC addresses for both.

    Each image is done completely or left as it was, and one that fails does not stop the others.
    The exit status is then that of the most severe failure (docs/exit-status.md).
    """
    require_sense(images, given)
    _require_plan_sense(ctx, given)
    steps = options.options_from(given)
    workers = _workers(images, given, jobs)
    runs: Sequence[CompletedRun[Report] | CompletedRun[MachineReport]]
    requests: list[Request] = []
    with progress_for(quiet=quiet, threads=workers == 1) as progress:
        if given["definition"]:
            runs = [_sanitize_machine(ctx, images, given, steps, progress, requests)]
            images = ()
        requests += [options.request_from(image, given, steps, progress) for image in images]
        if workers > 1:
            runs = _sanitize_all(ctx, requests, progress, workers)
        elif images:
            runs = []
            for request, work in zip(requests, _works(requests), strict=True):
                runs.append(execute(ctx, request.image, progress, work))
                if runs[-1].interrupted:
                    break
        proofs = _prove(ctx, runs, requests, progress) if given["prove"] else {}
    settle_runs(ctx, runs, changing=not given["dry_run"])
    if as_json:
        results = [with_proof(each.to_json(), proofs.get(n)) for n, each in enumerate(runs)]
        print_document("unclone.sanitize/1", results)
    else:
        _show(runs, verbose=verbose, quiet=quiet)
        show_proofs(proofs, verbose=verbose)
    ctx.exit(failures.worst([*(each.status for each in runs), *proof_statuses(proofs)]))


def _prove(
    ctx: click.Context,
    runs: Sequence[CompletedRun[Report] | CompletedRun[MachineReport]],
    requests: Sequence[Request],
    progress: Progress,
) -> Proofs:
    """Prove what *runs* made; those that failed, and what was not changed, are left out."""
    if not any(each.result for each in runs):
        return {}  # after Ctrl-C nothing may be loaded: see `_show`
    from unclone.runs.prove.orders import of_report  # noqa: PLC0415 (not for --help)
    from unclone.sanitize.report import Report  # noqa: PLC0415 (likewise)

    orders = {}
    for number, (run, request) in enumerate(zip(runs, requests, strict=False)):
        result = run.result
        if isinstance(result, Report):
            orders[number] = partial(of_report, request, result)
        elif result is not None:
            orders[number] = partial(
                of_report, request, result.report, result.defined.parts[0].output
            )
    return prove_each(ctx, orders, progress)


def _show(
    runs: Sequence[CompletedRun[Report] | CompletedRun[MachineReport]],
    *,
    verbose: bool,
    quiet: bool,
) -> None:
    """The results, and with several images or ``quiet`` a total. Failures are on stderr already."""
    if any(each.interrupted for each in runs) and not any(each.result for each in runs):
        # Ctrl-C in the middle of an import leaves locks behind (CPython 3.11): what was to be
        # loaded by the run must not be loaded now, and there is nothing to show.
        return
    from unclone.cli.render.page import Page  # noqa: PLC0415 (of no use to --json)
    from unclone.cli.render.report import show_definition, show_line, show_report, show_total  # noqa: PLC0415 (likewise)
    from unclone.sanitize.report import Report  # noqa: PLC0415 (likewise)

    page = Page()
    statuses = []
    for each in runs:
        result = each.result
        report = result if isinstance(result, Report) or result is None else result.report
        statuses.append(report.status if report else failures.STATUS_NAMES[each.status])
        if quiet:
            show_line(page, each.image, statuses[-1], report)
        elif report:
            show_report(page, report, verbose=verbose)
        if result is not None and not isinstance(result, Report) and not quiet:
            show_definition(page, result.defined)
    if len(runs) > 1:
        show_total(page, statuses)


def _sanitize_machine(
    ctx: click.Context,
    images: tuple[Path, ...],
    given: dict[str, Any],
    steps: Options,
    progress: Progress,
    requests: list[Request],
) -> CompletedRun[MachineReport]:
    """The disks and the definition of one machine; *requests* gets what was asked of its disks."""
    # All formats come with them: not for --help.
    from unclone.runs import define as defining  # noqa: PLC0415
    from unclone.runs.sanitize_machine import disks_of, sanitize_machine  # noqa: PLC0415

    source: Path = given["definition"]
    wanted = defining.Request(
        source, given["name"], output=given["definition_output"], overwrite=given["overwrite"]
    )

    def work(listener: Listener) -> MachineReport:
        definition = defining.read(wanted)
        disks = (*images, *given["add_disks"]) if images else disks_of(definition)
        of_disks = {**given, "add_disks": disks[1:]}
        request = options.request_from(disks[0], of_disks, steps, progress)
        requests.append(request)
        return sanitize_machine(
            request, wanted, definition, listener, avoid=given["avoid"], ledger=given["ledger"]
        )

    return execute(ctx, images[0] if images else source, progress, work)


def _workers(images: tuple[Path, ...], given: dict[str, Any], jobs: int | None) -> int:
    if len(images) <= 1 or given["ask_passphrase"]:  # one question at a time
        return 1
    from unclone.runs.sanitize_given import jobs_for  # noqa: PLC0415 (the engines come with it: not for --help)

    return jobs_for(images, jobs)


def _sanitize_all(
    ctx: click.Context, requests: Sequence[Request], progress: Progress, workers: int
) -> Sequence[CompletedRun[Report]]:
    from unclone.runs.sanitize import load_all  # noqa: PLC0415 (the engines come with it: not for --help)
    from unclone.runs.worker_pool import Task, run_all  # noqa: PLC0415 (as above)
    from unclone.sanitize.step_selection import all_steps  # noqa: PLC0415 (reads the catalogue: not for --help)

    # Loaded and read here once, and not in every worker.
    load_all()
    with suppress(UncloneError):  # each image reports it
        all_steps(requests[0].options)
    works = _works(requests)
    tasks = [Task(os.fspath(r.image), work) for r, work in zip(requests, works, strict=True)]
    return run_all(tasks, progress, jobs=workers, on_error=partial(show_traceback, ctx))


def _works(requests: Sequence[Request]) -> Iterator[Callable[[Listener], Any]]:
    """What to do for each of *requests*; a file that was named before is not changed once more."""
    from unclone.runs.sanitize_given import sanitize_given  # noqa: PLC0415 (the engines come with it: not for --help)

    seen: dict[tuple[int, int], Path] = {}
    for request in requests:
        first = request.image
        with suppress(OSError, ValueError):  # the run reports it
            found = request.image.stat()
            first = seen.setdefault((found.st_dev, found.st_ino), request.image)
        again = first is not request.image
        yield partial(_refuse_again, request, first) if again else partial(sanitize_given, request)


def _refuse_again(request: Request, first: Path, _: Listener) -> Report:
    raise UsageError(
        f"{shown(request.image)} is the same file as {shown(first)}, which is given before it",
        hint="Give each image once.",
    )


def require_sense(images: tuple[Path, ...], given: dict[str, Any]) -> None:
    if given["prove"] and given["dry_run"]:
        raise click.UsageError("--prove boots what a run made; --dry-run makes nothing")
    if given["prove"]:
        from unclone.images.archives.compression import packed_as  # noqa: PLC0415 (only needed here)

        for each in images:
            if what := packed_as(each):
                raise click.UsageError(f"--prove cannot boot {shown(each)}, which is {what}")
    outputs, disks = len(given["outputs"]), 1 + len(given["add_disks"])
    if given["definition"]:
        if not given["name"]:
            raise click.UsageError("--definition needs --name: what the new machine is called")
        if not images and given["add_disks"]:
            raise click.UsageError("--add-disk needs IMAGE: the machine's first disk")
    elif not images:
        raise click.UsageError("Missing argument 'IMAGE...'.")
    if len(images) > 1:
        for name, option in (
            ("outputs", "--output"),
            ("add_disks", "--add-disk"),
            ("name", "--name"),
            ("host_name", "--hostname"),
            ("definition", "--definition"),
            ("save_plan", "--save-plan"),
            ("plan", "--plan"),
        ):
            if given[name]:
                raise click.UsageError(
                    f"{option} is for exactly one image; {len(images)} are given"
                )
    if images and outputs not in {0, disks}:
        raise click.UsageError(
            f"--output is given {outputs} times for {disks} disks: each disk needs its own file"
        )
    if given["name"] and not (given["derive_from"] or given["definition"]):
        raise click.UsageError("--name needs --derive-from or --definition")
    if given["if_needed"] and (outputs or given["definition"]):
        other = "--output" if outputs else "--definition"
        raise click.UsageError(
            f"--if-needed does not go with {other}, which always makes a new file"
        )
    for name, option, needed in (
        ("output_format", "--output-format", "outputs"),
        ("definition_output", "--definition-output", "definition"),
        ("avoid", "--avoid", "definition"),
        ("ledger", "--ledger", "definition"),
    ):
        if given[name] and not given[needed]:
            raise click.UsageError(f"{option} needs --{needed.removesuffix('s')}")
    if given["overwrite"] and not (outputs or given["definition"] or given["save_plan"]):
        raise click.UsageError("--overwrite needs --output or --save-plan")


#: What a saved plan says itself.
_IN_A_PLAN = {
    "profile": "--profile",
    "enable": "--enable",
    "disable": "--disable",
    "delete_snapshots": "--delete-snapshots",
    "machine_id": "--machine-id",
    "ssh_host_keys": "--ssh-host-keys",
    "uuids": "--uuids",
    "derive_from": "--derive-from",
    "name": "--name",
    "strict": "--strict",
    "host_name": "--hostname",
    "definition": "--definition",
    "save_plan": "--save-plan",
}


def _require_plan_sense(ctx: click.Context, given: dict[str, Any]) -> None:
    if given["save_plan"]:
        if not given["dry_run"]:
            raise click.UsageError("--save-plan needs --dry-run")
        if given["definition"]:
            raise click.UsageError("--save-plan is for images alone: leave out --definition")
    if given["plan"]:
        for name, option in _IN_A_PLAN.items():
            if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT:
                raise click.UsageError(f"{option} cannot change a saved plan: leave it out")
