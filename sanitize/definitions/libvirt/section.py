"""Rows that have their source in one section of libvirt's documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.sanitize.definitions.row import Row

if TYPE_CHECKING:
    from unclone.sanitize.change import Level
    from unclone.sanitize.definitions.row import Kind, Treatment

_DOC = "https://libvirt.org/formatdomain.html#"


def section(
    part: str, *rows: tuple[str, Kind, Treatment, str | tuple[str, ...], str, *tuple[Level, ...]]
) -> tuple[Row, ...]:
    """Rows that one section of the documentation is the source of."""
    return tuple(
        Row(
            id_,
            kind,
            treatment,
            where if isinstance(where, str) else " | ".join(where),
            why,
            _DOC + part,
            *stays,
        )
        for id_, kind, treatment, where, why, *stays in rows
    )
