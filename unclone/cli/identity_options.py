"""The options that say which identities others have, for every command that makes new ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from unclone.sanitize.identities.ledger.place import Server, parse_place

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

Decorated = TypeVar("Decorated", bound="Callable[..., Any]")


class LedgerPlace(click.Path):
    """The name of a file, or the address of a PostgreSQL database."""

    def convert(
        self,
        value: str | PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:  # noqa: ANN401 (click's)
        place = parse_place(str(value))
        return place if isinstance(place, Server) else super().convert(value, param, ctx)


def taken_identity_options(*, needs: str = "") -> Callable[[Decorated], Decorated]:
    """``--avoid`` and ``--ledger``; *needs* is the option without which they mean nothing."""

    def explained(text: str) -> str:
        return f"With {needs}: {text}" if needs else text[0].upper() + text[1:]

    avoid = click.option(
        "--avoid",
        type=click.Path(path_type=Path),
        multiple=True,
        metavar="FOLDER",
        help=explained(
            "definitions whose MAC addresses and UUIDs are not given again; may be repeated."
        ),
    )
    ledger = click.option(
        "--ledger",
        type=LedgerPlace(path_type=Path),
        metavar="FILE|URL",
        help=explained(
            "a database of every identity ever given: none is given twice. Made if it is not "
            "there; postgresql://HOST/DATABASE for several hosts."
        ),
    )
    return lambda function: avoid(ledger(function))
