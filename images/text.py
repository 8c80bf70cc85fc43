"""Text from a guest or a tool, made safe to print."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: Of a URL's user information; libiscsi separates the two by a percent sign (and not ``%2F``).
_PASSWORD = re.compile(
    r"(?P<user>\b[a-zA-Z][\w+.-]*://[^\s/@:%]*)(?P<mark>:|%(?![0-9A-Fa-f]{2})|%25)[^\s/@]*@"
)


def printable(text: str, limit: int = 2000) -> str:
    """*text* with escapes for control characters and undecodable bytes, at most *limit* characters.

    Guest file names are ``str`` with surrogate escapes (PEP 383) and may have newlines that forge a
    line of our output, terminal escape sequences and bytes that are not UTF-8. The password in a
    URL is left out.
    """
    shown = without_password(text)
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else _escape(c) for c in shown)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def without_password(text: str) -> str:
    """*text* with ``...`` for the password in a URL, as in ``ssh://user:password@host/disk``."""
    if "://" not in text:
        return text
    return _PASSWORD.sub(r"\g<user>\g<mark>...@", text)


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
