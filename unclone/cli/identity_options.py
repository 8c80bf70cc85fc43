"""The options that say which identities others have, for every command that makes new ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

Decorated = TypeVar("Decorated", bound="Callable[..., Any]")


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
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=explained(
            "a database of every identity ever given: none is given twice. Made if it is not there."
        ),
    )
    return lambda function: avoid(ledger(function))
