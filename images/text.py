"""Text from a guest or a tool, made safe to print."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def printable(text: str, limit: int = 2000) -> str:
    """*text* with escapes for control characters and undecodable bytes, at most *limit* characters.

    Guest file names are ``str`` with surrogate escapes (PEP 383) and may have newlines that forge a
    line of our output, terminal escape sequences and bytes that are not UTF-8.
    """
    shown = text
    if not text.isprintable():
        shown = "".join(c if c.isprintable() else _escape(c) for c in text)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def shown(path: Path | str) -> str:
    """*path* as :func:`printable` text."""
    return printable(str(path))


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that surrogateescape stands for
        return f"\\x{code - 0xDC00:02x}"
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def about(label: str, message: str) -> str:
    """*message*, after *label* where it does not begin with that already; both printable."""
    name, words = printable(label), printable(message)
    if not name or (words.startswith(name) and words[len(name) : len(name) + 1] in {" ", ":", "/"}):
        return words
    return f"{name}: {words}"
