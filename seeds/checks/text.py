"""Bytes to text: what a byte order mark, an encoding or a line ending spoils."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from unclone.seeds.findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARKS = (
    (codecs.BOM_UTF8, "UTF-8"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def decoded(file: str, content: bytes, consequence: str) -> tuple[str, list[Finding]]:
    """*content* as text, and what is wrong with its encoding.

    The text is empty when it cannot be read. *consequence* says what cloud-init makes of a byte
    order mark in this file.
    """
    problems = list(_byte_order_mark(file, content, consequence))
    if problems and "UTF-16" in problems[0].message:
        return "", problems
    try:
        return content.removeprefix(codecs.BOM_UTF8).decode(), problems
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before) - before.rfind(b"\n")
        problems.append(
            Finding(
                file,
                line,
                column,
                Severity.ERROR,
                "not-utf-8",
                f"the byte 0x{content[error.start]:02x} is not UTF-8",
                "Save the file as UTF-8.",
            )
        )
        return "", problems


def _byte_order_mark(file: str, content: bytes, consequence: str) -> Iterator[Finding]:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            yield Finding(
                file,
                1,
                1,
                Severity.ERROR,
                "byte-order-mark",
                f"begins with a {encoding} byte order mark; {consequence}",
                "Save the file as UTF-8 without a byte order mark.",
            )
            return
