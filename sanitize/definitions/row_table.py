"""Rows that have one page of documentation as their source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.sanitize.definitions.row import Row

if TYPE_CHECKING:
    from unclone.sanitize.change import Level
    from unclone.sanitize.definitions.row import Kind, Treatment


def rows(
    source: str,
    *lines: tuple[str, Kind, Treatment, str | tuple[str, ...], str, *tuple[Level, ...]],
) -> tuple[Row, ...]:
    """The rows in *lines*, learned from the page *source*."""
    return tuple(
        Row(
            id_,
            kind,
            treatment,
            where if isinstance(where, str) else " | ".join(where),
            why,
            source,
            *stays,
        )
        for id_, kind, treatment, where, why, *stays in lines
    )
