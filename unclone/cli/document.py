"""The JSON that commands print: one ASCII document on stdout, nothing else (docs/json.md)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence


def print_document(schema: str, results: Sequence[dict[str, Any]]) -> None:
    """Print the document. Escapes keep whatever a guest calls its files away from the terminal."""
    click.echo(
        json.dumps({"schema": schema, "results": list(results)}, indent=2, ensure_ascii=True)
    )
