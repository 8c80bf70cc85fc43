"""The options of ``clone`` that say where machines are made, and what is told of it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from unclone.runs.clone.executors import PlacedExecutor
    from unclone.runs.clone.order import Order

Decorated = TypeVar("Decorated", bound="Callable[..., Any]")


def executor_options(function: Decorated) -> Decorated:
    """``--executor``, ``--scheduler`` and ``--prometheus``."""
    executor = click.option(
        "--executor",
        type=click.Choice(["local", "dask"]),
        default="local",
        show_default=True,
        help="Where machines are made: on this host, or by the workers of --scheduler.",
    )
    scheduler = click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Dask's scheduler, as in --scheduler tls://10.0.0.1:8786. Who reaches it can run "
        "anything on its workers (docs/fleets.md).",
    )
    prometheus = click.option(
        "--prometheus",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Write numbers for Prometheus' textfile collector, as in --prometheus clone.prom.",
    )
    return executor(scheduler(prometheus(function)))


#: What acts on the machines' files, which are on other hosts.
_NOT_ELSEWHERE = ("register", "prove", "replace", "dry_run", "ask_passphrase")


def check_executor(given: Mapping[str, Any]) -> None:
    """Raise UsageError for options that do not go together."""
    if given["executor"] == "local":
        if given["scheduler"]:
            raise click.UsageError("--scheduler is for --executor dask")
        return
    if not given["scheduler"]:
        raise click.UsageError("--executor dask needs --scheduler tls://HOST:8786")
    for name in _NOT_ELSEWHERE:
        if given[name]:
            option = name.replace("_", "-")
            raise click.UsageError(
                f"--{option} is not for --executor dask: run it where the machines are"
            )


def executor_of(
    given: Mapping[str, Any], orders: Sequence[Order]
) -> AbstractContextManager[PlacedExecutor | None]:
    """What makes the machines of *orders*; None for processes of this host."""
    if given["executor"] == "local":
        return nullcontext()
    from unclone.runs.clone.order import has_secrets  # noqa: PLC0415 (not for a local run)
    from unclone.runs.dask_executor import DaskExecutor, require_private  # noqa: PLC0415 (likewise)

    require_private(given["scheduler"], secrets=any(map(has_secrets, orders)))
    return DaskExecutor(given["scheduler"])
