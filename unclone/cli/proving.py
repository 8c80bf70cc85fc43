"""``--prove`` of commands that make machines: what was made is booted, and shown."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unclone.cli import options
from unclone.cli.execute import execute
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from unclone.cli.progress import Progress
    from unclone.images.errors import ExitStatus
    from unclone.runs.clone.making import Machine
    from unclone.runs.completed import CompletedRun
    from unclone.runs.prove.result import Proof
    from unclone.runs.prove.run import Order

    #: By the number of the run whose result was proven.
    Proofs = Mapping[int, CompletedRun[Proof]]


def _how_many(
    ctx: click.Context,  # noqa: ARG001 (click's signature)
    param: click.Parameter,  # noqa: ARG001
    text: str | None,
) -> int | None:
    """How many machines ``--prove`` is for; None for all, 0 without it."""
    if text == "all":
        return None
    number = "0" if text is None else "1" if text == "first" else text
    if not (number.isascii() and number.isdecimal()) or (text and not int(number)):
        raise click.BadParameter(f"'{printable(number, 40)}' is none of first, all, and a number")
    return int(number)


prove_option = click.option(
    "--prove",
    metavar="[first|all|N]",
    callback=_how_many,
    help="Then boot the first machine that was made, all of them or N, as `unclone prove` does; "
    "status 5 when one is not proven.",
)


def prove_machines(
    ctx: click.Context,
    runs: Sequence[CompletedRun[Machine]],
    given: Mapping[str, Any],
    progress: Progress,
) -> Proofs:
    """Prove as many of the machines that were made as ``--prove`` says."""
    if given["prove"] == 0:
        return {}
    from unclone.runs.prove.orders import of_machine  # noqa: PLC0415 (not for --help)
    from unclone.runs.request import Request  # noqa: PLC0415 (likewise)

    request = Request(
        Path(),
        engine=given["engine"],
        allow=given["allow"],
        key_files=given["key_files"],
        passphrase=options.asking(progress) if given["ask_passphrase"] else None,
    )
    made = {n: run.result for n, run in enumerate(runs) if run.result}
    chosen = [n for n, machine in made.items() if machine.status == "done"][: given["prove"]]
    return prove_each(ctx, {n: partial(of_machine, request, made[n]) for n in chosen}, progress)


def prove_each(
    ctx: click.Context, orders: Mapping[int, Callable[[], Order]], progress: Progress
) -> Proofs:
    """Prove what the runs with these numbers made, one after the other."""
    if not orders:
        return {}
    from unclone.runs.prove.run import prove  # noqa: PLC0415 (only needed here)

    done: dict[int, CompletedRun[Proof]] = {}
    for number, make in orders.items():
        order = make()
        done[number] = execute(ctx, order.request.image, progress, partial(prove, order))
        if done[number].interrupted:
            break
    return done


def proof_statuses(proofs: Proofs) -> list[ExitStatus]:
    """Their part of the exit status."""
    return [each.result.exit_status if each.result else each.status for each in proofs.values()]


def with_proof(result: dict[str, Any], proof: CompletedRun[Proof] | None) -> dict[str, Any]:
    """*result* of a run, with the proof of what it made."""
    return result if proof is None else {**result, "proof": proof.to_json()}


def show_proofs(proofs: Proofs, *, verbose: bool) -> None:
    """Print them."""
    if not proofs:
        return  # after Ctrl-C nothing may be loaded: see `_show` of `sanitize`
    from unclone.cli.render.page import Page  # noqa: PLC0415 (of no use to --json)
    from unclone.cli.render.proof import show_proof  # noqa: PLC0415 (likewise)

    for each in proofs.values():
        if each.result is not None:
            show_proof(Page(), each.result, verbose=verbose)
