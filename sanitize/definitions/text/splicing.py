"""Lossless editing: new text goes into places of the old one, everything else stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Edit(NamedTuple):
    """Characters ``start`` to ``end`` (not included) of the source become ``text``."""

    start: int
    end: int
    text: str


def splice(text: str, edits: Iterable[Edit]) -> str:
    """*text* with all *edits* made. Offsets are those of *text*; edits must not overlap."""
    done: list[str] = []
    at = 0
    for edit in sorted(set(edits), key=lambda edit: (edit.start, edit.end)):
        if not at <= edit.start <= edit.end <= len(text):
            raise ValueError(f"edits overlap or lie outside the text: {edit}")
        done += text[at : edit.start], edit.text
        at = edit.end
    return "".join((*done, text[at:]))
