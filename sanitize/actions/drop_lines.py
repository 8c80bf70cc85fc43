"""Drop whole lines from a text file; everything else in it survives byte for byte."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.files import read_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change


class DropLines:
    """``details``: ``lines``, regular expressions of which one has to match the whole line."""

    def apply(self, guest: Guest, change: Change) -> str:
        if guest.is_file(change.target):
            kept, dropped = split(read_whole(guest, change.target), change.details["lines"])
            if dropped:
                guest.write(change.target, kept)
        return ""

    def verify(self, guest: Guest, change: Change, learned: str) -> str:  # noqa: ARG002 (protocol)
        if not guest.is_file(change.target):
            return ""
        _, dropped = split(read_whole(guest, change.target), change.details["lines"])
        return f"{printable(change.target)} still has {dropped} of the lines" if dropped else ""


def split(content: bytes, lines: Sequence[str]) -> tuple[bytes, int]:
    r"""*content* without the lines that match one of *lines*, and how many those were.

    A line ends at ``\n``; the ``\n`` and a ``\r`` before it are not part of what has to match.
    Bytes that are not UTF-8 are seen as surrogates (PEP 383).
    """
    patterns = [re.compile(line) for line in lines]
    every = _lines(content)
    kept = [line for line in every if not any(p.fullmatch(_text(line)) for p in patterns)]
    return b"".join(kept), len(every) - len(kept)


def _lines(content: bytes) -> list[bytes]:
    parts = content.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _text(line: bytes) -> str:
    return line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape")
